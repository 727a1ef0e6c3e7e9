//! A clock that stays monotone across restarts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    ClockError, HighWater, HighWaterError, Hlc, HlcConfig, OpenError, Physical, PhysicalClock, Timestamp,
    sync::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

/// An [`Hlc`] that stays monotone across restarts, even when the wall clock was set back in between.
///
/// It gives out no timestamp above a mark that is stored, and begins above the stored mark. The mark runs ahead of the wall clock by a
/// reserve of half the [`max_drift`](HlcConfig::max_drift), so that an event waits for the store once in so
/// long, and a clock that was restarted leads its wall clock by less than its peers believe. Call
/// [`keep_ahead`](Self::keep_ahead) on a thread of its own to have no event wait at all.
///
/// When the store fails, so does the event: its timestamp is not given out, and the next event tries again.
///
/// A restart uses up what is left of the reserve. While a clock leads its wall clock, the mark is raised by a millisecond at a time, so
/// that a process that keeps crashing does not run away from its peers.
#[derive(Debug)]
pub struct PersistentHlc<C, H> {
    hlc: Hlc<C>,
    mark: Arc<Mark<H>>,
}

#[derive(Debug)]
struct Mark<H> {
    /// No timestamp above this one has been given out.
    ///
    /// Stored with release when the store has it, and loaded with acquire: who finds room below it may rely on the store.
    stored: AtomicU64,
    /// In grains.
    reserve: u64,
    store: Mutex<H>,
}

/// What the mark is raised by while the clock leads its wall clock: enough for 655,360 timestamps.
const STEP: Duration = Duration::from_millis(1);

impl<C: PhysicalClock, H: HighWater> PersistentHlc<C, H> {
    /// A clock on `clock` that begins above what `store` holds.
    ///
    /// # Errors
    /// When `config` cannot work, or the mark cannot be read. A store that holds nothing yet is no error.
    pub fn open(clock: C, config: HlcConfig, store: H) -> Result<Self, OpenError> {
        let mark = store.load()?.unwrap_or(Timestamp::MIN);
        let reserve = Physical::grains_in(config.max_drift / 2);
        let start = config.start_after.max(mark);
        let hlc = Hlc::new(clock, config.start_after(start))?;
        let mark = Mark { stored: AtomicU64::new(mark.to_bits()), reserve, store: Mutex::new(store) };
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

    /// Raises the mark if less than half of the reserve is left. Blocks on the store; call it from a thread that may, four times
    /// in each [`max_drift`](HlcConfig::max_drift), so that no event ever has to.
    ///
    /// # Errors
    /// When the mark could not be raised.
    pub fn keep_ahead(&self) -> Result<(), HighWaterError> {
        let soon = self.hlc.clock().physical().plus_grains(self.mark.reserve / 2);
        self.keep(self.hlc.last().max(soon.min(Physical::LIMIT).into())).map(drop)
    }

    /// The clock, to look at: its last timestamp, its lead, its snapshot. A timestamp that is taken from it directly is not kept.
    #[must_use]
    pub const fn hlc(&self) -> &Hlc<C> {
        &self.hlc
    }

    /// Lets `stamp` go once the mark is at or above it.
    fn keep(&self, stamp: Timestamp) -> Result<Timestamp, HighWaterError> {
        if stamp.to_bits() > self.mark.stored.load(Acquire) {
            self.raise(stamp)?;
        }
        Ok(stamp)
    }

    #[cold]
    fn raise(&self, stamp: Timestamp) -> Result<(), HighWaterError> {
        let store = self.mark.lock();
        // Others may have raised it while we waited.
        if stamp.to_bits() <= self.mark.stored.load(Acquire) {
            return Ok(());
        }
        let wall = self.hlc.clock().physical().min(Physical::LIMIT).plus_grains(self.mark.reserve);
        let mark = wall.max(stamp.physical().plus_grains(Physical::grains_in(STEP)));
        store.store(mark.into())?;
        self.mark.stored.store(Timestamp::from(mark).to_bits(), Release);
        Ok(())
    }
}

impl<H> Mark<H> {
    fn lock(&self) -> MutexGuard<'_, H> {
        // A store that panicked has not raised the mark.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, H> Clone for PersistentHlc<C, H> {
    fn clone(&self) -> Self {
        Self { hlc: self.hlc.clone(), mark: Arc::clone(&self.mark) }
    }
}
