//! A wall clock read by one for all.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use steadfast_core::{ConfigError, SystemWallClock, WallClock};

use crate::{Physical, PhysicalClock};

/// What one task or thread last read from another clock: for many events, where milliseconds do not
/// matter and there is no [`CoarseClock`](crate::CoarseClock).
///
/// It stands still unless it is kept fresh: by a task that runs `keep_fresh` (feature `tokio`), or
/// a thread that calls [`refresh`](Self::refresh). If that one is starved, readings are older than
/// [`lag`](PhysicalClock::lag) says; a hybrid clock stays monotone, and becomes stricter about
/// stamps ahead of it. A [`BoundedClock`](crate::BoundedClock) [reads the clock
/// behind](PhysicalClock::exact).
#[derive(Debug)]
pub struct CachedClock<C = SystemWallClock> {
    grains: AtomicU64,
    every: Duration,
    clock: C,
}

impl CachedClock {
    /// Caches the system's wall clock, to be refreshed `every` so often.
    ///
    /// # Errors
    /// When `every` is below a millisecond, which is as fine as timers are, or above a second.
    pub fn new(every: Duration) -> Result<Self, ConfigError> {
        Self::of(SystemWallClock, every)
    }
}

impl<C: PhysicalClock> CachedClock<C> {
    /// Caches `clock`, to be refreshed `every` so often.
    ///
    /// # Errors
    /// When `every` is below a millisecond, which is as fine as timers are, or above a second.
    pub fn of(clock: C, every: Duration) -> Result<Self, ConfigError> {
        let fits = (Duration::from_millis(1)..=Duration::from_secs(1)).contains(&every);
        ConfigError::require(fits, "every", every, "from 1 ms to a second")?;
        Ok(Self { grains: AtomicU64::new(clock.physical().grains()), every, clock })
    }

    /// Reads the clock behind.
    pub fn refresh(&self) {
        self.keep(self.clock.physical());
    }

    fn keep(&self, reading: Physical) {
        // Relaxed, here and below: the word stands for itself. Of two refreshes at once the earlier
        // reading may win, until the next one.
        self.grains.store(reading.grains(), Ordering::Relaxed);
    }

    /// Refreshes this clock until its last other handle is gone: spawn it as a task.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use steadfast_clock::{CachedClock, Hlc};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = Arc::new(CachedClock::new(Duration::from_millis(1))?);
    /// tokio::spawn(CachedClock::keep_fresh(&clock));
    /// let hlc = Hlc::new(clock, Default::default())?;
    /// assert!(hlc.tick() < hlc.tick());
    /// # Ok(()) }
    /// ```
    ///
    /// Cancelling it only stops it. It needs a runtime with its timer enabled.
    #[cfg(feature = "tokio")]
    pub fn keep_fresh(this: &std::sync::Arc<Self>) -> impl Future<Output = ()> + Send + use<C> {
        let (weak, every) = (std::sync::Arc::downgrade(this), this.every);
        async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(clock) = weak.upgrade() else { return };
                clock.refresh();
            }
        }
    }
}

impl<C: PhysicalClock> WallClock for CachedClock<C> {
    fn now(&self) -> SystemTime {
        self.physical().into()
    }
}

impl<C: PhysicalClock> PhysicalClock for CachedClock<C> {
    #[inline]
    fn physical(&self) -> Physical {
        Physical::from_grains(self.grains.load(Ordering::Relaxed))
    }

    /// What the clock behind says now. The cache keeps it.
    fn exact(&self) -> SystemTime {
        let reading = self.clock.exact();
        self.keep(reading.into());
        reading
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn lag(&self) -> Duration {
        // A reading is kept in whole grains, rounded down.
        self.every + Physical::GRAIN + self.clock.lag()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steadfast_core::ManualWallClock;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn manual() -> Arc<ManualWallClock> {
        Arc::new(ManualWallClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1000)))
    }

    #[test]
    fn it_moves_when_it_is_refreshed() {
        let wall = manual();
        let cached = CachedClock::of(Arc::clone(&wall), MS).unwrap();
        wall.advance(5 * MS);
        assert_eq!(cached.physical().since_epoch(), Duration::from_secs(1000));
        cached.refresh();
        assert_eq!(cached.physical().since_epoch(), Duration::from_secs(1000) + 5 * MS);
        assert_eq!(cached.monotonic(), 5 * MS);
        assert_eq!(cached.lag(), MS + Physical::GRAIN);
    }

    #[test]
    fn a_period_that_cannot_work_is_refused() {
        for every in [Duration::ZERO, MS / 2, Duration::from_secs(2)] {
            assert_eq!(CachedClock::new(every).unwrap_err().field, "every");
        }
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn the_task_keeps_it_fresh_and_ends_with_the_last_handle() {
        let wall = manual();
        let cached = Arc::new(CachedClock::of(Arc::clone(&wall), MS).unwrap());
        let task = tokio::spawn(CachedClock::keep_fresh(&cached));
        for _ in 0..3 {
            wall.advance(MS);
            tokio::time::sleep(MS).await;
            assert_eq!(cached.physical(), wall.physical());
        }
        drop(cached);
        tokio::time::timeout(Duration::from_secs(1), task).await.unwrap().unwrap();
    }
}
