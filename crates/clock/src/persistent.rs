//! A clock that stays monotone across restarts.

#[cfg(feature = "tokio")]
mod weak;

use std::{sync::Arc, time::Duration};

use steadfast_core::{ConfigError, Snapshot, parts::lock};

#[cfg(feature = "tokio")]
pub(crate) use self::weak::WeakPersistentHlc;
use crate::{
    ClockError, HighWater, HighWaterError, Hlc, HlcConfig, HlcSnapshot, OpenError, Physical,
    PhysicalClock, Timestamp,
    config::end_of_marks,
    sync::{
        AtomicU64, Mutex,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// An [`Hlc`] that stays monotone across restarts, even when the wall clock was set back in
/// between.
///
/// It gives out no timestamp above a mark that is stored, and begins above the stored mark. The
/// mark runs ahead of the wall clock by a reserve of half the [`max_drift`](HlcConfig::max_drift),
/// so that an event waits for the store about once in so long, and a restart adds at most the
/// reserve to what the clock led its wall clock by. So that no event waits, spawn the future of a
/// `Keeper` (feature `tokio`), or call [`keep_ahead`](Self::keep_ahead) on a thread of its own.
/// When the store fails, so does the event: its timestamp is not given out, and the next event
/// tries again.
///
/// A restart uses up what is left of the reserve. So a clock that leads its wall clock raises the
/// mark by a millisecond at first, and by twice as much each time until that is the reserve: a
/// process that keeps crashing does not run away from its peers.
///
/// # A wall clock that was far ahead for a moment
///
/// What was stamped meanwhile lies in the future; the clock counts on from there, its peers refuse
/// its stamps, and the mark outlasts every restart. Either wait until the wall clock has caught up,
/// or take the stamps back: stop the process, stamp anew or discard what carries a stamp from the
/// future, wherever it went, remove the mark, and [start after](HlcConfig::start_after) the
/// greatest stamp that remains.
///
/// # Example
/// ```
/// use steadfast_clock::{HighWaterFile, HlcConfig, PersistentHlc};
/// use steadfast_core::SystemWallClock;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("steadfast-hlc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let open = || -> Result<_, Box<dyn std::error::Error>> {
///     let file = HighWaterFile::open(directory.join("mark"))?;
///     Ok(PersistentHlc::open(SystemWallClock, HlcConfig::new(), file)?)
/// };
/// let last = open()?.tick()?;
/// assert!(open()?.tick()? > last, "also after a restart");
/// # std::fs::remove_dir_all(directory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PersistentHlc<C, H> {
    hlc: Hlc<C>,
    mark: Arc<Mark<H>>,
}

#[derive(Debug)]
struct Mark<H> {
    /// No timestamp above this one has been given out. Stored with release once the store has it,
    /// and loaded with acquire: a thread that finds room below it may rely on the store.
    stored: AtomicU64,
    /// In grains.
    reserve: u64,
    raiser: Mutex<Raiser<H>>,
    /// How often the store was asked, and how often it failed.
    asked: AtomicU64,
    failed: AtomicU64,
}

/// Its lock is the right to raise the mark.
#[derive(Debug)]
struct Raiser<H> {
    store: H,
    /// The highest mark that the store was handed. A store that failed may hold it all the same, so
    /// nothing lower is stored.
    tried: Timestamp,
    /// What the mark is next raised by while the clock leads its wall clock, in grains.
    step: u64,
}

/// Counts a failure when it is dropped: also one of a store that panics.
struct Failure<'a>(&'a AtomicU64);

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The first step of a clock that leads its wall clock: enough for 655,360 timestamps.
const STEP: Duration = Duration::from_millis(1);

