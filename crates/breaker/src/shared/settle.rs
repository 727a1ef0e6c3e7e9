//! Taking in what became of a call.

use steadfast_core::{
    Counts,
    parts::{Mark, StripedSuccesses, Tick},
};

use super::{Admission, Guarded, NOT_MEASURED, Shared};
use crate::{
    config::WindowConfig,
    probes::{Decision, Probe},
    state::{Cause, State},
    sync::Ordering,
    window::{Window, epoch_shift, record},
    word::Word,
};

/// What became of a call, as far as the circuit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Throttled,
    /// It says nothing: ignored by the classifier, or dropped. Dropped late, it is slow all the same.
    Nothing {
        dropped: bool,
    },
}

/// What is entered in the window under the lock.
#[derive(Clone, Copy)]
enum Entry {
    /// What an answer says.
    Answer(Mark),
    /// Slow, and dropped before it could answer: that neither adds to a run of failures nor ends it.
    Hung,
    /// Nothing: a success that is counted already has reason to look.
    Look,
}

impl Entry {
    const fn mark(self) -> Option<Mark> {
        match self {
            Self::Answer(mark) => Some(mark),
            Self::Hung => Some(Mark { failed: false, slow: true }),
            Self::Look => None,
        }
    }
}

impl Shared {
    /// Whether a success changes nothing: the word is still the one the call was admitted under, and nothing waits for a success.
    #[inline(always)]
    pub(crate) fn is_unchanged_by_success(&self, admission: Admission) -> bool {
        let word = admission.word();
        word == self.word()
            && word.is_closed()
            && word.is_quiet()
            && admission.started() == NOT_MEASURED
            && self.successes.is_none()
    }

