//! The one word every call reads.
//!
//! ```text
//! | epoch: 34 | countdown: 24 | dry run | last failed | to minimum | state: 3 |
//! ```
//!
//! The epoch is new after every transition, so a call admitted under one epoch cannot speak in
//! another. Countdown, *last failed* (the last outcome was a failure) and *to minimum* belong to
//! the closed state, and what they mean depends on its window: see [`closed`](crate::closed). While
//! all three are zero the word is *quiet*: a success has nothing to do.

use crate::{
    state::State,
    sync::{AtomicU64, Ordering},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

const STATE: u64 = 0b111;
const TO_MINIMUM: u64 = 1 << 3;
const LAST_FAILED: u64 = 1 << 4;
const DRY_RUN: u64 = 1 << 5;
const COUNTDOWN_SHIFT: u32 = 6;
const COUNTDOWN: u64 = ((1 << 24) - 1) << COUNTDOWN_SHIFT;
const EPOCH_SHIFT: u32 = 30;

/// The longest countdown, and so the largest count window.
pub(crate) const MAX_COUNTDOWN: u32 = (1 << 24) - 1;

impl Word {
    pub(crate) const fn new(epoch: u64, state: State, dry_run: bool) -> Self {
        let dry_run = if dry_run { DRY_RUN } else { 0 };
        // The states are numbered in the order of `state` below.
        Self(epoch << EPOCH_SHIFT | dry_run | state as u64)
    }

    pub(crate) const fn epoch(self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }

    /// The next epoch. After 2^34, 198 days of a transition each millisecond, they begin again.
    pub(crate) const fn next_epoch(self) -> u64 {
        (self.epoch() + 1) & (u64::MAX >> EPOCH_SHIFT)
    }

    pub(crate) const fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::ForcedOpen,
            _ => State::Disabled,
        }
    }

    #[inline]
    pub(crate) const fn is_closed(self) -> bool {
        self.0 & STATE == 0
    }

    pub(crate) const fn is_dry_run(self) -> bool {
        self.0 & DRY_RUN != 0
    }

    /// Closed, and a plain success has nothing to do.
    #[inline]
    pub(crate) const fn is_quiet(self) -> bool {
        self.0 & (STATE | COUNTDOWN | TO_MINIMUM | LAST_FAILED) == 0
    }

    pub(crate) const fn countdown(self) -> u32 {
        // Masked to 24 bits.
        ((self.0 & COUNTDOWN) >> COUNTDOWN_SHIFT) as u32
    }

    pub(crate) const fn to_minimum(self) -> bool {
        self.0 & TO_MINIMUM != 0
    }

    pub(crate) const fn last_failed(self) -> bool {
        self.0 & LAST_FAILED != 0
    }

    pub(crate) fn with_countdown(self, countdown: u32, to_minimum: bool) -> Self {
        debug_assert!(
            countdown <= MAX_COUNTDOWN,
            "window sizes are checked when a circuit is made"
        );
        let kept = self.0 & !(COUNTDOWN | TO_MINIMUM);
        Self(
            kept | u64::from(countdown) << COUNTDOWN_SHIFT
                | if to_minimum { TO_MINIMUM } else { 0 },
        )
    }

    pub(crate) const fn with_last_failed(self, last_failed: bool) -> Self {
        Self(self.0 & !LAST_FAILED | if last_failed { LAST_FAILED } else { 0 })
    }

    /// The word after one plain success that is only counted. Its countdown is above 0.
    pub(crate) const fn passed(self) -> Self {
        Self((self.0 & !LAST_FAILED) - (1 << COUNTDOWN_SHIFT))
    }
}

