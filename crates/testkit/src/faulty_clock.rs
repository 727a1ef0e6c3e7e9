//! A clock that goes wrong, for a hybrid clock to stand on.

use std::{
    ops::Deref,
    time::{Duration, SystemTime},
};

use steadfast_chaos::ClockFault;
use steadfast_clock::PhysicalClock;
use steadfast_core::{SystemWallClock, WallClock};

/// A [`ClockFault`] that is a [`PhysicalClock`]: neither of their crates knows the other.
///
/// A fault is a jump of the wall clock; the monotonic one goes on.
#[derive(Debug)]
pub struct FaultyClock<C = SystemWallClock>(ClockFault<C>);

impl<C: WallClock> FaultyClock<C> {
    /// `clock`, right for now.
    #[must_use]
    pub fn new(clock: C) -> Self {
        Self(ClockFault::new(clock))
    }

    /// The same clock, ahead by so many nanoseconds, behind if negative: up to 292 years.
    #[must_use]
    pub fn ahead_by_nanos(self, nanos: i64) -> Self {
        Self(self.0.ahead_by_nanos(nanos))
    }
}

impl Default for FaultyClock {
    /// The system's wall clock.
    fn default() -> Self {
        Self::new(SystemWallClock)
    }
}

impl<C> Deref for FaultyClock<C> {
    type Target = ClockFault<C>;

    fn deref(&self) -> &ClockFault<C> {
        &self.0
    }
}

impl<C: WallClock> WallClock for FaultyClock<C> {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

impl<C: PhysicalClock> PhysicalClock for FaultyClock<C> {
    fn exact(&self) -> SystemTime {
        self.distort(self.inner().exact())
    }

    fn monotonic(&self) -> Duration {
        self.inner().monotonic()
    }

    fn lag(&self) -> Duration {
        self.inner().lag()
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::ManualWallClock;

    use super::*;

    #[test]
    fn a_fault_moves_what_it_shows_and_no_time_that_passes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let clock = FaultyClock::new(ManualWallClock::new(now)).ahead_by_nanos(2_000_000_000);
        assert_eq!((clock.now(), clock.exact()), (now + Duration::from_secs(2), clock.now()));
        clock.step_back(Duration::from_secs(5));
        assert_eq!(clock.now(), now - Duration::from_secs(3));
        assert_eq!(clock.monotonic(), Duration::ZERO, "a step is no time that passes");
    }
}
