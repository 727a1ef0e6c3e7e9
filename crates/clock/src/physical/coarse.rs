//! The system's wall clock at its last tick.

use std::time::{Duration, SystemTime};

use steadfast_core::WallClock;

use super::reading;
use crate::{Physical, PhysicalClock};

/// The system's wall clock as of the kernel's last tick: `CLOCK_REALTIME_COARSE` on Linux, elsewhere the system's wall clock.
///
/// Moves in steps of 1 to 10 ms (4 ms on common kernels), and costs a fraction of an exact reading.
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

    /// The longest tick there is: 100 Hz.
    fn lag(&self) -> Duration {
        Duration::from_millis(10)
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::SystemWallClock;

    use super::*;

    #[test]
    fn it_is_behind_the_exact_clock_by_at_most_its_lag() {
        let behind = (0..1000)
            .map(|_| {
                let coarse = CoarseClock.physical();
                SystemWallClock.physical().since(coarse)
            })
            .min();
        assert!(behind <= Some(CoarseClock.lag()), "{behind:?}");
    }
}
