//! A wall clock that is wrong by a known length of time.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use steadfast_clock::PhysicalClock;
use steadfast_core::{SystemWallClock, WallClock};

/// Another clock, off by so much: for tests and demonstrations of skew and of clocks that are set.
///
/// A new offset is a jump of the wall clock; the monotonic one goes on.
#[derive(Debug, Default)]
pub struct ShiftedClock<C = SystemWallClock> {
    offset_nanos: AtomicI64,
    clock: C,
}

impl<C> ShiftedClock<C> {
    /// `clock`, right for now.
    pub const fn new(clock: C) -> Self {
        Self { offset_nanos: AtomicI64::new(0), clock }
    }

    /// The same clock, ahead by so many nanoseconds, behind if negative. Up to 292 years either
    /// way.
    #[must_use]
    pub fn ahead_by_nanos(self, nanos: i64) -> Self {
        self.set_offset_nanos(nanos);
        self
    }

    /// From now on it is ahead by so many nanoseconds, or behind if negative.
    pub fn set_offset_nanos(&self, nanos: i64) {
        // Relaxed, here and below: the word stands for itself.
        self.offset_nanos.store(nanos, Ordering::Relaxed);
    }

    fn shift(&self, now: SystemTime) -> SystemTime {
        let offset = self.offset_nanos.load(Ordering::Relaxed);
        let by = Duration::from_nanos(offset.unsigned_abs());
        let shifted = if offset < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        // Where the time cannot be said, the offset is beyond what this type is for.
        shifted.unwrap_or(now)
    }
}

impl<C: WallClock> WallClock for ShiftedClock<C> {
    fn now(&self) -> SystemTime {
        self.shift(self.clock.now())
    }
}

impl<C: PhysicalClock> PhysicalClock for ShiftedClock<C> {
    fn exact(&self) -> SystemTime {
        self.shift(self.clock.exact())
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn lag(&self) -> Duration {
        self.clock.lag()
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::ManualWallClock;

    use super::*;

    #[test]
    fn it_is_off_by_what_it_was_told_either_way() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let clock = ShiftedClock::new(ManualWallClock::new(now)).ahead_by_nanos(2_000_000_000);
        assert_eq!(clock.now(), now + Duration::from_secs(2));
        clock.set_offset_nanos(-3_000_000_000);
        assert_eq!(clock.now(), now - Duration::from_secs(3));
        assert_eq!(clock.monotonic(), Duration::ZERO, "an offset is no time that passes");
    }
}