    /// Says what became of an admitted call, exactly once for each admission.
    pub(crate) fn settle(&self, lane: usize, admission: Admission, outcome: Outcome) {
        match admission.state() {
            State::Closed => self.settle_counted(lane, admission, outcome),
            State::HalfOpen => self.settle_probe(admission, outcome),
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    #[inline]
    fn settle_counted(&self, lane: usize, admission: Admission, outcome: Outcome) {
        if outcome == Outcome::Success && admission.started() == NOT_MEASURED {
            match &self.successes {
                None => self.pass(admission.epoch()),
                Some(successes) => self.pass_in_time(lane, admission.epoch(), successes, self.now()),
            }
        } else {
            self.settle_marked(lane, admission, outcome);
        }
    }

    // Not inlined, like the other ways a plain success does not go.
    #[inline(never)]
    fn settle_marked(&self, lane: usize, admission: Admission, outcome: Outcome) {
        let epoch = admission.epoch();
        if outcome == (Outcome::Nothing { dropped: false }) || self.word().epoch() != epoch {
            return;
        }
        let now = self.now();
        let slow = self.is_slow(admission.started(), now);
        match outcome {
            Outcome::Failure | Outcome::Throttled => {
                self.record(epoch, now, Entry::Answer(Mark { failed: true, slow }));
            }
            Outcome::Success if slow => self.record(epoch, now, Entry::Answer(Mark { failed: false, slow })),
            Outcome::Nothing { .. } if slow => self.record(epoch, now, Entry::Hung),
            Outcome::Success => match &self.successes {
                None => self.pass(epoch),
                Some(successes) => self.pass_in_time(lane, epoch, successes, now),
            },
            Outcome::Nothing { .. } => {}
        }
    }

    /// A plain success under a count window: nothing at all, or one step of the countdown. Only the one that completes the
    /// minimum of calls, once in a closed period, is judged under the lock.
    #[inline]
    fn pass(&self, epoch: u64) {
        let mut word = self.word();
        while word.epoch() == epoch && !word.is_quiet() {
            if word.examine() && word.countdown() <= 1 {
                return self.record(epoch, self.now(), Entry::Answer(Mark::default()));
            }
            match self.exchange(word, word.passed()) {
                Ok(()) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// A plain success under a time window. The clock was read before the epoch is checked, so the success lands in its own epoch's
    /// ticks even if the circuit changes in between.
    ///
    /// With a failure in the window, a success can still open the circuit: it completes the minimum, or the successes before
    /// it have aged away. So one success looks in each bucket, and the others count down to the one that completes the minimum. The success is
    /// counted before the word is read; a failure raises the flag before it sums. One of the two sees the other.
    #[inline]
    fn pass_in_time(&self, lane: usize, epoch: u64, successes: &StripedSuccesses, now: u64) {
        if self.word().epoch() != epoch {
            return;
        }
        let tick = self.tick(epoch, now);
        successes.add(lane, tick);
        let word = Word(self.hot.word.load(Ordering::SeqCst));
        if !word.is_quiet() && word.epoch() == epoch {
            self.look(word, tick, now);
        }
    }

    #[cold]
    fn look(&self, mut word: Word, tick: Tick, now: u64) {
        let epoch = word.epoch();
        while word.epoch() == epoch && word.streak() {
            match self.exchange(word, word.without_streak()) {
                Ok(()) => word = word.without_streak(),
                Err(seen) => word = seen,
            }
        }
        // Relaxed: late is as good as one success earlier.
        let has_turned = tick.0 >= self.hot.look_at.load(Ordering::Relaxed);
        while word.epoch() == epoch && !has_turned && word.examine() && word.countdown() > 1 {
            // The minimum lacks more than this success. What has aged away since only makes it lack more.
            match self.exchange(word, word.passed()) {
                Ok(()) => return,
                Err(seen) => word = seen,
            }
        }
        if has_turned || word.examine() {
            self.record(epoch, now, Entry::Look);
        }
    }

    pub(super) fn tick(&self, epoch: u64, now: u64) -> Tick {
        match self.settings.window {
            WindowConfig::Count(_) => Tick(0),
            WindowConfig::Time(buckets) => Tick(buckets.tick_at(now).0 + epoch_shift(buckets, epoch)),
        }
    }

    #[inline]
    fn exchange(&self, current: Word, next: Word) -> Result<(), Word> {
        self.hot
            .word
            .compare_exchange_weak(current.0, next.0, Ordering::SeqCst, Ordering::Acquire)
            .map(drop)
            .map_err(Word)
    }

    /// Makes an entry in the window, and judges.
    #[inline(never)]
    fn record(&self, epoch: u64, now: u64, entry: Entry) {
        self.locked(|guarded| {
            let word = self.word();
            // Transitions happen under the lock: from here on the epoch stands.
            if word.epoch() == epoch {
                self.record_guarded(guarded, word, now, entry);
            }
        });
    }

    /// Successes may count down meanwhile. Those seen when the outcome is taken in came before it; those that come while the word
    /// is being published came after it, and the window is judged again with them.
    fn record_guarded(&self, guarded: &mut Guarded, mut word: Word, now: u64, entry: Entry) {
        let mut streak = match entry {
            Entry::Answer(mark) => mark.failed,
            Entry::Hung | Entry::Look => word.streak(),
        };
        guarded.run = match entry {
            _ if !streak => 0,
            Entry::Answer(_) if word.streak() => guarded.run.saturating_add(1),
            Entry::Answer(_) => 1,
            Entry::Hung | Entry::Look => guarded.run,
        };
        let mark = entry.mark();
        if self.successes.is_some() && word.is_quiet() {
            word = self.raise_flag(word);
        }
        let tick = self.tick(word.epoch(), now);
        let mut counts = self.take_in(guarded, tick, word.countdown(), mark);
        loop {
            if let Some(cause) = self.settings.rules.judge(counts, guarded.run) {
                return self.open(guarded, word, now, cause);
            }
            let (next, from) = self.next_word(guarded, word, counts, streak);
            let Err(seen) = self.exchange(word, next) else {
                guarded.countdown_from = from;
                return self.hot.look_at.store(tick.0 + 1, Ordering::Relaxed);
            };
            // A weak exchange may fail over nothing; a success has counted down, or ended the streak, or both.
            counts = match &mut guarded.window {
                Window::Count(window) => record(window, word.countdown() - seen.countdown(), None),
                Window::Time(_) => self.take_in(guarded, tick, 0, None),
            };
            if seen != word {
                streak = false;
                guarded.run = 0;
            }
            word = seen;
        }
    }

    /// Under a time window that held nothing but plain successes, tells them that from now on they must look, before their stripes are summed.
    /// Only then: while it holds a mark, they look where they must anyway, and if each look raised the flag, each would be answered
    /// by a look of every other thread.
    fn raise_flag(&self, mut word: Word) -> Word {
        loop {
            let raised = word.with(1, true, word.streak());
            match self.exchange(word, raised) {
                Ok(()) => return raised,
                Err(seen) => word = seen,
            }
        }
    }

    fn take_in(&self, guarded: &mut Guarded, tick: Tick, countdown: u32, mark: Option<Mark>) -> Counts {
        match &mut guarded.window {
            Window::Count(window) => record(window, guarded.countdown_from.saturating_sub(countdown), mark),
            Window::Time(window) => {
                if let Some(mark) = mark {
                    window.record(tick, mark.into());
                }
                self.counts_in_time(window.counts(tick), tick)
            }
        }
    }

    pub(super) fn counts_in_time(&self, marked: Counts, tick: Tick) -> Counts {
        let plain = self.successes.as_ref().map_or(0, |successes| successes.sum(tick));
        Counts { total: marked.total + plain, ..marked }
    }

    #[inline(never)]
    fn settle_probe(&self, admission: Admission, outcome: Outcome) {
        let now = self.now();
        let slow = self.is_slow(admission.started(), now);
        let probe = match outcome {
            Outcome::Failure => Probe::Failed,
            Outcome::Throttled if self.settings.throttled_fails_probe => Probe::Failed,
            Outcome::Nothing { dropped: false } => Probe::GivenBack,
            _ if slow => Probe::Failed,
            Outcome::Success | Outcome::Throttled => Probe::Succeeded,
            Outcome::Nothing { .. } => Probe::GivenBack,
        };
        self.locked(|guarded| {
            let word = self.word();
            let Some(round) = guarded.round.as_mut().filter(|_| word.epoch() == admission.epoch()) else { return };
            let overdue = round.is_overdue(now, self.settings.probe_limit);
            // Whoever waits for a place among the probes looks again.
            guarded.stirred = true;
            match round.settle(probe, admission.started(), self.settings.probes) {
                _ if overdue => self.open(guarded, word, now, Cause::ProbesOverdue),
                Some(Decision::Reopen) => self.open(guarded, word, now, Cause::ProbesFailed),
                Some(Decision::Close) => self.close(guarded, word, word.is_dry_run(), Cause::ProbesSucceeded),
                None => {}
            }
        });
    }
}
