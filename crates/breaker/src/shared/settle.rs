//! Taking in how a call has ended.

use super::{Admission, Shared};
use crate::{
    closed::{count, time::TimeSuccesses},
    outcome::{Effect, End, Entry},
    probes::Decision,
    state::{Cause, State},
};

impl Shared {
    /// Takes in a success where that needs no lock and no look at the rules; whether it did.
    ///
    /// Under a count window: the word is as the call was let in, and nothing waits for a success.
    #[inline(always)]
    pub(crate) fn settle_success(&self, lane: usize, admission: Admission) -> bool {
        let word = admission.word;
        if admission.started().is_some() {
            return false;
        }
        match &self.successes {
            None => word == self.word() && word.is_quiet(),
            Some(successes) if word.is_closed() => {
                self.success_in_stripes(successes, lane, word.epoch(), None);
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
            self.enter(epoch, Entry::Nothing, now);
        }
    }

    /// Takes in the end of an admitted call, exactly once for each admission.
    pub(crate) fn settle(&self, lane: usize, admission: Admission, end: End) {
        // A straggler changes nothing. Checked again under the lock, where it stands.
        if self.word().epoch() != admission.word.epoch() {
            return;
        }
        match admission.word.state() {
            State::Closed => self.settle_closed(lane, admission, end),
            State::HalfOpen => self.settle_probe(admission, end),
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// Reads the clock once, and not at all for a plain success under a count window.
    fn settle_closed(&self, lane: usize, admission: Admission, end: End) {
        let epoch = admission.word.epoch();
        let now = admission.started().map(|_| self.now());
        let slow =
            admission.started().zip(now).is_some_and(|(started, now)| self.is_slow(started, now));
        match (end.effect(slow, self.settings.throttled_fails_probe).entry, &self.successes) {
            (Entry::Nothing, _) => {}
            (Entry::SUCCESS, Some(successes)) => {
                self.success_in_stripes(successes, lane, epoch, now);
            }
            (Entry::SUCCESS, None) if !count::success(&self.published, epoch) => {}
            (entry, _) => self.enter(epoch, entry, now.unwrap_or_else(|| self.now())),
        }
    }

    /// Makes an entry in the window, and opens the circuit if that is what it comes to.
    #[cold]
    fn enter(&self, epoch: u64, entry: Entry, now: u64) {
        self.locked(|guarded| {
            let word = self.word();
            // Transitions happen under the lock: from here on the epoch stands.
            if word.epoch() == epoch
                && let Some(cause) =
                    guarded.closed.enter(&self.published, &self.settings.rules, entry, now)
            {
                self.open(guarded, word, now, cause);
            }
        });
    }

    /// Slow is strictly longer.
    fn is_slow(&self, started: u64, now: u64) -> bool {
        self.settings.slow_after.is_some_and(|limit| now.saturating_sub(started) > limit)
    }

    fn settle_probe(&self, admission: Admission, end: End) {
        let (now, Some(started)) = (self.now(), admission.started()) else { return };
        let Effect { probe, .. } =
            end.effect(self.is_slow(started, now), self.settings.throttled_fails_probe);
        self.locked(|guarded| {
            // Those that were overdue before this one came back count first.
            self.advance(guarded, now);
            let word = self.word();
            let Some(round) =
                guarded.round.as_mut().filter(|_| word.epoch() == admission.word.epoch())
            else {
                return;
            };
            // A place among the probes may be free.
            guarded.wake_waiters = true;
            match round.settle(probe, started, self.settings.probes) {
                Some(Decision::Reopen) => self.open(guarded, word, now, Cause::ProbesFailed),
                Some(Decision::Close) => {
                    self.close(guarded, word, word.is_dry_run(), Cause::ProbesSucceeded);
                }
                None => {}
            }
        });
    }
}
