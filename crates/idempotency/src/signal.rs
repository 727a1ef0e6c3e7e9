//! A word that is said once.

use std::future::poll_fn;

use steadfast_core::parts::Waiters;

use crate::sync::{AtomicBool, Ordering};

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

#[cfg(all(test, steadfast_loom))]
mod loom {
    use std::{pin::pin, sync::Arc, task::Context};

    use ::loom::{model, thread};

    use super::*;
    use crate::sync::Flag;

    /// The signal is raised before the wait, between its look and its registration, or after it:
    /// the wait sees it, or is woken and sees it then.
    #[test]
    fn a_signal_is_seen_or_wakes() {
        model(|| {
            let signal = Arc::new(Signal::default());
            let other = Arc::clone(&signal);
            let thread = thread::spawn(move || other.raise());
            let woken = Flag::new();
            let waker = Arc::clone(&woken).into();
            let mut cx = Context::from_waker(&waker);
            let mut raised = pin!(signal.raised());
            let seen = raised.as_mut().poll(&mut cx).is_ready();
            thread.join().unwrap();
            assert!(seen || woken.is_raised());
            assert!(seen || raised.poll(&mut cx).is_ready());
        });
    }
}
