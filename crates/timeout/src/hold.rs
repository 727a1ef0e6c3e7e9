//! What a timeout teaches at once: a peak that is held.
//!
//! A quantile of a window moves only when enough of the window has changed. After a step in latency every call would time
//! out until then, and a call that times out has no latency to learn from: the death spiral. So a timeout
//! doubles the limit there and then, and the doubled limit is *held*. It shrinks by a sixteenth with each success,
//! never below what that success would ask for, and is dropped once the ordinary limit has caught up with it.
//!
//! Raising is a maximum, not a product: a hundred calls with one limit that expire together double it once. What nobody touched
//! for a whole window is out of date like any sample.

use crate::sync::{AtomicU64, Ordering};

/// With a factor of one a held limit would sit on the very latency it has seen; the next call is a little slower and times out
/// again. An eighth is the room TCP's own estimator leaves least.
const LEAST_ROOM: f64 = 1.125;
/// A held peak loses a tenth in two successes and half of it in eleven: slow beside one doubling for each timeout.
const SHRINK: f64 = 15.0 / 16.0;

/// A number of seconds and the tick it was last touched at, in one word. Zero: nothing is held.
#[derive(Debug, Default)]
pub(crate) struct Hold(AtomicU64);

impl Hold {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Holds at least `seconds` from `tick` on.
    pub(crate) fn raise(&self, tick: u64, window: u32, seconds: f64) {
        self.update(|word| Some(word.renewed(tick, word.seconds(tick, window).unwrap_or(0.0).max(seconds))));
    }

    /// Follows one success of `latency`: grows at once, shrinks slowly, goes once `ordinary` has caught up.
    pub(crate) fn follow(&self, tick: u64, window: u32, success: &Success) {
        self.update(|word| {
            if word == Dated::NONE {
                return None;
            }
            let Some(held) = word.seconds(tick, window) else { return Some(Dated::NONE) };
            let asked = success.latency * success.factor.max(LEAST_ROOM);
            let next = asked.max(held * SHRINK).min(success.ceiling);
            Some(if next <= success.ordinary { Dated::NONE } else { word.renewed(tick, next) })
        });
    }

    /// The seconds held, if any, at `tick`, where what is `window` ticks old is out of date.
    pub(crate) fn seconds(&self, tick: u64, window: u32) -> Option<f64> {
        Dated(self.0.load(Ordering::Relaxed)).seconds(tick, window)
    }

    fn update(&self, mut next: impl FnMut(Dated) -> Option<Dated>) {
        // Relaxed: the word carries all there is to know, and publishes nothing else.
        let mut current = self.0.load(Ordering::Relaxed);
        while let Some(wanted) = next(Dated(current)) {
            match self.0.compare_exchange_weak(current, wanted.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => current = seen,
            }
        }
    }
}

/// What a success says to a held peak. All in seconds.
#[derive(Debug)]
pub(crate) struct Success {
    pub(crate) latency: f64,
    pub(crate) factor: f64,
    pub(crate) ordinary: f64,
    pub(crate) ceiling: f64,
}

/// How many ticks a straggler may lag behind a word and still be known as one: eleven minutes of the shortest ticks.
const LAG: u32 = 1 << 16;

/// A number of seconds as an `f32`, and the tick it stands for, in one word. An `f32` has seven digits; a tick is at least 10 ms
/// long, so 32 bits of it come round after 16 months, and then compare as a circle does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dated(pub(crate) u64);

impl Dated {
    pub(crate) const NONE: Self = Self(0);

    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough, and ticks compare as a circle does")]
    pub(crate) fn new(tick: u64, seconds: f64) -> Self {
        Self(u64::from(tick as u32) << 32 | u64::from((seconds as f32).to_bits()))
    }

    /// Other seconds in its place. A straggler that speaks of an earlier tick makes them no older.
    fn renewed(self, tick: u64, seconds: f64) -> Self {
        let newer = self != Self::NONE && self.reaches(tick);
        Self::new(if newer { u64::from(self.tick()) } else { tick }, seconds)
    }

