//! Taking in how a call has ended.

use std::time::Duration;

use steadfast_core::Verdict;

use super::{Admission, Guarded, Shared};
use crate::{
    closed::{count, time::TimeSuccesses},
    config::Settings,
    outcome::{Effect, End, Entry},
    probes::{Decision, Round},
    state::{Cause, State},
    telemetry::Horizon,
    word::Word,
};

impl Shared {
    /// Takes in a success where that needs no lock and no look at the rules; whether it did.
    ///
    /// Under a count window: the word is as the call was let in, and nothing waits for a success.
    /// The time is now, if the clock has been read.
    #[inline(always)]
    pub(crate) fn settle_success(
        &self,
        lane: usize,
        admission: Admission,
        now: Option<u64>,
    ) -> bool {
        let word = admission.word;
        if admission.started().is_some() {
            return false;
        }
        match &self.successes {
            None => word == self.word() && word.is_quiet(),
            Some(successes) if word.is_closed() => {
                self.success_in_stripes(successes, lane, word.epoch(), now);
                true
            }
            Some(_) => false,
        }
    }

    // Out of line: it carries the code of the clock, which is read here unless it has been.
    #[inline(never)]
    fn success_in_stripes(
        &self,
        successes: &TimeSuccesses,
        lane: usize,
        epoch: u64,
        now: Option<u64>,
    ) {
        let now = now.unwrap_or_else(|| self.clock.nanos());
        if successes.success(&self.published, lane, epoch, now) {
            self.enter(epoch, Entry::Nothing, None, now);
        }
    }

