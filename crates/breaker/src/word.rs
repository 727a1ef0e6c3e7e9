//! The one word every call reads.
//!
//! ```text
//! | epoch: 34 | countdown: 24 | dry run | streak | examine | state: 3 |
//! ```
//!
//! The epoch is new after every transition, so a call admitted under one epoch cannot speak in another. The rest belongs to
//! the closed state: *countdown* is how many further plain successes can still change the window's content. Once it is 0 a success
//! reads this word and writes nothing, because a window with neither failures nor room is not changed by one more success.
//! *Examine* says that the last of the countdown completes the minimum of calls, and so must be judged. *Streak* says
//! that the last outcome was a failure.
//!
//! Under a time window the countdown is 0 while the window holds nothing but plain successes. Otherwise it counts, with *examine*, the
//! successes that the minimum lacks, and is a mere flag once the minimum is complete.

use crate::state::State;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

const STATE: u64 = 0b111;
const EXAMINE: u64 = 1 << 3;
const STREAK: u64 = 1 << 4;
const DRY_RUN: u64 = 1 << 5;
const COUNTDOWN_SHIFT: u32 = 6;
const COUNTDOWN: u64 = ((1 << 24) - 1) << COUNTDOWN_SHIFT;
const EPOCH_SHIFT: u32 = 30;

/// The longest countdown, and so the largest count window.
pub(crate) const MAX_COUNTDOWN: u32 = (1 << 24) - 1;

impl Word {
    pub(crate) const fn new(epoch: u64, state: State, dry_run: bool) -> Self {
        let dry_run = if dry_run { DRY_RUN } else { 0 };
        Self(epoch << EPOCH_SHIFT | dry_run | code(state))
    }

    pub(crate) const fn epoch(self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }

    /// The epoch after this one. After 2^34 transitions, 198 days of one each millisecond, it begins again.
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

    pub(crate) const fn is_closed(self) -> bool {
        self.0 & STATE == 0
    }

    pub(crate) const fn is_dry_run(self) -> bool {
        self.0 & DRY_RUN != 0
    }

    /// Whether a plain success has nothing to do.
    pub(crate) const fn is_quiet(self) -> bool {
        self.0 & (COUNTDOWN | EXAMINE | STREAK) == 0
    }

    pub(crate) const fn countdown(self) -> u32 {
        // Masked to 24 bits.
        ((self.0 & COUNTDOWN) >> COUNTDOWN_SHIFT) as u32
    }

    pub(crate) const fn examine(self) -> bool {
        self.0 & EXAMINE != 0
    }

    pub(crate) const fn streak(self) -> bool {
        self.0 & STREAK != 0
    }

    pub(crate) fn with(self, countdown: u32, examine: bool, streak: bool) -> Self {
        debug_assert!(countdown <= MAX_COUNTDOWN, "window sizes are checked when a circuit is made");
        let kept = self.0 & !(COUNTDOWN | EXAMINE | STREAK);
        let flags = if examine { EXAMINE } else { 0 } | if streak { STREAK } else { 0 };
        Self(kept | u64::from(countdown) << COUNTDOWN_SHIFT | flags)
    }

    /// The word after one plain success that is only counted.
    pub(crate) const fn passed(self) -> Self {
        Self((self.0 & !STREAK) - (1 << COUNTDOWN_SHIFT))
    }

    pub(crate) const fn without_streak(self) -> Self {
        Self(self.0 & !STREAK)
    }
}

const fn code(state: State) -> u64 {
    match state {
        State::Closed => 0,
        State::Open => 1,
        State::HalfOpen => 2,
        State::ForcedOpen => 3,
        State::Disabled => 4,
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
                let word = Word::new(last, state, dry_run).with(MAX_COUNTDOWN, true, true);
                assert_eq!((word.epoch(), word.state(), word.is_dry_run()), (last, state, dry_run));
                assert_eq!((word.countdown(), word.examine(), word.streak()), (MAX_COUNTDOWN, true, true));
                assert_eq!(word.next_epoch(), 0);
                let passed = word.passed();
                assert_eq!((passed.countdown(), passed.examine(), passed.streak()), (MAX_COUNTDOWN - 1, true, false));
                assert!(!word.is_quiet() && word.with(0, false, false).is_quiet());
                assert_eq!(word.is_closed(), state == State::Closed);
            }
        }
    }
}
