//! The latest of a series of values, for tasks that wait for the next one.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Mutex, Waiter, Waiters, Wakers};
use crate::lock::lock;

/// A value that changes, and the tasks that wait for it to change: a watch channel without a
/// runtime. Clones share the value.
///
/// Nothing is queued: a slow reader sees the latest value and misses those between; the sequence
/// number tells how many. `T` is cloned under a lock, so keep it plain data.
///
/// ```
/// use steadfast_core::parts::Changes;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let state = Changes::new();
/// let mut changes = state.subscribe();
/// state.publish("open").wake();
/// state.publish("half-open").wake();
/// assert_eq!(changes.changed().await, "half-open");
/// assert_eq!(changes.sequence(), 2);
/// # });
/// ```
#[derive(Debug)]
pub struct Changes<T> {
    latest: Arc<Mutex<Latest<T>>>,
    waiters: Waiters,
}

#[derive(Debug)]
struct Latest<T> {
    value: Option<T>,
    sequence: u64,
}

impl<T: Clone> Changes<T> {
    /// No value yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            latest: Arc::new(Mutex::new(Latest { value: None, sequence: 0 })),
            waiters: Waiters::new(),
        }
    }

    /// Replaces the value, and takes the wakers of the tasks that wait.
    ///
    /// A caller with a lock of its own publishes under that lock, which keeps the values in order,
    /// and wakes once the lock is free.
    pub fn publish(&self, value: T) -> Wakers {
        let mut latest = lock(&self.latest);
        latest.sequence += 1;
        let displaced = latest.value.replace(value);
        drop(latest);
        let wakers = self.waiters.take();
        // Its drop may be the caller's code. The wakers come first: should it panic, they are woken
        // all the same.
        drop(displaced);
        wakers
    }

    /// The latest value, if there has been one.
    #[must_use]
    pub fn latest(&self) -> Option<T> {
        lock(&self.latest).value.clone()
    }

    /// How many values have been published.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        lock(&self.latest).sequence
    }

    /// The values from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<T> {
        Subscription { waiter: self.waiters.join(), seen: self.sequence(), changes: self.clone() }
    }

    /// The latest value and its number, if that is above `seen`.
    fn newer(&self, seen: u64) -> Option<(T, u64)> {
        let latest = lock(&self.latest);
        match &latest.value {
            Some(value) if latest.sequence > seen => Some((value.clone(), latest.sequence)),
            _ => None,
        }
    }
}

impl<T: Clone> Default for Changes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Changes<T> {
    fn clone(&self) -> Self {
        Self { latest: Arc::clone(&self.latest), waiters: self.waiters.clone() }
    }
}

/// One reader of [`Changes`]. It keeps the value alive.
#[derive(Debug)]
pub struct Subscription<T> {
    changes: Changes<T>,
    waiter: Waiter,
    seen: u64,
}

impl<T: Clone> Subscription<T> {
    /// Waits for a value that this reader has not seen. Cancel-safe: nothing is lost when the
    /// future is dropped.
    pub async fn changed(&mut self) -> T {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// The same, by polling.
    pub fn poll_changed(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiter.poll(cx, || self.changes.newer(self.seen)).map(|(value, sequence)| {
            self.seen = sequence;
            value
        })
    }

    /// The number of the last value that this reader has seen, or had no need to see.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.seen
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicBool, Ordering},
        task::{Wake, Waker},
    };

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_reader_sees_the_latest_value_once_and_learns_how_many_it_missed() {
        let changes = Changes::new();
        let mut reader = changes.subscribe();
        assert_eq!(reader.changed().now_or_never(), None);
        for value in 1..=3 {
            changes.publish(value).wake();
        }
        let before = reader.sequence();
        assert_eq!(reader.changed().now_or_never(), Some(3));
        assert_eq!(reader.sequence() - before - 1, 2, "missed");
        assert_eq!(reader.changed().now_or_never(), None);
        assert_eq!(changes.latest(), Some(3));
    }

    #[test]
    fn a_new_reader_sees_what_comes_and_not_what_was() {
        let changes = Changes::new();
        changes.publish(1).wake();
        let mut reader = changes.subscribe();
        assert_eq!(reader.changed().now_or_never(), None);
        changes.publish(2).wake();
        assert_eq!(reader.changed().now_or_never(), Some(2));
    }

    #[test]
    fn nothing_is_lost_when_the_wait_is_dropped() {
        let changes = Changes::new();
        let mut reader = changes.subscribe();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(reader.changed().boxed_local().poll_unpin(&mut cx).is_pending());
        changes.publish(1).wake();
        assert_eq!(reader.changed().now_or_never(), Some(1));
    }

    #[test]
    fn a_displaced_value_that_panics_in_its_drop_keeps_no_reader_asleep() {
        #[derive(Clone)]
        struct Fragile {
            panics: bool,
        }

        impl Drop for Fragile {
            fn drop(&mut self) {
                assert!(!self.panics, "in a drop");
            }
        }

        #[derive(Default)]
        struct Woken(AtomicBool);

        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }

        let changes = Changes::new();
        changes.publish(Fragile { panics: true }).wake();
        let (mut reader, woken) = (changes.subscribe(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        assert!(reader.poll_changed(&Context::from_waker(&waker)).is_pending());
        catch_unwind(AssertUnwindSafe(|| changes.publish(Fragile { panics: false }))).unwrap_err();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(reader.poll_changed(&Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_value_may_use_its_own_series_when_it_is_dropped() {
        #[derive(Clone)]
        struct Curious(Changes<Self>);

        impl Drop for Curious {
            fn drop(&mut self) {
                assert!(self.0.sequence() > 0);
            }
        }

        let changes = Changes::new();
        changes.publish(Curious(changes.clone())).wake();
        changes.publish(Curious(changes.clone())).wake();
        // The series and its value hold each other.
        let held = lock(&changes.latest).value.take();
        drop(held);
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom {
    use ::loom::{
        model,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;
    use crate::waiters::loom::Flag;

    /// A reader that polls between or after two values misses no wake, and comes to the last value.
    #[test]
    fn a_reader_comes_to_the_last_value() {
        model(|| {
            let changes = Changes::new();
            let mut reader = changes.subscribe();
            let thread = thread::spawn(move || {
                changes.publish(1).wake();
                changes.publish(2).wake();
            });
            let woken = Arc::new(Flag(AtomicBool::new(false)));
            let waker = Arc::clone(&woken).into();
            let cx = Context::from_waker(&waker);
            let first = reader.poll_changed(&cx);
            thread.join().unwrap();
            assert!(first.is_ready() || woken.0.load(Ordering::Acquire));
            let then = if first == Poll::Ready(2) { Poll::Pending } else { Poll::Ready(2) };
            assert_eq!(reader.poll_changed(&cx), then);
        });
    }
}