    /// Takes in the end of an admitted call, exactly once for each admission.
    pub(crate) fn settle(&self, lane: usize, admission: Admission, end: End) {
        // A straggler changes nothing. Checked again under the lock, where it stands.
        if self.word().epoch() != admission.word.epoch() {
            return;
        }
        match admission.word.state() {
            State::Closed => self.settle_closed(lane, admission, end, None),
            State::HalfOpen => self.settle_probe(admission, end, self.now()),
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// Takes in the head of an answer whose end is still to come, as `settle` takes in the whole.
    /// What its end then speaks for: nothing where the head was bad, or is no answer.
    pub(crate) fn settle_head(
        &self,
        lane: usize,
        admission: Admission,
        verdict: Verdict,
        now: u64,
    ) -> Option<Head> {
        let (word, end) = (admission.word, End::Judged(verdict));
        if self.word().epoch() != word.epoch() {
            return None;
        }
        let is_good = end.effect(false, false).entry == Entry::SUCCESS;
        match word.state() {
            State::Closed => {
                self.settle_closed(lane, admission, end, Some(now));
                is_good.then_some(Head { word, at: now })
            }
            State::HalfOpen if is_good && !self.is_slow(admission.started()?, now) => {
                self.probe_waits(admission, now)
            }
            State::HalfOpen => {
                self.settle_probe(admission, end, now);
                None
            }
            State::Open | State::ForcedOpen | State::Disabled => None,
        }
    }

    /// Takes in the end of an answer with a good head. In the closed state all but a bad one says
    /// nothing, and reads no clock.
    pub(crate) fn settle_end(&self, head: Head, end: End) {
        let Effect { entry, .. } = end.effect(false, false);
        let is_bad = entry.mark().is_some_and(|mark| mark.failed);
        let is_probe = !head.word.is_closed();
        if !is_bad && !is_probe {
            return;
        }
        let now = self.now();
        let until = if is_probe { head.at } else { head.at.saturating_add(self.horizon()) };
        let is_within = now < until;
        if is_bad {
            self.telemetry.bad_end(if is_within { Horizon::Within } else { Horizon::Beyond });
        }
        let told = end.told().filter(|_| is_within);
        if is_probe {
            self.probe_ends(head, end, told, now);
        } else if is_within {
            self.enter(head.word.epoch(), Entry::Turned { head: head.at }, told, now);
        }
    }

    /// Reads the clock once, and not at all for a plain success under a count window; or is told
    /// the time.
    fn settle_closed(&self, lane: usize, admission: Admission, end: End, now: Option<u64>) {
        let epoch = admission.word.epoch();
        let now = now.or_else(|| admission.started().map(|_| self.now()));
        let slow =
            admission.started().zip(now).is_some_and(|(started, now)| self.is_slow(started, now));
        match (end.effect(slow, false).entry, &self.successes) {
            (Entry::Nothing, _) => {}
            (Entry::SUCCESS, Some(successes)) => {
                self.success_in_stripes(successes, lane, epoch, now);
            }
            (Entry::SUCCESS, None) if !count::success(&self.published, epoch) => {}
            (entry, _) => self.enter(epoch, entry, end.told(), now.unwrap_or_else(|| self.now())),
        }
    }

    /// Makes an entry in the window, and opens the circuit if that is what it comes to.
    #[cold]
    fn enter(&self, epoch: u64, entry: Entry, told: Option<Duration>, now: u64) {
        self.locked(|guarded| {
            let word = self.word();
            // Transitions happen under the lock: from here on the epoch stands.
            if word.epoch() != epoch {
                return;
            }
            guarded.hear(told, now);
            if let Some(cause) =
                guarded.closed.enter(&self.published, &guarded.settings.rules, entry, now)
            {
                self.open(guarded, word, now, cause);
            }
        });
    }

    /// Slow is strictly longer.
    fn is_slow(&self, started: u64, now: u64) -> bool {
        self.published.slow_after().is_some_and(|limit| now.saturating_sub(started) > limit)
    }

    fn settle_probe(&self, admission: Admission, end: End, now: u64) {
        let Some(started) = admission.started() else { return };
        self.in_round(admission.word, end.told(), now, |round, settings| {
            let Effect { probe, .. } =
                end.effect(self.is_slow(started, now), settings.throttled_fails_probe);
            round.settle(probe, started, settings.probes)
        });
    }

    /// A probe whose head was good waits for its end, unless that says no more.
    fn probe_waits(&self, admission: Admission, now: u64) -> Option<Head> {
        let (word, started) = (admission.word, admission.started()?);
        let mut until = None;
        self.in_round(word, None, now, |round, settings| {
            until = round.wait(started, now, settings.horizon);
            None
        });
        until.map(|at| Head { word, at })
    }

    /// One that ends beyond the horizon has succeeded by then.
    fn probe_ends(&self, head: Head, end: End, told: Option<Duration>, now: u64) {
        self.in_round(head.word, told, now, |round, settings| {
            let Effect { probe, .. } = end.effect(false, settings.throttled_fails_probe);
            round.end(probe, head.at, settings.probes)
        });
    }

    /// Tells the round of one of its probes, unless it is over.
    fn in_round(
        &self,
        admitted: Word,
        told: Option<Duration>,
        now: u64,
        tell: impl FnOnce(&mut Round, &Settings) -> Option<Decision>,
    ) {
        self.locked(|guarded| {
            // What time has brought about before this one came back counts first.
            self.advance(guarded, now);
            let word = self.word();
            if word.epoch() != admitted.epoch() {
                return;
            }
            guarded.hear(told, now);
            let Some(round) = guarded.round.as_mut() else { return };
            // A place among the probes may be free, or time decides the round at another instant.
            guarded.wake_waiters = true;
            if let Some(decision) = tell(round, &guarded.settings) {
                self.decide(guarded, decision, now);
            }
        });
    }

    /// Ends the round of probes.
    pub(super) fn decide(&self, guarded: &mut Guarded, decision: Decision, now: u64) {
        let word = self.word();
        match decision {
            Decision::Reopen => self.open(guarded, word, now, Cause::ProbesFailed),
            Decision::Close => {
                self.close(guarded, word, word.is_dry_run(), Cause::ProbesSucceeded);
            }
        }
    }
}

/// What the end of an answer speaks for: a good head that has been counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// As the call was let in.
    pub(crate) word: Word,
    /// When it came; of a probe until when it waits for its end.
    pub(crate) at: u64,
}

impl Head {
    /// Of an answer that is not counted.
    pub(crate) const NONE: Self = Self { word: Word::new(0, State::Closed, false), at: 0 };
}
