//! What happens to peers, as a stream.

use std::{
    fmt,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_core::Stream;
use steadfast_core::parts::{Alarm, Waiter};

use crate::{
    Status,
    hub::{CLOCK, Hub},
    interest::Interest,
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
    /// The suspicion then.
    pub phi: f64,
    /// When it changed.
    pub at: Instant,
}

/// Every transition of a detector's peers from the moment that this was made. It never ends.
pub struct Transitions<K> {
    hub: Arc<Hub<K>>,
    _interest: Interest,
    waiter: Waiter,
    alarm: Pin<Box<Alarm>>,
}

impl<K> Transitions<K> {
    pub(crate) fn new(hub: Arc<Hub<K>>, interest: Interest) -> Self {
        let waiter = hub.waiters.join();
        Self { hub, _interest: interest, waiter, alarm: Box::pin(Alarm::new()) }
    }
}

impl<K: Eq + Hash + Clone> Stream for Transitions<K> {
    type Item = Transition<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let hub = &this.hub;
            if let Poll::Ready(transition) = this.waiter.poll(cx, || hub.take()) {
                return Poll::Ready(Some(transition));
            }
            let Some(at) = this.hub.earliest() else { return Poll::Pending };
            this.alarm.as_mut().set(at);
            if this.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.hub.advance(CLOCK.now());
        }
    }
}

impl<K> fmt::Debug for Transitions<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions").finish_non_exhaustive()
    }
}
