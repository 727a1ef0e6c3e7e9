//! Telling a wall clock that was set from time that passed.
//!
//! Each event compares its wall reading with a window: from a threshold before the last comparison
//! to a second after it. Readings inside cost one subtraction. The first one outside makes its
//! caller read the wall clock and a monotonic clock, and compare how far both have moved. So a
//! clock that goes on as it should is compared once a second. A step by more than the threshold is
//! noticed at once if it leads out of the window, and otherwise when the wall clock comes to the
//! end of it. A clock that never comes there, because it stands still or is set back again and
//! again, is not compared.

use std::{
    sync::{Mutex, TryLockError},
    time::Duration,
};

use crate::{
    Physical, PhysicalClock,
    sync::{AtomicU64, Ordering::Relaxed},
};

/// A step of the wall clock: it was set, and time did not pass with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Jump {
    /// The wall clock went ahead by so much more than time did.
    Forward(Duration),
    /// The wall clock went ahead by so much less than time did, or went back.
    Back(Duration),
}

/// After so much wall time the clocks are compared, whatever the readings.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// By how much a wall clock may be slewed without being set: twice the 500 ppm that Linux and NTP
/// (RFC 5905) allow. Linux slews the monotonic clock with it, other systems need not; so the
/// allowance is never more than one threshold.
const SLEW: f64 = 1e-3;

/// How often both clocks are read when the thread was paused between them.
const ATTEMPTS: usize = 3;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    wall: Physical,
    monotonic: Duration,
}

impl Anchor {
    /// `None` when the two readings lie too far apart to be compared.
    fn take(clock: &impl PhysicalClock, threshold: Duration) -> Option<Self> {
        (0..ATTEMPTS).find_map(|_| {
            let monotonic = clock.monotonic();
            let wall = clock.exact().into();
            let paused = clock.monotonic().saturating_sub(monotonic);
            (paused <= threshold / 2).then_some(Self { wall, monotonic })
        })
    }

    /// What became of the wall clock from `self` to `later`.
    fn jump_until(self, later: Self, threshold: Duration) -> Option<Jump> {
        let passed = later.monotonic.saturating_sub(self.monotonic);
        let allowed =
            threshold + Duration::from_secs_f64(passed.as_secs_f64() * SLEW).min(threshold);
        let expected = self.wall.since_epoch().saturating_add(passed);
        let found = later.wall.since_epoch();
        let (ahead, behind) = (found.saturating_sub(expected), expected.saturating_sub(found));
        if ahead > allowed {
            Some(Jump::Forward(ahead))
        } else {
            (behind > allowed).then_some(Jump::Back(behind))
        }
    }
}

/// Watches a wall clock through the readings that are taken anyway.
#[derive(Debug)]
pub(crate) struct JumpDetector {
    /// The start of the window, in grains. Read with every tick and written once a second: on no
    /// line that ticks write.
    start: AtomicU64,
    width: u64,
    threshold: Duration,
    anchor: Mutex<Option<Anchor>>,
    forward: AtomicU64,
    back: AtomicU64,
}

impl JumpDetector {
    pub(crate) fn new(clock: &impl PhysicalClock, threshold: Duration) -> Self {
        let detector = Self {
            start: AtomicU64::new(0),
            width: Physical::grains_in(threshold) + Physical::grains_in(COMPARE_EVERY),
            threshold,
            anchor: Mutex::new(None),
            forward: AtomicU64::new(0),
            back: AtomicU64::new(0),
        };
        detector.compare(clock);
        detector
    }

    /// Whether `wall` is outside the window, so that the clocks should be compared.
    #[inline]
    pub(crate) fn is_outside(&self, wall: Physical) -> bool {
        // Relaxed: a window that is a moment old makes one more thread compare, or one less.
        wall.grains().wrapping_sub(self.start.load(Relaxed)) > self.width
    }

    /// Compares the wall clock with time that passed, unless another thread does. Nothing but the
    /// two clocks is read under the lock.
    pub(crate) fn compare(&self, clock: &impl PhysicalClock) -> Option<Jump> {
        let mut anchor = match self.anchor.try_lock() {
            Ok(anchor) => anchor,
            // A clock that panicked left the anchor as it was.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let now = Anchor::take(clock, self.threshold)?;
        let jump = anchor.replace(now).and_then(|before| before.jump_until(now, self.threshold));
        self.start
            .store(now.wall.grains().saturating_sub(Physical::grains_in(self.threshold)), Relaxed);
        match jump {
            Some(Jump::Forward(_)) => self.forward.fetch_add(1, Relaxed),
            Some(Jump::Back(_)) => self.back.fetch_add(1, Relaxed),
            None => 0,
        };
        jump
    }

    /// How many jumps were seen, forward and back.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.forward.load(Relaxed), self.back.load(Relaxed))
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::SystemTime,
    };

    use steadfast_core::{ManualWallClock, WallClock};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const THRESHOLD: Duration = Duration::from_millis(128);

    struct Watched {
        clock: ManualWallClock,
        detector: JumpDetector,
    }

    impl Watched {
        fn new() -> Self {
            let clock =
                ManualWallClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
            let detector = JumpDetector::new(&clock, THRESHOLD);
            Self { clock, detector }
        }

        /// One tick.
        fn tick(&self) -> Option<Jump> {
            if self.detector.is_outside(self.clock.physical()) {
                self.detector.compare(&self.clock)
            } else {
                None
            }
        }
    }

