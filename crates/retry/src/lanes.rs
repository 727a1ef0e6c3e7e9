//! What the calls of one service need after `call` has returned, with one reference count for each
//! thread.

use std::sync::{Arc, Mutex, OnceLock};

use steadfast_core::parts::{lane_count, lock};

/// The lanes of one service, shared by its clones. Each is made by the first call that a thread
/// makes, and room for them by the first call of all: a layer may be applied to each route for each
/// connection, and most of these services are never called.
pub(crate) struct Lanes<S, L> {
    pub(crate) layer: L,
    lanes: OnceLock<Box<[Slot<S, L>]>>,
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
    pub(crate) layer: L,
    /// In a lock only so that the service need not be `Sync`: it is taken when a request is sent
    /// again. A template is never changed, so a `clone` that panics leaves it whole.
    template: Mutex<S>,
}

impl<S, L> Lanes<S, L> {
    pub(crate) const fn new(layer: L) -> Self {
        Self { layer, lanes: OnceLock::new() }
    }
}

impl<S: Clone, L: Clone> Lanes<S, L> {
    /// The lane of the calling thread, which has the number `thread`. `service` is the instance at
    /// hand, of which the lane's first call makes the template.
    #[inline(always)]
    pub(crate) fn lane(&self, thread: usize, service: &S) -> &Arc<Lane<S, L>> {
        // The number of lanes is a power of two.
        if let Some(lanes) = self.lanes.get()
            && let Some(lane) = lanes[thread & (lanes.len() - 1)].get()
        {
            return lane;
        }
        self.make(thread, service)
    }

    #[cold]
    #[inline(never)]
    fn make(&self, thread: usize, service: &S) -> &Arc<Lane<S, L>> {
        // Before the slot is locked, because `clone` is the user's code. Where two threads share a
        // lane, the first one's stays.
        let lane =
            Arc::new(Lane { layer: self.layer.clone(), template: Mutex::new(service.clone()) });
        let lanes = self.lanes.get_or_init(|| (0..lane_count()).map(|_| OnceLock::new()).collect());
        lanes[thread & (lanes.len() - 1)].get_or_init(|| lane)
    }
}

impl<S: Clone, L> Lane<S, L> {
    /// An instance for a further attempt, to be made ready.
    pub(crate) fn instance(&self) -> S {
        lock(&self.template).clone()
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_room_for_lanes_before_the_first_call() {
        let lanes = Lanes::new(());
        assert!(lanes.lanes.get().is_none());
        let lane = lanes.lane(0, &());
        assert!(Arc::ptr_eq(lane, lanes.lane(0, &())));
        let slots = lanes.lanes.get().unwrap();
        assert_eq!(slots.len(), lane_count());
        assert_eq!(slots.iter().filter(|slot| slot.get().is_some()).count(), 1);
    }
}
