//! What one call teaches at once: a peak that is held.
//!
//! A quantile of a window moves only when enough of the window has changed. After a step in latency
//! every call would time out until then. So what the first explorer's answer asks for is *held*
//! there and then; without explorers, twice the limit that a call expired at. It shrinks by a
//! sixteenth with each success, never below what that success would ask for, and is dropped once
//! the ordinary limit has caught up with it.
//!
//! Raising is a maximum, not a product: a hundred calls with one limit that expire together double
//! it once. A peak that no call has touched for a whole window is out of date like any sample.

use steadfast_core::parts::{Dated, Tick};

use crate::sync::{AtomicU64, Ordering};

/// With a factor of one a held limit would sit on the very latency it has seen; the next call is a
/// little slower and times out again. An eighth is the room TCP's own estimator leaves least.
pub(crate) const LEAST_ROOM: f64 = 1.125;
/// A held peak loses a tenth in two successes and half of it in eleven: slow beside what raises it.
const SHRINK: f64 = 15.0 / 16.0;

/// A number of seconds and the tick it was last touched at, in one word. Zero: nothing is held.
#[derive(Debug, Default)]
pub(crate) struct Peak(AtomicU64);

impl Peak {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Holds at least `seconds` from `tick` on.
    pub(crate) fn raise(&self, tick: Tick, window: u32, seconds: f64) {
        self.update(|word| {
            Some(word.renewed(tick, word.seconds(tick, window).unwrap_or(0.0).max(seconds)))
        });
    }

    /// Holds `most` seconds at most. A thread that is about to hold more by an older ceiling may
    /// do so after this: the limit is within its bounds all the same.
    pub(crate) fn cut(&self, most: f64) {
        self.update(|word| {
            let is_above = word.seconds_at_any_age().is_some_and(|held| held > most);
            is_above.then(|| word.at_most(most))
        });
    }

    /// Follows one success of `latency`: grows at once, shrinks slowly, goes once `ordinary` has
    /// caught up.
    pub(crate) fn follow(&self, tick: Tick, window: u32, success: &Success) {
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
    pub(crate) fn seconds(&self, tick: Tick, window: u32) -> Option<f64> {
        Dated::from_bits(self.0.load(Ordering::Relaxed)).seconds(tick, window)
    }

    fn update(&self, mut next: impl FnMut(Dated) -> Option<Dated>) {
        // Relaxed: the word carries all there is to know, and publishes nothing else.
        let mut current = self.0.load(Ordering::Relaxed);
        while let Some(wanted) = next(Dated::from_bits(current)) {
            match self.0.compare_exchange_weak(
                current,
                wanted.to_bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
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

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const fn success(latency: f64, factor: f64, ordinary: f64) -> Success {
        Success { latency, factor, ordinary, ceiling: 5.0 }
    }

    #[test]
    fn timeouts_that_expire_together_double_once() {
        let peak = Peak::new();
        (0..100).for_each(|_| peak.raise(Tick(1), 6, 0.2));
        assert!((peak.seconds(Tick(1), 6).unwrap() - 0.2).abs() < 1e-6);
    }

    #[test]
    fn grows_at_once_shrinks_slowly_and_goes_when_the_ordinary_limit_has_caught_up() {
        let peak = Peak::new();
        peak.follow(Tick(1), 6, &success(9.0, 2.0, 0.1));
        assert_eq!(peak.seconds(Tick(1), 6), None, "successes alone hold nothing");
        peak.raise(Tick(1), 6, 0.8);
        peak.follow(Tick(1), 6, &success(0.01, 2.0, 0.1));
        assert!((peak.seconds(Tick(1), 6).unwrap() - 0.75).abs() < 1e-6);
        peak.follow(Tick(1), 6, &success(0.5, 2.0, 0.1));
        assert!((peak.seconds(Tick(1), 6).unwrap() - 1.0).abs() < 1e-6);
        peak.follow(Tick(1), 6, &success(100.0, 2.0, 0.1));
        assert!((peak.seconds(Tick(1), 6).unwrap() - 5.0).abs() < 1e-6, "not above the ceiling");
        peak.follow(Tick(1), 6, &success(0.01, 2.0, 4.9));
        assert_eq!(peak.seconds(Tick(1), 6), None);
    }

    #[test]
    fn a_cut_holds_no_more_than_it_says_makes_nothing_younger_and_holds_nothing_new() {
        let peak = Peak::new();
        peak.cut(0.5);
        assert_eq!(peak.seconds(Tick(1), 6), None);
        peak.raise(Tick(1), 6, 0.8);
        peak.cut(0.9);
        assert!((peak.seconds(Tick(1), 6).unwrap() - 0.8).abs() < 1e-6);
        peak.cut(0.5);
        assert!((peak.seconds(Tick(6), 6).unwrap() - 0.5).abs() < 1e-6);
        assert_eq!(peak.seconds(Tick(7), 6), None);
    }

    #[test]
    fn what_is_held_ages_out_and_a_straggler_of_an_earlier_tick_still_sees_it() {
        let peak = Peak::new();
        peak.raise(Tick(u64::from(u32::MAX)), 6, 0.8);
        assert!(peak.seconds(Tick(u64::from(u32::MAX) - 1), 6).is_some());
        assert!(peak.seconds(Tick(u64::from(u32::MAX) + 5), 6).is_some());
        assert_eq!(peak.seconds(Tick(u64::from(u32::MAX) + 6), 6), None);
        peak.raise(Tick(u64::from(u32::MAX) - 1), 6, 0.8);
        assert!(
            peak.seconds(Tick(u64::from(u32::MAX) + 5), 6).is_some(),
            "a late word of an early tick makes it no older"
        );
        peak.raise(Tick(u64::from(u32::MAX) + 6), 6, 0.2);
        assert!(
            peak.seconds(Tick(u64::from(u32::MAX) + 6), 6).unwrap() < 0.3,
            "what is out of date counts no more"
        );
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
            let peak = Arc::new(Peak::new());
            let raise = || {
                let peak = Arc::clone(&peak);
                thread::spawn(move || peak.raise(Tick(1), 6, 0.2))
            };
            let others = [raise(), raise()];
            peak.follow(
                Tick(1),
                6,
                &Success { latency: 0.01, factor: 2.0, ordinary: 0.1, ceiling: 5.0 },
            );
            others.into_iter().for_each(|other| other.join().unwrap());
            let held = peak.seconds(Tick(1), 6).unwrap();
            assert!((0.187..=0.201).contains(&held), "{held}");
        });
    }

    #[test]
    fn a_cut_beside_a_timeout_and_a_success_holds_what_one_of_them_says() {
        loom::model(|| {
            let peak = Arc::new(Peak::new());
            peak.raise(Tick(1), 6, 0.8);
            let spawn = |act: fn(&Peak)| {
                let peak = Arc::clone(&peak);
                thread::spawn(move || act(&peak))
            };
            let others = [spawn(|peak| peak.cut(0.1)), spawn(|peak| peak.raise(Tick(1), 6, 0.2))];
            peak.follow(
                Tick(1),
                6,
                &Success { latency: 0.01, factor: 2.0, ordinary: 0.01, ceiling: 5.0 },
            );
            others.into_iter().for_each(|other| other.join().unwrap());
            let held = peak.seconds(Tick(1), 6).unwrap();
            assert!((0.093..=0.201).contains(&held), "never what was there before the cut: {held}");
        });
    }
}
