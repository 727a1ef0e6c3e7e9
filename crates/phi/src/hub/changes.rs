//! What one event changed, and the telling of it with every lock free.

use super::{Hub, Queued, Watched};
use crate::Status;

/// The transitions that one event brought about, to be told with the locks free.
pub(super) struct Changes<K> {
    pub(super) made: [Option<(Status, Status, f64)>; 4],
    /// What the queue had no room for: keys may be dropped with it.
    pub(super) displaced: Vec<Queued<Watched<K>>>,
}

impl<K> Changes<K> {
    pub(super) const fn none() -> Self {
        Self { made: [None; 4], displaced: Vec::new() }
    }

    /// Tells of them, without a lock.
    #[inline]
    pub(super) fn report(self, hub: &Hub<K>) {
        if self.made[0].is_some() {
            self.tell(hub);
        }
    }

    #[cold]
    fn tell(self, hub: &Hub<K>) {
        // Taken first: a panic of the recorder's, or of a waker, wakes them as they are dropped.
        let (readers, waiting) = (hub.timer.readers.take(), hub.waiters.take());
        for (from, to, phi) in self.made.into_iter().flatten() {
            hub.timer.telemetry.transition(from, to, phi);
        }
        readers.wake();
        waiting.wake();
    }
}