impl<C: PhysicalClock, H: HighWater> PersistentHlc<C, H> {
    /// A clock on `clock` that begins above what `store` holds.
    ///
    /// # Errors
    /// When `config` cannot work, or the mark cannot be read. A store that holds nothing yet is no
    /// error.
    pub fn open(clock: C, config: HlcConfig, store: H) -> Result<Self, OpenError> {
        let mut settings = config.check()?;
        let mark = store.load()?.unwrap_or(Timestamp::MIN);
        ConfigError::require(
            mark <= end_of_marks(),
            "high_water",
            mark,
            "at most 60 days above Physical::LIMIT",
        )?;
        let reserve = Physical::grains_in(settings.max_drift / 2);
        settings.start = settings.start.max(mark);
        let hlc = Hlc::with(clock, settings);
        let raiser =
            Mutex::new(Raiser { store, tried: mark, step: Physical::grains_in(STEP).min(reserve) });
        let mark = Mark {
            stored: AtomicU64::new(mark.to_bits()),
            reserve,
            raiser,
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Ok(Self { hlc, mark: Arc::new(mark) })
    }

    /// Stamps a local event, or a message that is sent: [`Hlc::tick`].
    ///
    /// # Errors
    /// When the mark had to be raised, and could not be.
    pub fn tick(&self) -> Result<Timestamp, HighWaterError> {
        self.keep(self.hlc.tick())
    }

    /// Stamps the receipt of a message that carries `remote`: [`Hlc::update`].
    ///
    /// # Errors
    /// When `remote` is too far ahead, or when the mark had to be raised, and could not be.
    pub fn update(&self, remote: Timestamp) -> Result<Timestamp, ClockError> {
        Ok(self.keep(self.hlc.update(remote)?)?)
    }

    /// Adopts `remote` without stamping an event: [`Hlc::merge`]. It is remembered across restarts.
    ///
    /// # Errors
    /// When `remote` is too far ahead, or when the mark had to be raised, and could not be.
    pub fn merge(&self, remote: Timestamp) -> Result<(), ClockError> {
        self.hlc.merge(remote)?;
        self.keep(remote)?;
        Ok(())
    }

    /// Raises the mark if less than three quarters of the reserve are left; while the clock leads
    /// its wall clock, if less than the next step is. Blocks on the store: call it from a thread
    /// that may block, four times in each [`max_drift`](HlcConfig::max_drift). Then no event waits,
    /// but the first ones of a clock that leads its wall clock. A `Keeper` (feature `tokio`) does
    /// that.
    ///
    /// # Errors
    /// When the mark could not be raised.
    pub fn keep_ahead(&self) -> Result<(), HighWaterError> {
        let (front, needed) = self.front();
        self.raise(front, needed)
    }

    /// How far the clock has come, and where the mark should be at least.
    fn front(&self) -> (Physical, Timestamp) {
        let front = self.hlc.last().physical().max(self.wall());
        (front, front.plus_grains(self.mark.reserve / 4 * 3).into())
    }

    /// The clock, to look at: its last timestamp, its lead, its snapshot. A timestamp taken from it
    /// directly is not kept.
    #[must_use]
    pub const fn hlc(&self) -> &Hlc<C> {
        &self.hlc
    }

    /// Lets `stamp` go once the mark is at or above it.
    fn keep(&self, stamp: Timestamp) -> Result<Timestamp, HighWaterError> {
        if stamp.to_bits() > self.mark.stored.load(Acquire) {
            self.raise(stamp.physical(), stamp)?;
            if stamp.to_bits() > self.mark.stored.load(Acquire) {
                return Err(HighWaterError::Exhausted);
            }
        }
        Ok(stamp)
    }

    /// Raises the mark a step above `front`, unless it is there or at `needed`. Nothing but the
    /// store is asked under the lock.
    #[cold]
    fn raise(&self, front: Physical, needed: Timestamp) -> Result<(), HighWaterError> {
        let by_wall = self.wall().plus_grains(self.mark.reserve);
        // A store that panicked may have stored the mark, as one that failed may: `tried` knows it.
        let mut raiser = lock(&self.mark.raiser);
        // Others may have raised it while we waited.
        let stored = self.mark.stored.load(Acquire);
        if needed.to_bits() <= stored {
            return Ok(());
        }
        let by_step = front.plus_grains(raiser.step);
        // Both may lie below what is stored: the wall clock was set back, or others went on while
        // we waited.
        let mark = Timestamp::from(by_wall.max(by_step)).max(raiser.tried).min(end_of_marks());
        if mark.to_bits() == stored {
            return Ok(());
        }
        raiser.tried = mark;
        self.mark.asked.fetch_add(1, Relaxed);
        let failure = Failure(&self.mark.failed);
        raiser.store.store(mark)?;
        std::mem::forget(failure);
        if by_step > by_wall {
            raiser.step = (2 * raiser.step).min(self.mark.reserve);
        }
        self.mark.stored.store(mark.to_bits(), Release);
        Ok(())
    }

    fn wall(&self) -> Physical {
        self.hlc.clock().physical().min(Physical::LIMIT)
    }
}

impl<C, H> Clone for PersistentHlc<C, H> {
    fn clone(&self) -> Self {
        Self { hlc: self.hlc.clone(), mark: Arc::clone(&self.mark) }
    }
}

/// A [`PersistentHlc`] as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PersistentHlcSnapshot {
    /// The clock without its high water.
    pub clock: HlcSnapshot,
    /// The mark that is stored: no timestamp above it has been given out.
    pub high_water: Timestamp,
    /// By how much the mark runs ahead of the wall clock when it is raised.
    pub reserve: Duration,
    /// What is left of it: for so long no event waits for the store.
    pub left: Duration,
    /// How often the store was asked to hold a higher mark, since the clock was opened.
    pub asked: u64,
    /// How often it failed, or panicked.
    pub failed: u64,
}

impl<C: PhysicalClock, H: HighWater> PersistentHlc<C, H> {
    /// Waits for no store.
    #[must_use]
    pub fn snapshot(&self) -> PersistentHlcSnapshot {
        let Mark { stored, reserve, asked, failed, .. } = &*self.mark;
        let clock = self.hlc.snapshot();
        let high_water = Timestamp::from_bits(stored.load(Acquire));
        PersistentHlcSnapshot {
            clock,
            high_water,
            reserve: Physical::from_grains(*reserve).since_epoch(),
            left: high_water.physical().since(clock.last.physical().max(clock.wall)),
            asked: asked.load(Relaxed),
            failed: failed.load(Relaxed),
        }
    }
}

impl<C: PhysicalClock, H: HighWater> Snapshot for PersistentHlc<C, H> {
    type State = PersistentHlcSnapshot;

    fn snapshot(&self) -> PersistentHlcSnapshot {
        Self::snapshot(self)
    }
}
