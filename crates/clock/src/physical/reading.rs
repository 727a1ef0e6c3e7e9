//! The one place that reads the system's clocks, as durations.
//!
//! A `SystemTime` costs as much to read, and the epoch must then be taken from it: 28 ns down to
//! the grain, where this way took 25 and either reading alone 24 (a virtual machine on an Intel
//! Xeon).

#[cfg(feature = "kernel")]
pub(crate) use self::system::awake;
pub(super) use self::system::{coarse, exact};

#[cfg(target_os = "linux")]
mod system {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// The wall time since the epoch.
    #[inline]
    pub(crate) fn exact() -> Duration {
        read(ClockId::Realtime)
    }

    /// The same at the kernel's last tick.
    #[inline]
    pub(crate) fn coarse() -> Duration {
        read(ClockId::RealtimeCoarse)
    }

    /// The time since boot that the machine was not suspended.
    #[cfg(feature = "kernel")]
    pub(crate) fn awake() -> Duration {
        read(ClockId::Monotonic)
    }

    #[inline]
    fn read(clock: ClockId) -> Duration {
        let time = clock_gettime(clock);
        // Nanoseconds are never negative and less than a second; a time before the epoch has
        // negative seconds.
        from_parts(time.tv_sec, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    /// Before the epoch it is the epoch.
    #[inline]
    fn from_parts(secs: i64, nanos: u32) -> Duration {
        u64::try_from(secs).map_or(Duration::ZERO, |secs| Duration::new(secs, nanos))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_system_clock_before_the_epoch_does_not_underflow() {
            for (secs, nanos) in [(-1, 999_999_999), (-1, 0), (i64::MIN, 0), (0, 0)] {
                assert_eq!(from_parts(secs, nanos), Duration::ZERO, "{secs} s and {nanos} ns");
            }
            assert_eq!(from_parts(0, 1), Duration::from_nanos(1));
            assert_eq!(
                from_parts(i64::MAX, 999_999_999),
                Duration::new(i64::MAX.unsigned_abs(), 999_999_999)
            );
        }

        #[test]
        fn it_says_what_the_standard_library_says() {
            use steadfast_core::{SystemWallClock, WallClock};
            let standard = || {
                SystemWallClock
                    .now()
                    .duration_since(std::time::SystemTime::UNIX_EPOCH)
                    .unwrap_or_default()
            };
            // The clock may be set in between: not each of a hundred times.
            let agrees = |_| {
                let (before, read, after) = (standard(), exact(), standard());
                (before..=after).contains(&read)
            };
            assert!((0..100).any(agrees));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::{Duration, SystemTime};

    use steadfast_core::{SystemWallClock, WallClock};

    pub(crate) fn exact() -> Duration {
        SystemWallClock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
    }

    pub(crate) fn coarse() -> Duration {
        exact()
    }

    /// Nothing is known of suspend.
    #[cfg(feature = "kernel")]
    pub(crate) fn awake() -> Duration {
        steadfast_core::BootClock::system().now().since_zero()
    }
}