    #[test]
    fn time_that_passes_is_no_jump_however_long_nobody_looks() {
        let watched = Watched::new();
        for pause in [MS, 999 * MS, 5000 * MS, 3_600_000 * MS, MS] {
            watched.clock.advance(pause);
            assert_eq!(watched.tick(), None, "{pause:?}");
        }
        assert_eq!(watched.detector.counts(), (0, 0));
    }

    #[test]
    fn a_step_out_of_the_window_is_seen_by_the_next_tick_and_once() {
        let watched = Watched::new();
        watched.clock.step_back(3_600_000 * MS);
        assert_eq!(watched.tick(), Some(Jump::Back(3_600_000 * MS)));
        assert_eq!(watched.tick(), None);
        watched.clock.step_forward(7_200_000 * MS);
        assert_eq!(watched.tick(), Some(Jump::Forward(7_200_000 * MS)));
        assert_eq!(watched.tick(), None);
        assert_eq!(watched.detector.counts(), (1, 1));
    }

    #[test]
    fn a_step_within_the_window_is_seen_once_before_a_second_and_the_threshold_are_over() {
        // The last one leads from the end of the window to its start.
        let steps = [
            (500, Jump::Forward(400 * MS)),
            (500, Jump::Back(400 * MS)),
            (1000, Jump::Back(1128 * MS)),
        ];
        for (after, expected) in steps {
            let watched = Watched::new();
            watched.clock.advance(after * MS);
            match expected {
                Jump::Forward(by) => watched.clock.step_forward(by),
                Jump::Back(by) => watched.clock.step_back(by),
            }
            let mut seen = Vec::new();
            for passed in 0..=1129 {
                seen.extend(watched.tick().map(|jump| (passed, jump)));
                watched.clock.advance(MS);
            }
            assert!(matches!(seen[..], [(1.., jump)] if jump == expected), "{seen:?}");
        }
    }

    #[test]
    fn a_step_back_over_the_window_is_seen_at_once_however_long_ago_somebody_looked() {
        let watched = Watched::new();
        watched.clock.advance(1000 * MS);
        watched.clock.step_back(1129 * MS);
        assert_eq!(watched.tick(), Some(Jump::Back(1129 * MS)));
    }

    #[test]
    fn what_ntp_slews_is_no_jump_but_what_it_steps_is() {
        let watched = Watched::new();
        for _ in 0..3600 {
            // Two seconds, slewed by 500 ppm.
            watched.clock.advance(2000 * MS);
            watched.clock.step_forward(MS);
            assert_eq!(watched.tick(), None);
        }
        watched.clock.advance(1000 * MS);
        watched.clock.step_back(THRESHOLD + 10 * MS);
        watched.clock.advance(2000 * MS);
        assert_eq!(watched.tick(), Some(Jump::Back(THRESHOLD + 10 * MS)));
    }

    #[test]
    fn a_step_while_nobody_looked_is_hidden_by_at_most_one_more_threshold() {
        let watched = Watched::new();
        watched.clock.advance(24 * 3_600_000 * MS);
        watched.clock.step_forward(3500 * MS);
        assert_eq!(watched.tick(), Some(Jump::Forward(3500 * MS)));
    }

    /// Something happens to the thread in the middle of the next looks, between the readings of the
    /// two clocks.
    struct Interrupted {
        clock: ManualWallClock,
        looks: AtomicU64,
        interrupt: fn(&ManualWallClock),
    }

    impl Interrupted {
        fn new(interrupt: fn(&ManualWallClock)) -> (Self, JumpDetector) {
            let Watched { clock, detector } = Watched::new();
            (Self { clock, looks: AtomicU64::new(0), interrupt }, detector)
        }
    }

    impl WallClock for Interrupted {
        fn now(&self) -> SystemTime {
            self.clock.now()
        }
    }

    impl PhysicalClock for Interrupted {
        fn exact(&self) -> SystemTime {
            if self.looks.fetch_update(Relaxed, Relaxed, |looks| looks.checked_sub(1)).is_ok() {
                (self.interrupt)(&self.clock);
            }
            self.clock.now()
        }

        fn monotonic(&self) -> Duration {
            self.clock.monotonic()
        }
    }

    #[test]
    fn a_thread_that_is_paused_in_the_middle_of_a_look_sees_no_jump() {
        for pauses in 1..=2 * ATTEMPTS as u64 {
            let (clock, detector) = Interrupted::new(|clock| clock.advance(5000 * MS));
            clock.looks.store(pauses, Relaxed);
            for _ in 0..4 {
                assert_eq!(detector.compare(&clock), None, "{pauses} pauses");
            }
            clock.clock.step_back(3_600_000 * MS);
            assert_eq!(
                detector.compare(&clock),
                Some(Jump::Back(3_600_000 * MS)),
                "and what is one is seen"
            );
        }
    }

    #[test]
    fn a_wall_clock_that_panicked_is_watched_as_before() {
        let (clock, detector) = Interrupted::new(|_| panic!("while it is read"));
        clock.looks.store(1, Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| detector.compare(&clock))).is_err());
        clock.clock.step_forward(3_600_000 * MS);
        assert_eq!(detector.compare(&clock), Some(Jump::Forward(3_600_000 * MS)));
        assert_eq!(detector.counts(), (1, 0));
    }

    #[test]
    fn a_monotonic_clock_without_end_does_not_overflow() {
        let anchor = |monotonic| Anchor { wall: Physical::MAX, monotonic };
        let jump = anchor(Duration::ZERO).jump_until(anchor(Duration::MAX), THRESHOLD);
        assert!(matches!(jump, Some(Jump::Back(_))));
    }
}
