//! A wall clock that says how wrong it may be.

use steadfast_core::SystemWallClock;

use crate::{Interval, PhysicalClock, Uncertainty, Unknown};

/// A wall clock that answers with an [`Interval`] instead of a time.
///
/// If `reading` is what the wall clock says, and `bound` what the source says of its error, then
/// [`now`](Self::now) is `[reading − bound, reading + bound]`. The true time at which the clock was
/// read lies in it, **if the bound is honest**. Nothing here can check that: a daemon that follows
/// a wrong server keeps a wrong clock with a small bound. Time goes on while the answer is used:
/// what has certainly passed stays so; what certainly lies ahead need not.
///
/// The clock is read [exactly](PhysicalClock::exact) each time, behind a
/// [`CoarseClock`](crate::CoarseClock) or a [`CachedClock`](crate::CachedClock) too: the age of a
/// kept reading has no bound.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use steadfast_clock::{BoundedClock, Certainty, FixedBound};
///
/// let clock = BoundedClock::system(FixedBound::new(Duration::from_millis(10))?);
/// let now = clock.now()?;
/// assert_eq!(now.width(), Duration::from_millis(20));
/// assert_eq!(now.compare(SystemTime::UNIX_EPOCH), Certainty::After);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BoundedClock<U, C = SystemWallClock> {
    clock: C,
    uncertainty: U,
}

impl<U: Uncertainty> BoundedClock<U> {
    /// The system's wall clock, off by what `uncertainty` says.
    #[must_use]
    pub const fn system(uncertainty: U) -> Self {
        Self::new(SystemWallClock, uncertainty)
    }
}

impl<U: Uncertainty, C: PhysicalClock> BoundedClock<U, C> {
    /// `clock`, off by what `uncertainty` says.
    #[must_use]
    pub const fn new(clock: C, uncertainty: U) -> Self {
        Self { clock, uncertainty }
    }

    /// The true time, as narrow as it is known.
    ///
    /// # Errors
    /// When the source cannot say how wrong the clock is.
    pub fn now(&self) -> Result<Interval, Unknown> {
        // Asked on both sides of the reading, and the worse answer counts. A thread may be paused
        // between the two, while the bound grows, or while the clock is set and the bound shrinks:
        // then only the one before holds for the reading.
        let before = self.uncertainty.bound()?;
        let reading = self.clock.exact();
        let after = self.uncertainty.bound()?;
        Ok(Interval::around(reading, before.max(after)))
    }

    /// The wall clock it reads.
    #[must_use]
    pub const fn clock(&self) -> &C {
        &self.clock
    }

    /// The source of its bound.
    #[must_use]
    pub const fn uncertainty(&self) -> &U {
        &self.uncertainty
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::{Duration, SystemTime},
    };

    use proptest::prelude::*;
    use steadfast_core::{ManualWallClock, WallClock};

    use super::*;
    use crate::FixedBound;

    const MS: Duration = Duration::from_millis(1);

    fn epoch(after: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + after
    }

    /// Keeps a reading that is behind by more than it says.
    struct Lagging(SystemTime, Duration);

    impl WallClock for Lagging {
        fn now(&self) -> SystemTime {
            self.0 - self.1
        }
    }

    impl PhysicalClock for Lagging {
        fn exact(&self) -> SystemTime {
            self.0
        }

        fn lag(&self) -> Duration {
            self.1 / 2
        }
    }

    #[test]
    fn a_kept_reading_is_not_believed_whatever_is_said_of_its_lag() {
        let clock =
            BoundedClock::new(Lagging(epoch(100 * MS), 40 * MS), FixedBound::new(10 * MS).unwrap());
        let now = clock.now().unwrap();
        assert_eq!((now.earliest(), now.latest()), (epoch(90 * MS), epoch(110 * MS)));
    }

    #[test]
    fn of_two_bounds_round_a_reading_the_worse_counts() {
        for (before, after) in [(3, 8), (8, 3)] {
            let answers = Mutex::new(vec![after, before]);
            let source = move || Ok(answers.lock().unwrap().pop().unwrap() * MS);
            let clock = BoundedClock::new(ManualWallClock::new(epoch(100 * MS)), source);
            assert_eq!(clock.now().unwrap().width(), 16 * MS);
        }
    }

    #[test]
    fn an_unknown_bound_on_either_side_of_the_reading_is_an_unknown_time() {
        for known_first in [0, 1] {
            let asked = Mutex::new(0);
            let source = move || {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                if *asked > known_first { Err(Unknown::Unsynchronised) } else { Ok(MS) }
            };
            let clock = BoundedClock::new(ManualWallClock::new(epoch(MS)), source);
            assert_eq!(clock.now(), Err(Unknown::Unsynchronised));
        }
    }

    #[test]
    fn a_bound_without_end_is_all_of_time() {
        let clock =
            BoundedClock::new(Arc::new(ManualWallClock::new(epoch(MS))), || Ok(Duration::MAX));
        assert!(clock.now().unwrap().contains(SystemTime::UNIX_EPOCH));
        assert!(clock.uncertainty().bound().is_ok() && clock.clock().now() == epoch(MS));
    }

    proptest! {
        #[test]
        fn the_true_time_is_within_whatever_the_clock_does_within_its_bound(
            truth in 10_000_000_000..20_000_000_000_u64,
            bound in 1..1_000_000_000_u64,
            behind in 0..1_000_000_000_u64,
            off in -1.0..=1.0_f64,
        ) {
            // A clock that is off by part of the bound, and that keeps a reading of long ago.
            let shift = (bound as f64 * off) as i64;
            let reading = epoch(Duration::from_nanos(truth.checked_add_signed(shift).unwrap()));
            let source = FixedBound::new(Duration::from_nanos(bound)).unwrap();
            let clock = BoundedClock::new(Lagging(reading, Duration::from_nanos(behind)), source);
            prop_assert!(clock.now().unwrap().contains(epoch(Duration::from_nanos(truth))));
        }
    }
}
