//! What the layers ask of a clock.

use std::sync::Arc;

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

    /// The name under which the layers report.
    fn name(&self) -> Arc<str> {
        "default".into()
    }
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

    fn name(&self) -> Arc<str> {
        self.name()
    }
}

impl<C: PhysicalClock, H: HighWater> HybridClock for PersistentHlc<C, H> {
    fn tick(&self) -> Result<Timestamp, ClockError> {
        Ok(self.tick()?)
    }

    fn update(&self, remote: Timestamp) -> Result<Timestamp, ClockError> {
        self.update(remote)
    }

    fn name(&self) -> Arc<str> {
        self.hlc().name()
    }
}
