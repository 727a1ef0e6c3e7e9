//! What the layers ask of a clock.

use crate::{ClockError, HighWater, Hlc, PersistentHlc, PhysicalClock, Timestamp};

/// A hybrid logical clock that the layers can carry: an [`Hlc`], or a [`PersistentHlc`].
pub trait HybridClock: Clone + Send + Sync + 'static {
    /// Stamps a local event, or a message that is sent.
    ///
    /// # Errors
    /// When the stamp could not be made to last. An [`Hlc`] never fails.
    fn tick(&self) -> Result<Timestamp, ClockError>;

    /// Stamps the receipt of a message that carries `remote`.
    ///
    /// # Errors
    /// When `remote` is too far ahead, or the stamp could not be made to last.
    fn update(&self, remote: Timestamp) -> Result<Timestamp, ClockError>;
}

impl<C: PhysicalClock> HybridClock for Hlc<C> {
    #[inline]
    fn tick(&self) -> Result<Timestamp, ClockError> {
        Ok(self.tick())
    }

    #[inline]
    fn update(&self, remote: Timestamp) -> Result<Timestamp, ClockError> {
        Ok(self.update(remote)?)
    }
}

impl<C: PhysicalClock, H: HighWater> HybridClock for PersistentHlc<C, H> {
    fn tick(&self) -> Result<Timestamp, ClockError> {
        Ok(self.tick()?)
    }

    fn update(&self, remote: Timestamp) -> Result<Timestamp, ClockError> {
        self.update(remote)
    }
}