    /// The seconds, unless there are none or they are `window` ticks old or older.
    pub(crate) fn seconds(self, tick: u64, window: u32) -> Option<f64> {
        let seconds = self.seconds_at_any_age()?;
        // A straggler's tick may lie a little before the word's: that is as fresh as can be.
        #[expect(clippy::cast_possible_truncation, reason = "ticks compare as a circle does")]
        let age = (tick as u32).wrapping_sub(self.tick());
        (age < window || age.wrapping_neg() <= LAG).then_some(seconds)
    }

    pub(crate) fn seconds_at_any_age(self) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
        let seconds = f32::from_bits(self.0 as u32);
        (seconds > 0.0).then_some(f64::from(seconds))
    }

    /// Whether it was made at `tick` or, as a straggler sees it, a little later.
    #[expect(clippy::cast_possible_truncation, reason = "ticks compare as a circle does")]
    pub(crate) const fn reaches(self, tick: u64) -> bool {
        self.tick().wrapping_sub(tick as u32) <= LAG
    }

    const fn tick(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const fn success(latency: f64, factor: f64, ordinary: f64) -> Success {
        Success { latency, factor, ordinary, ceiling: 5.0 }
    }

    #[test]
    fn timeouts_that_expire_together_double_once() {
        let hold = Hold::new();
        (0..100).for_each(|_| hold.raise(1, 6, 0.2));
        assert!((hold.seconds(1, 6).unwrap() - 0.2).abs() < 1e-6);
    }

    #[test]
    fn grows_at_once_shrinks_slowly_and_goes_when_the_ordinary_limit_has_caught_up() {
        let hold = Hold::new();
        hold.follow(1, 6, &success(9.0, 2.0, 0.1));
        assert_eq!(hold.seconds(1, 6), None, "successes alone hold nothing");
        hold.raise(1, 6, 0.8);
        hold.follow(1, 6, &success(0.01, 2.0, 0.1));
        assert!((hold.seconds(1, 6).unwrap() - 0.75).abs() < 1e-6);
        hold.follow(1, 6, &success(0.5, 2.0, 0.1));
        assert!((hold.seconds(1, 6).unwrap() - 1.0).abs() < 1e-6);
        hold.follow(1, 6, &success(100.0, 2.0, 0.1));
        assert!((hold.seconds(1, 6).unwrap() - 5.0).abs() < 1e-6, "not above the ceiling");
        hold.follow(1, 6, &success(0.01, 2.0, 4.9));
        assert_eq!(hold.seconds(1, 6), None);
    }

    #[test]
    fn what_is_held_ages_out_and_a_straggler_of_an_earlier_tick_still_sees_it() {
        let hold = Hold::new();
        hold.raise(u64::from(u32::MAX), 6, 0.8);
        assert!(hold.seconds(u64::from(u32::MAX) - 1, 6).is_some());
        assert!(hold.seconds(u64::from(u32::MAX) + 5, 6).is_some());
        assert_eq!(hold.seconds(u64::from(u32::MAX) + 6, 6), None);
        hold.raise(u64::from(u32::MAX) - 1, 6, 0.8);
        assert!(hold.seconds(u64::from(u32::MAX) + 5, 6).is_some(), "a late word of an early tick makes it no older");
        hold.raise(u64::from(u32::MAX) + 6, 6, 0.2);
        assert!(hold.seconds(u64::from(u32::MAX) + 6, 6).unwrap() < 0.3, "what is out of date counts no more");
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    #[test]
    fn two_timeouts_and_a_success_at_once_end_between_the_peak_and_one_shrinking() {
        loom::model(|| {
            let hold = Arc::new(Hold::new());
            let raise = || {
                let hold = Arc::clone(&hold);
                thread::spawn(move || hold.raise(1, 6, 0.2))
            };
            let others = [raise(), raise()];
            hold.follow(1, 6, &Success { latency: 0.01, factor: 2.0, ordinary: 0.1, ceiling: 5.0 });
            others.into_iter().for_each(|other| other.join().unwrap());
            let held = hold.seconds(1, 6).unwrap();
            assert!((0.187..=0.201).contains(&held), "{held}");
        });
    }
}
