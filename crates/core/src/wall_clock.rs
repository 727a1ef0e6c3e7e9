//! Wall time, only where it is the subject.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use crate::lock::lock;

/// Tells what the wall clock says. It may jump either way; measure durations with a monotonic clock
/// instead.
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
pub struct ManualWallClock(Mutex<Manual>);

#[derive(Debug)]
struct Manual {
    now: SystemTime,
    elapsed: Duration,
}

impl ManualWallClock {
    /// A clock that says `now`.
    #[must_use]
    pub const fn new(now: SystemTime) -> Self {
        Self(Mutex::new(Manual { now, elapsed: Duration::ZERO }))
    }

    /// Sets the clock, forward or back: no time passes.
    pub fn set(&self, now: SystemTime) {
        self.lock().now = now;
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut manual = self.lock();
        manual.now += by;
        manual.elapsed += by;
    }

    /// Sets the clock forward: no time passes.
    pub fn step_forward(&self, by: Duration) {
        self.lock().now += by;
    }

    /// Sets the clock back: no time passes.
    pub fn step_back(&self, by: Duration) {
        self.lock().now -= by;
    }

    /// The time that has passed, whatever the clock was set to: the sum of all that it was advanced
    /// by.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        // An addition that overflows panics before it has written anything.
        lock(&self.0)
    }
}

impl WallClock for ManualWallClock {
    fn now(&self) -> SystemTime {
        self.lock().now
    }
}

impl<C: WallClock + ?Sized> WallClock for std::sync::Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}
