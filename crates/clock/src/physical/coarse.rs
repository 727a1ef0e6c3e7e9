//! The system's wall clock at its last tick.

use std::time::{Duration, SystemTime};

use steadfast_core::{SystemWallClock, WallClock};

use super::reading;
use crate::{Physical, PhysicalClock};

/// The system's wall clock as of the kernel's last tick: `CLOCK_REALTIME_COARSE` on Linux,
/// elsewhere the system's wall clock.
///
/// Moves in steps of 1 to 10 ms (4 ms on common kernels), and costs a fraction of an exact reading.
/// A step is longer when its interrupt is late: then readings are further behind than
/// [`lag`](PhysicalClock::lag) says. Where that matters, in a [`BoundedClock`](crate::BoundedClock)
/// and to tell a jump, the system's clock is [read exactly](PhysicalClock::exact).
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl WallClock for CoarseClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + reading::coarse()
    }
}

impl PhysicalClock for CoarseClock {
    #[inline]
    fn physical(&self) -> Physical {
        Physical::from_unix(reading::coarse())
    }

    /// The system's wall clock itself.
    fn exact(&self) -> SystemTime {
        SystemWallClock.now()
    }

    /// The longest tick there is: 100 Hz. A late one takes longer.
    fn lag(&self) -> Duration {
        Duration::from_millis(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_ahead_of_the_exact_clock() {
        for _ in 0..1000 {
            let (before, coarse) = (SystemWallClock.now(), CoarseClock.now());
            let after = CoarseClock.exact();
            // A machine whose clock is set back meanwhile proves nothing.
            assert!(coarse <= after || after < before, "{coarse:?} {after:?}");
        }
    }

    /// That a single reading may be further behind is why nothing relies on the lag.
    #[test]
    fn of_many_readings_the_best_is_behind_by_at_most_a_tick() {
        let behind = (0..1000).map(|_| {
            let coarse = CoarseClock.physical();
            Physical::from(CoarseClock.exact()).since(coarse)
        });
        let best = behind.min();
        assert!(best <= Some(CoarseClock.lag()), "{best:?}");
    }
}
