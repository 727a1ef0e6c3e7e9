//! A clock that is kept by others.

use std::sync::{Arc, Weak};

use super::{Mark, PersistentHlc};
use crate::{HighWater, Physical, PhysicalClock, hlc::WeakHlc, sync::Ordering::Acquire};

/// A handle that keeps neither its clock nor the store.
#[derive(Debug)]
pub(crate) struct WeakPersistentHlc<C, H> {
    hlc: WeakHlc<C>,
    mark: Weak<Mark<H>>,
}

impl<C, H> WeakPersistentHlc<C, H> {
    pub(crate) fn of(clock: &PersistentHlc<C, H>) -> Self {
        Self { hlc: WeakHlc::of(&clock.hlc), mark: Arc::downgrade(&clock.mark) }
    }

    /// The clock, while another handle of it lives.
    pub(crate) fn upgrade(&self) -> Option<PersistentHlc<C, H>> {
        Some(PersistentHlc { mark: self.mark.upgrade()?, hlc: self.hlc.upgrade()? })
    }
}

impl<C: PhysicalClock, H: HighWater> PersistentHlc<C, H> {
    /// Whether [`keep_ahead`](Self::keep_ahead) may have to ask the store.
    pub(crate) fn needs_raising(&self) -> bool {
        self.front().1.to_bits() > self.mark.stored.load(Acquire)
    }

    pub(crate) fn reserve(&self) -> Physical {
        Physical::from_grains(self.mark.reserve)
    }
}
