//! The closed state over the last so many seconds.
//!
//! Marked outcomes (failed or slow) are in a window behind the lock, plain successes in stripes
//! before it: each thread writes its own. The word's bits:
//!
//! - *countdown* 0: the window holds no mark. A success is counted in its stripe and changes
//!   nothing else.
//! - *countdown* above 0 with *to minimum*: how many calls the minimum lacks. The success that
//!   completes it judges the window.
//! - *countdown* 1 without *to minimum*: a flag. The minimum is complete, and the window holds
//!   marks.
//! - *last failed* is not used: a failure finds out by a look at the stripes whether a success has
//!   come since the failure before, so that a success need not tell it.
//!
//! With marks in the window a success can open the circuit even after the minimum is complete,
//! because the successes before it age away. So the first success in each bucket judges the window.
//!
//! **Store buffering.** A success adds to its stripe, then reads the word. An entry raises the
//! countdown, then sums the stripes. Both are sequentially consistent, so one of the two sees the
//! other: the sum holds the success, or the success sees that it must judge.

use std::{num::NonZeroU32, sync::Arc};

use steadfast_core::{
    Counts,
    parts::{Buckets, LatestSuccess, StripedSuccesses, Tick, TimeWindow},
};

use super::{ClosedWindow, Look};
use crate::{
    outcome::Entry,
    word::{MAX_COUNTDOWN, Published, Word},
};

/// The plain successes of a time window.
#[derive(Debug)]
pub(crate) struct TimeSuccesses {
    buckets: Buckets,
    stripes: StripedSuccesses,
}

impl TimeSuccesses {
    pub(super) fn new(buckets: Buckets, lanes: usize) -> Self {
        Self { buckets, stripes: StripedSuccesses::new(buckets, lanes) }
    }

    /// Counts one plain success; whether the window must be judged under the lock.
    ///
    /// The caller read the clock before the epoch is checked here, so the success lands among its
    /// own epoch's ticks even if the circuit changes in between.
    #[inline]
    pub(crate) fn success(&self, published: &Published, lane: usize, epoch: u64, now: u64) -> bool {
        if published.word().epoch() != epoch {
            return false;
        }
        let tick = self.tick(epoch, now);
        self.stripes.add(lane, tick);
        let word = published.word_after_a_store();
        !word.is_quiet() && word.epoch() == epoch && must_judge(published, word, tick)
    }

    /// Each epoch has ticks of its own, a window apart from those of the epoch before: a late
    /// success cannot land in the window of the next epoch.
    fn tick(&self, epoch: u64, now: u64) -> Tick {
        // Two more than a window: the bucket being filled, a clock read just before the transition.
        Tick(self.buckets.tick_at(now).0 + epoch * (u64::from(self.buckets.number()) + 2))
    }
}

#[cold]
fn must_judge(published: &Published, mut word: Word, tick: Tick) -> bool {
    let epoch = word.epoch();
    let is_first_in_bucket = tick.0 >= published.judge_from();
    while word.epoch() == epoch && !is_first_in_bucket && word.to_minimum() && word.countdown() > 1
    {
        // The minimum lacks more than this success, and still more if something has aged away.
        match published.exchange(word, word.passed()) {
            Ok(()) => return false,
            Err(seen) => word = seen,
        }
    }
    is_first_in_bucket || word.to_minimum()
}

#[derive(Debug)]
pub(crate) struct TimeClosed {
    marked: TimeWindow,
    /// Where the latest success stood at the last failure.
    at_failure: Option<LatestSuccess>,
    successes: Arc<TimeSuccesses>,
}

impl TimeClosed {
    pub(super) fn new(successes: Arc<TimeSuccesses>) -> Self {
        Self { marked: TimeWindow::new(successes.buckets), at_failure: None, successes }
    }
}

impl ClosedWindow for TimeClosed {
    /// The successes need no clearing: the next epoch has other ticks.
    fn clear(&mut self) {
        self.marked.clear();
    }

    /// Only where the window held no mark: otherwise successes judge it where they must anyway, and
    /// if each of those raised the flag again, each would be answered by one of every other thread.
    fn alert(&self, published: &Published, mut word: Word) -> Word {
        while word.countdown() == 0 {
            let alerted = word.with_countdown(1, true);
            match published.exchange(word, alerted) {
                Ok(()) => word = alerted,
                Err(seen) => word = seen,
            }
        }
        word
    }

    fn take_in(&mut self, word: Word, entry: Entry, now: u64) -> Counts {
        let tick = |at| self.successes.tick(word.epoch(), at);
        if let Some(mark) = entry.mark() {
            self.marked.record(tick(now), mark.into());
        } else if let Entry::Turned { head } = entry {
            // The success was counted at the same tick, and takes its failure with it.
            self.marked.turn(tick(head), tick(now));
        }
        self.counts(word, now)
    }

    /// While the window holds no mark, no success ever judges it.
    fn unsettle(&self, published: &Published, mut word: Word) -> Word {
        while word.countdown() > 0 {
            let unsettled = word.with_countdown(1, true);
            match published.exchange(word, unsettled) {
                Ok(()) => return unsettled,
                Err(seen) => word = seen,
            }
        }
        word
    }

    /// Only count windows have a size in calls.
    fn resize(&mut self, _size: NonZeroU32) {}

    fn next_word(&self, word: Word, counts: Counts, minimum_calls: u64) -> Word {
        if counts.failures + counts.slow == 0 {
            return word.with_countdown(0, false);
        }
        let lacking = minimum_calls.saturating_sub(counts.total);
        let countdown = u32::try_from(lacking).unwrap_or(MAX_COUNTDOWN).clamp(1, MAX_COUNTDOWN);
        word.with_countdown(countdown, lacking > 0)
    }

    /// Where it cannot be told, because the current count is full, there were successes.
    fn look(&self, word: Word, now: u64) -> Look {
        let latest = self.successes.stripes.latest(self.successes.tick(word.epoch(), now));
        Look { succeeded: latest.is_none() || latest != self.at_failure, latest }
    }

    fn failed(&mut self, look: Look) {
        self.at_failure = look.latest;
    }

    fn with_last_failed(&self, word: Word, _last_failed: bool) -> Word {
        word
    }

    /// The next look finds it in its stripe.
    fn notices(&self, _before: Word, _after: Word) -> bool {
        false
    }

    fn published(&mut self, published: &Published, word: Word, now: u64) {
        published.set_judge_from(self.successes.tick(word.epoch(), now).0 + 1);
    }

    fn counts(&self, word: Word, now: u64) -> Counts {
        let tick = self.successes.tick(word.epoch(), now);
        let marked = self.marked.counts(tick);
        Counts { total: marked.total + self.successes.stripes.sum(tick), ..marked }
    }
}
