//! The task that raises a high water ahead of time.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use crate::{
    HighWater, HighWaterError, PersistentHlc, PhysicalClock, persistent::WeakPersistentHlc,
};

/// How a [`Keeper`] is set up. Checked where it is made.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct KeeperConfig {
    every: Option<Duration>,
}

impl KeeperConfig {
    /// The default: it looks four times in each [`max_drift`](crate::HlcConfig::max_drift).
    pub const fn new() -> Self {
        Self { every: None }
    }

    /// How often it looks whether the mark must be raised: from 1 ms, which is as fine as timers
    /// are, to a quarter of [`max_drift`](crate::HlcConfig::max_drift), which is the default.
    ///
    /// The store has three eighths of `max_drift` less this to answer before an event waits: with
    /// the defaults 62 ms, and 125 ms when it looks every 62 ms. It is not asked more often than
    /// once in an eighth of `max_drift`, however often the keeper looks, but for two tries after a
    /// failure, and a clock that leads its wall clock, whose reserve is small at first.
    pub const fn every(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self
    }
}

/// Raises the high water of a [`PersistentHlc`] ahead of time, so that no event waits for the
/// store: [`run`](Self::run) is a future to spawn.
///
/// ```
/// use steadfast_clock::{HighWaterFile, HlcConfig, Keeper, KeeperConfig, PersistentHlc};
/// use steadfast_core::SystemWallClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("steadfast-keeper-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let mark = directory.join("mark");
/// let open = || {
///     PersistentHlc::open(SystemWallClock, HlcConfig::new(), HighWaterFile::open(&mark)?)
/// };
/// let clock = open()?;
/// let keeper = tokio::spawn(Keeper::new(&clock, KeeperConfig::new())?.run());
///
/// let stamp = clock.tick()?;
/// let state = clock.snapshot();
/// assert!(state.high_water >= stamp && state.failed == 0);
///
/// // It ends when the last handle of the clock is gone, and then the file is free.
/// drop(clock);
/// keeper.await?;
/// assert!(open()?.tick()? > stamp);
/// # std::fs::remove_dir_all(directory)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "it keeps nothing until its future runs"]
pub struct Keeper<C, H> {
    clock: WeakPersistentHlc<C, H>,
    every: Duration,
    /// How often a store is asked that goes on failing.
    retry: Duration,
    #[cfg_attr(
        not(feature = "tracing"),
        expect(dead_code, reason = "only events carry the name from here")
    )]
    name: Arc<str>,
}

impl<C: PhysicalClock, H: HighWater> Keeper<C, H> {
    /// A keeper of `clock`, which it does not keep alive.
    ///
    /// # Errors
    /// When `config` cannot work: with the field and its value. A clock whose `max_drift` is below
    /// 4 ms cannot be kept ahead by a timer.
    pub fn new(clock: &PersistentHlc<C, H>, config: KeeperConfig) -> Result<Self, ConfigError> {
        let longest = clock.reserve().since_epoch() / 2;
        let every = config.every.unwrap_or(longest);
        let fits = (TIMER_WIDTH..=longest).contains(&every);
        ConfigError::require(fits, "every", every, "from 1 ms to a quarter of max_drift")?;
        // As often as one that works, at most.
        let retry = every.max(longest / 2);
        Ok(Self { clock: WeakPersistentHlc::of(clock), every, retry, name: clock.hlc().name() })
    }

    /// Keeps the mark ahead until the last other handle of the clock is gone, which it notices when
    /// it looks next. It holds the clock while it looks and stores: once it has ended, the store is
    /// free for another one. It stores on a thread of the runtime that may block.
    ///
    /// **When the store fails**, or panics, it tries again: after a quarter of its period, then a
    /// half, then once in each period, or in an eighth of `max_drift` if that is longer. Events
    /// need no store until the mark is reached; then each of them tries for itself, fails with the
    /// store, and stamps again as soon as the store works.
    /// [`failed`](crate::PersistentHlcSnapshot::failed) counts the failures, and with the feature
    /// `tracing` the keeper's are warnings. A program that would rather end calls
    /// [`keep_ahead`](PersistentHlc::keep_ahead) in a loop of its own.
    ///
    /// **When it is late**, because the store is slow or the runtime is starved, or when the wall
    /// clock is set forward, events wait for the store as they do without it. No stamp is ever
    /// given out above the mark.
    ///
    /// **When the future is dropped** it only stops. A store that is under way ends on its thread,
    /// which holds the clock for as long.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled.
    pub async fn run(self) {
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            failures = match self.look().await {
                Look::Kept => 0,
                Look::Failed => failures.saturating_add(1),
                Look::Over => return,
            };
            sleep_until(begun + pause(self.every, self.retry, failures)).await;
        }
    }

    async fn look(&self) -> Look {
        let Some(clock) = self.clock.upgrade() else { return Look::Over };
        if !clock.needs_raising() {
            return Look::Kept;
        }
        match spawn_blocking(move || clock.keep_ahead()).await {
            Ok(Ok(())) => Look::Kept,
            Ok(Err(error)) => {
                self.tell(&error);
                Look::Failed
            }
            // The store panicked, which the panic hook has told.
            Err(error) if error.is_panic() => Look::Failed,
            // The runtime is shut down.
            Err(_) => Look::Over,
        }
    }

    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
    fn tell(&self, error: &HighWaterError) {
        #[cfg(feature = "tracing")]
        {
            let error: &(dyn std::error::Error + 'static) = error;
            tracing::warn!(target: "steadfast::clock", clock = &*self.name, error, "the high water could not be kept ahead");
        }
    }
}

/// What came of a look at the clock.
enum Look {
    Kept,
    Failed,
    Over,
}

/// As fine as tokio's timer is.
const TIMER_WIDTH: Duration = Duration::from_millis(1);

/// From one look to the next, after so many failures in a row: the first are tried again soon, so
/// that one of them leaves time before the mark is reached. A store that goes on failing is left in
/// peace for longer than a keeper may look at the clock.
fn pause(every: Duration, retry: Duration, failures: u32) -> Duration {
    match failures {
        0 => every,
        1 => (every / 4).max(TIMER_WIDTH),
        2 => (every / 2).max(TIMER_WIDTH),
        _ => retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_it_looks_sooner_and_after_more_of_them_as_often_as_ever() {
        const MS: Duration = Duration::from_millis(1);
        let pauses = (0..6).map(|failures| pause(128 * MS, 128 * MS, failures));
        assert!(pauses.eq([128, 32, 64, 128, 128, 128].map(|millis| millis * MS)));
        assert_eq!(pause(MS, 62 * MS, 1), MS, "never sooner than a timer can");
        assert_eq!(pause(MS, 62 * MS, u32::MAX), 62 * MS, "not as often as it looks");
    }
}
