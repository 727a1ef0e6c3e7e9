//! What happens to peers, as a stream.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_core::Stream;
use steadfast_core::parts::Waiter;

use crate::{
    Status,
    hub::{Gone, Hub, Queued, Watched},
};

/// A change of what is held of a peer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition<K> {
    /// The peer's key.
    pub peer: K,
    /// What was held of it.
    pub from: Status,
    /// What is held of it.
    pub to: Status,
    /// The suspicion then: the threshold that was reached, or how far it had come when a heartbeat
    /// ended it.
    pub phi: f64,
    /// When it changed: at the deadline itself, or when the heartbeat came.
    pub at: Instant,
}

/// Every transition of a detector's peers from the moment that this was made. It never ends.
///
/// One timer, at the earliest deadline of all, drives it: it is woken when something has changed,
/// and while all is well it is not. Each stream sees all transitions, those of one peer in their
/// order, and those that silence brings in the order of the deadlines, within the millisecond that
/// tokio's timers are exact to. The queue holds two transitions of each peer; a stream that is read
/// more slowly misses the oldest, and says [how many](Self::missed).
///
/// While it is not polled it costs what is queued. Before its first poll it sets no timer, so this
/// process is not seen to stand still; later the timer rings once, and is set again by the next
/// poll. What heartbeats change is queued as ever, and what silence has changed is queued by the
/// peer's next heartbeat or the next poll of any stream, under the instant of its deadline.
///
/// Dropping it loses nothing that another one reads; the timer goes with the last one. It may be
/// moved to another task or runtime between two polls, and outlives the runtime that it was polled
/// in. A runtime that lives and is not driven rings no timers: where the stream that was polled
/// last was polled in one, all streams sleep until a heartbeat or a question finds the timer late.
///
/// # Panics
/// When it is polled outside of a tokio runtime with its timer enabled, or in one that has shut
/// down. Other streams of the detector go on.
#[must_use = "streams do nothing unless polled"]
pub struct Transitions<K> {
    hub: Arc<Hub<K>>,
    waiter: Waiter,
    id: u64,
    missed: u64,
}

impl<K> Transitions<K> {
    pub(crate) fn new(hub: Arc<Hub<K>>) -> Self {
        // What silence has brought about by now is of the past.
        let now = hub.timer.now();
        hub.timer.look(now);
        while hub.advance(now) {}
        let (waiter, id) = (hub.timer.readers.join(), hub.ring.join());
        Self { hub, waiter, id, missed: 0 }
    }

    /// How many transitions this stream has missed because it was read too slowly.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    fn take(&mut self) -> Option<Queued<Watched<K>>> {
        let taken = self.hub.ring.take(self.id);
        self.missed += taken.missed;
        taken.transition
    }
}

impl<K: Clone> Stream for Transitions<K> {
    type Item = Transition<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(queued) = this.take() {
                return Poll::Ready(Some(queued.into()));
            }
            let hub = &this.hub;
            let now = hub.timer.now();
            hub.timer.look(now);
            if hub.advance(now) {
                continue;
            }
            this.waiter.register(cx.waker());
            let mut gone = Gone::new();
            let is_due = hub.timer.arm(|| hub.earliest(&mut gone));
            drop(gone);
            // Registered, then looked: what comes after this wakes the task.
            let queued = this.take();
            if is_due || queued.is_some() {
                this.waiter.forget();
            }
            match queued {
                Some(queued) => return Poll::Ready(Some(queued.into())),
                None if is_due => {}
                None => return Poll::Pending,
            }
        }
    }
}

impl<K: Clone> From<Queued<Watched<K>>> for Transition<K> {
    fn from(queued: Queued<Watched<K>>) -> Self {
        let Queued { peer, from, to, phi, at } = queued;
        Self { peer: peer.key.clone(), from, to, phi, at }
    }
}

impl<K> Drop for Transitions<K> {
    fn drop(&mut self) {
        if self.hub.ring.leave(self.id) {
            self.hub.timer.stop(|| self.hub.ring.is_read());
        }
    }
}

impl<K> fmt::Debug for Transitions<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions").finish_non_exhaustive()
    }
}
