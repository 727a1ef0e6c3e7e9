//! A word that is said once.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
};

use steadfast_core::parts::Waiters;

/// Raised once, and seen by all that wait for it then or later.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Relaxed: the lock of the waiters orders it, and it guards no other memory.
    is_raised: AtomicBool,
    waiters: Waiters,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.is_raised.store(true, Ordering::Relaxed);
        // A panic of a waker's is none of the caller's.
        drop(self.waiters.take());
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    pub(crate) async fn raised(&self) {
        let waiter = self.waiters.join();
        poll_fn(|cx| waiter.poll(cx, || self.is_raised().then_some(()))).await;
    }
}