/// What the lock's holder publishes to calls that take none, on cache lines of its own.
///
/// Orderings. A transition publishes the word with `Release` after what belongs to it
/// (`open_until`); an admission loads it with `Acquire`, and so sees at least the open time of the
/// state it read. It may see a later one, of a later open state: then refusing is right as well. A
/// countdown carries no other data, so its exchange needs no ordering of its own; it is
/// sequentially consistent for the store buffering of a time window (see
/// [`closed::time`](crate::closed)).
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Published {
    word: AtomicU64,
    /// When an open circuit may be probed.
    open_until: AtomicU64,
    /// The tick from which a success judges a time window that holds marks.
    judge_from: AtomicU64,
    /// Calls that take longer are slow, in nanoseconds. Here, because each admission reads it.
    slow_after: AtomicU64,
}

/// Without a rule for slow calls: configured limits are at most 24 h.
const NEVER: u64 = u64::MAX;

impl Published {
    pub(crate) fn new(word: Word) -> Self {
        Self {
            word: AtomicU64::new(word.0),
            open_until: AtomicU64::new(0),
            judge_from: AtomicU64::new(0),
            slow_after: AtomicU64::new(NEVER),
        }
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// The load half of a store buffering: see [`exchange`](Self::exchange).
    pub(crate) fn word_after_a_store(&self) -> Word {
        Word(self.word.load(Ordering::SeqCst))
    }

    /// Changes flags and countdown within one state. May fail though nothing has changed.
    pub(crate) fn exchange(&self, current: Word, next: Word) -> Result<(), Word> {
        self.word
            .compare_exchange_weak(current.0, next.0, Ordering::SeqCst, Ordering::Acquire)
            .map(drop)
            .map_err(Word)
    }

    /// Changes the state. Pairs with the `Acquire` load of an admission.
    ///
    /// An exchange and not a store: a success that is counting down at this moment is then ordered
    /// on one side of it for every reader (and for loom, which orders no store with exchanges).
    pub(crate) fn change_state(&self, word: Word) {
        self.word.swap(word.0, Ordering::AcqRel);
    }

    // Relaxed, both ways: published with the word.
    pub(crate) fn open_until(&self) -> u64 {
        self.open_until.load(Ordering::Relaxed)
    }

    pub(crate) fn set_open_until(&self, nanos: u64) {
        self.open_until.store(nanos, Ordering::Relaxed);
    }

    // Relaxed, both ways: it is changed while calls are under way, each of which reads it when it
    // begins and when it ends, and nothing else is read by it.
    #[inline]
    pub(crate) fn slow_after(&self) -> Option<u64> {
        let nanos = self.slow_after.load(Ordering::Relaxed);
        (nanos != NEVER).then_some(nanos)
    }

    pub(crate) fn set_slow_after(&self, nanos: Option<u64>) {
        self.slow_after.store(nanos.unwrap_or(NEVER), Ordering::Relaxed);
    }

    // Relaxed, both ways: a success that sees it late judges one success later.
    pub(crate) fn judge_from(&self) -> u64 {
        self.judge_from.load(Ordering::Relaxed)
    }

    pub(crate) fn set_judge_from(&self, tick: u64) {
        self.judge_from.store(tick, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_keeps_to_its_bits() {
        for state in State::ALL {
            for dry_run in [false, true] {
                let last = (1 << 34) - 1;
                let clean = Word::new(last, state, dry_run);
                let word = clean.with_countdown(MAX_COUNTDOWN, true).with_last_failed(true);
                assert_eq!((word.epoch(), word.state(), word.is_dry_run()), (last, state, dry_run));
                assert_eq!(
                    (word.countdown(), word.to_minimum(), word.last_failed()),
                    (MAX_COUNTDOWN, true, true)
                );
                assert_eq!(word.next_epoch(), 0);
                let passed = word.passed();
                assert_eq!(
                    (passed.countdown(), passed.to_minimum(), passed.last_failed()),
                    (MAX_COUNTDOWN - 1, true, false)
                );
                assert!(!word.is_quiet());
                assert_eq!(word.with_countdown(0, false).with_last_failed(false), clean);
                assert_eq!(clean.is_quiet(), state == State::Closed);
                assert_eq!(word.is_closed(), state == State::Closed);
            }
        }
    }
}
