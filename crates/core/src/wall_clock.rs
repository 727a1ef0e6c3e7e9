//! Wall time, only where it is the subject.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Tells what the wall clock says. It may jump either way; measure durations with a monotonic clock instead.
pub trait WallClock: Send + Sync + 'static {
    /// The wall time now.
    fn now(&self) -> SystemTime;
}

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A wall clock that stands still until it is moved, for tests of skew and jumps.
#[derive(Debug)]
pub struct ManualWallClock(Mutex<SystemTime>);

impl ManualWallClock {
    /// A clock that says `now`.
    #[must_use]
    pub const fn new(now: SystemTime) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Moves the clock back.
    pub fn step_back(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) -= by;
    }
}

impl WallClock for ManualWallClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: WallClock + ?Sized> WallClock for std::sync::Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}
