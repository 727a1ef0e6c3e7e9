//! What the calls of one service need after `call` has returned, with one reference count for each
//! thread.

use std::sync::{Arc, Mutex, OnceLock};

use steadfast_core::parts::{lane_count, lock, thread_number};

use crate::budget::Budget;

/// The lanes of one service, shared by its clones. Each is made by the first call that a thread
/// makes, so that applying a layer for each connection makes none.
pub(crate) struct Lanes<S, L> {
    pub(crate) layer: L,
    /// The layer's, for the drop of a handle, which cannot have a bound that names the layer's
    /// type.
    pub(crate) budget: Budget,
    lanes: Box<[Slot<S, L>]>,
}

/// Empty until a thread's first call.
type Slot<S, L> = OnceLock<Arc<Lane<S, L>>>;

/// One thread's way to the layer and to further instances of the service; each call holds one count
/// of it.
///
/// Aligned to two cache lines, because processors fetch lines in pairs: another thread's count is
/// never on the same pair.
#[repr(align(128))]
pub(crate) struct Lane<S, L> {
    pub(crate) index: usize,
    pub(crate) layer: L,
    /// In a lock only so that the service need not be `Sync`: it is taken when a request is sent
    /// again. A template is never changed, so a `clone` that panics leaves it whole.
    template: Mutex<S>,
}

impl<S, L> Lanes<S, L> {
    pub(crate) fn new(layer: L, budget: Budget) -> Self {
        Self { layer, budget, lanes: (0..lane_count()).map(|_| OnceLock::new()).collect() }
    }

    /// This thread's place among the lanes.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        // The number of lanes is a power of two.
        thread_number() & (self.lanes.len() - 1)
    }
}

impl<S: Clone, L: Clone> Lanes<S, L> {
    /// This thread's lane. `service` is the instance at hand, of which the lane's first call makes
    /// the template.
    #[inline(always)]
    pub(crate) fn lane(&self, service: &S) -> &Arc<Lane<S, L>> {
        let index = self.index();
        match self.lanes[index].get() {
            Some(lane) => lane,
            None => self.make(index, service),
        }
    }

    #[cold]
    #[inline(never)]
    fn make(&self, index: usize, service: &S) -> &Arc<Lane<S, L>> {
        // Before the slot is locked, because `clone` is the user's code. Where two threads share a
        // lane, the first one's stays.
        let lane = Arc::new(Lane { index, layer: self.layer.clone(), template: Mutex::new(service.clone()) });
        self.lanes[index].get_or_init(|| lane)
    }
}

impl<S: Clone, L> Lane<S, L> {
    /// An instance for a further attempt, to be made ready.
    pub(crate) fn instance(&self) -> S {
        lock(&self.template).clone()
    }
}
