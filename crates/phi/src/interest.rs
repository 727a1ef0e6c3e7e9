//! Whether a program still holds a handle of the peers.
//!
//! A prober sends through a service whose layers hold handles themselves, so the count of *all*
//! handles never falls to none while it runs. What counts is the interest of the handles outside:
//! the prober clones its service inside [`Interest::lent`], and the handles cloned there, and all
//! clones of those, show none.

use std::{
    cell::Cell,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use steadfast_core::parts::{Waiter, Waiters};

thread_local! {
    static LENT: Cell<bool> = const { Cell::new(false) };
}

/// What a handle that a program holds keeps alive; nothing in a handle of a prober's own.
#[derive(Debug)]
pub(crate) struct Interest(Option<Arc<Shown>>);

/// Dropped with the last handle.
#[derive(Debug, Default)]
struct Shown {
    ended: Waiters,
}

impl Interest {
    /// That of the first handle.
    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// That of a handle that is not the program's own.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Runs `clone`; the handles that it clones on this thread show no interest.
    pub(crate) fn lent<T>(clone: impl FnOnce() -> T) -> T {
        /// Also when `clone` panics.
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                LENT.set(self.0);
            }
        }
        let _restore = Restore(LENT.replace(true));
        clone()
    }

    /// Waits for the end of it.
    pub(crate) fn watch(&self) -> InterestWatch {
        match &self.0 {
            Some(shown) => {
                InterestWatch { shown: Arc::downgrade(shown), waiter: shown.ended.join() }
            }
            None => InterestWatch { shown: Weak::new(), waiter: Waiters::new().join() },
        }
    }
}

impl Clone for Interest {
    fn clone(&self) -> Self {
        if LENT.get() { Self::none() } else { Self(self.0.clone()) }
    }
}

impl Drop for Shown {
    /// The strong count is zero by now: a waiter that looks after this sees it.
    fn drop(&mut self) {
        self.ended.wake();
    }
}

/// Waits for the last handle to be dropped.
#[derive(Debug)]
pub(crate) struct InterestWatch {
    shown: Weak<Shown>,
    waiter: Waiter,
}

impl InterestWatch {
    /// Ready once no program holds a handle any more.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        self.waiter.poll(cx, || (self.shown.strong_count() == 0).then_some(()))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn what_is_cloned_for_a_prober_shows_no_interest_and_neither_do_its_clones() {
        let interest = Interest::new();
        let lent = Interest::lent(|| interest.clone());
        let again = lent.clone();
        let kept = interest.clone();
        let mut watch = tokio_test::task::spawn(interest.watch());
        drop(interest);
        watch.enter(|cx, watch| assert!(watch.poll_ended(cx).is_pending()));
        assert!(!watch.is_woken());
        drop(kept);
        assert!(watch.is_woken(), "by the last handle of the program's");
        watch.enter(|cx, watch| assert!(watch.poll_ended(cx).is_ready()));
        drop((lent, again));
    }

    #[test]
    fn a_clone_that_panics_does_not_leave_the_thread_lending() {
        catch_unwind(|| Interest::lent(|| panic!("in clone"))).unwrap_err();
        assert!(Interest::new().clone().0.is_some());
    }
}
