//! Tasks that wait for something to change.
//!
//! Wakers are the callers' code, and so are their clones and drops: they may use the very handle
//! they wait for. So none of the three happens under the lock here, nor under a lock of the
//! caller's: [`Waiters::take`] hands the wakers out, to be woken later.
//!
//! The protocol is the one of a condition variable without its mutex: *a waiter registers, then
//! looks; the other side changes the condition, then wakes*. Both take the lock of the waiters in
//! between. If the waiter registers first, it is woken; if the wakers are taken first, then the
//! change came before that, and the waiter's look sees it.

mod changes;

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

pub use self::changes::{Changes, Subscription};
use crate::lock::lock;
#[cfg(steadfast_loom)]
use ::loom::sync::Mutex;
#[cfg(not(steadfast_loom))]
use std::sync::Mutex;

/// The tasks that wait for one thing: a place for each [`Waiter`] alive. Clones share the places.
#[derive(Clone, Debug, Default)]
pub struct Waiters {
    // Nothing under the lock can panic half-way: no foreign code runs there.
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    wakers: BTreeMap<u64, Option<Waker>>,
}

impl Waiters {
    /// Nothing waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A place, left when it is dropped.
    #[must_use]
    pub fn join(&self) -> Waiter {
        let mut places = lock(&self.places);
        let id = places.next;
        // One place a nanosecond lasts 584 years.
        places.next += 1;
        places.wakers.insert(id, None);
        drop(places);
        Waiter { waiters: self.clone(), id }
    }

    /// Takes the wakers of all tasks that wait, to be woken once the caller has given back its own
    /// locks.
    ///
    /// Call it after the change that the tasks wait for.
    pub fn take(&self) -> Wakers {
        Wakers(lock(&self.places).wakers.values_mut().filter_map(Option::take).collect())
    }

    /// Wakes all tasks that wait. Call it after the change that they wait for, and without a lock.
    ///
    /// # Panics
    /// When a waker does, once the others have been woken.
    pub fn wake(&self) {
        self.take().wake();
    }
}

/// Wakers on their way to be woken. Dropped, they are woken too.
#[derive(Debug, Default)]
#[must_use = "they are woken when this is dropped, which must not happen under a lock"]
pub struct Wakers(Vec<Waker>);

impl Wakers {
    /// Wakes every one.
    ///
    /// # Panics
    /// When a waker does, once the others have been woken.
    pub fn wake(mut self) {
        if let Some(panic) = self.wake_each() {
            resume_unwind(panic);
        }
    }

    /// Wakes every one, and says what the first panic was.
    fn wake_each(&mut self) -> Option<Box<dyn Any + Send>> {
        let mut first = None;
        for waker in self.0.drain(..) {
            // Nothing of ours is borrowed by a waker: there is nothing that a panic could leave
            // half changed.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                first.get_or_insert(panic);
            }
        }
        first
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        // A second panic while a first one unwinds would end the process.
        self.wake_each();
    }
}

/// One place among [`Waiters`], for one task at a time. Dropping it leaves the place.
#[derive(Debug)]
pub struct Waiter {
    waiters: Waiters,
    id: u64,
}

impl Waiter {
    /// Looks, and when there is nothing to see, has the task woken at the next change.
    ///
    /// `look` runs without a lock, and a second time after the waker is registered, so that no
    /// change falls between.
    pub fn poll<T>(&self, cx: &Context<'_>, mut look: impl FnMut() -> Option<T>) -> Poll<T> {
        if let Some(seen) = look() {
            self.forget();
            return Poll::Ready(seen);
        }
        self.register(cx.waker());
        match look() {
            Some(seen) => {
                self.forget();
                Poll::Ready(seen)
            }
            None => Poll::Pending,
        }
    }

    /// Has the task woken by the next [`take`](Waiters::take) or [`wake`](Waiters::wake). Look
    /// *after* this, not before.
    pub fn register(&self, waker: &Waker) {
        drop(self.replace(Some(waker.clone())));
    }

    /// Takes the waker back: the task no longer waits.
    pub fn forget(&self) {
        drop(self.replace(None));
    }

    /// What is returned is dropped by the caller, with the lock free.
    fn replace(&self, waker: Option<Waker>) -> Option<Waker> {
        match lock(&self.waiters.places).wakers.get_mut(&self.id) {
            Some(place) => std::mem::replace(place, waker),
            // Only the drop of this waiter removes its place.
            None => waker,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let left = lock(&self.waiters.places).wakers.remove(&self.id);
        drop(left);
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicU32, Ordering},
            mpsc,
        },
        task::Wake,
        time::Duration,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn times(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }

    #[test]
    fn a_wake_wakes_each_that_waits_once() {
        let (waiters, woken) = (Waiters::new(), Arc::new(Woken::default()));
        let places: Vec<_> = (0..3).map(|_| waiters.join()).collect();
        places.iter().for_each(|place| place.register(&Arc::clone(&woken).into()));
        waiters.wake();
        waiters.wake();
        assert_eq!(woken.times(), 3);
    }

    #[test]
    fn a_waiter_that_has_seen_what_it_waits_for_is_not_woken() {
        let (waiters, woken) = (Waiters::new(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let (place, cx) = (waiters.join(), Context::from_waker(&waker));
        assert_eq!(place.poll(&cx, || None::<()>), Poll::Pending);
        assert_eq!(place.poll(&cx, || Some(7)), Poll::Ready(7));
        waiters.wake();
        assert_eq!(woken.times(), 0);
    }

    #[test]
    fn a_change_between_the_first_look_and_the_registration_is_seen() {
        let (waiters, mut looks) = (Waiters::new(), 0);
        let place = waiters.join();
        let seen = place.poll(&Context::from_waker(Waker::noop()), || {
            looks += 1;
            (looks == 2).then_some(())
        });
        assert_eq!(seen, Poll::Ready(()));
    }

    #[test]
    fn a_dropped_waiter_leaves_nothing_behind() {
        let (waiters, woken) = (Waiters::new(), Arc::new(Woken::default()));
        for _ in 0..100 {
            waiters.join().register(&Arc::clone(&woken).into());
        }
        assert_eq!(Arc::strong_count(&woken), 1);
        assert!(lock(&waiters.places).wakers.is_empty());
        waiters.wake();
        assert_eq!(woken.times(), 0);
    }

    #[test]
    fn wakers_that_panic_do_not_keep_the_others_from_being_woken() {
        for wake in [Wakers::wake, |wakers| drop(wakers)] {
            let (waiters, woken) = (Waiters::new(), Arc::new(Woken::default()));
            let places: Vec<_> = (0..7).map(|_| waiters.join()).collect();
            for (n, place) in places.iter().enumerate() {
                let waker =
                    if n % 2 == 1 { Arc::new(Panics).into() } else { Arc::clone(&woken).into() };
                place.register(&waker);
            }
            let _panic = catch_unwind(AssertUnwindSafe(|| wake(waiters.take())));
            assert_eq!(woken.times(), 4);
        }
    }

    #[test]
    fn a_waker_that_panics_is_told_after_the_others_are_woken() {
        let waiters = Waiters::new();
        let place = waiters.join();
        place.register(&Arc::new(Panics).into());
        let panic = catch_unwind(AssertUnwindSafe(|| waiters.wake())).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"in a waker"));
    }

    /// A waker that uses the waiters when it is woken and when it is dropped.
    struct Joins(Waiters);

    impl Wake for Joins {
        fn wake(self: Arc<Self>) {
            self.0.wake();
        }
    }

    impl Drop for Joins {
        fn drop(&mut self) {
            drop(self.0.join());
            self.0.wake();
        }
    }

    #[test]
    fn wakers_may_use_the_waiters() {
        let (done, finished) = mpsc::channel();
        std::thread::spawn(move || {
            let waiters = Waiters::new();
            let place = waiters.join();
            for _ in 0..2 {
                // The second waker displaces the first.
                place.register(&Arc::new(Joins(waiters.clone())).into());
            }
            waiters.wake();
            place.register(&Arc::new(Joins(waiters.clone())).into());
            place.forget();
            place.register(&Arc::new(Joins(waiters)).into());
            drop(place);
            done.send(()).unwrap();
        });
        finished.recv_timeout(Duration::from_secs(20)).expect("no deadlock");
    }
}

#[cfg(all(test, steadfast_loom))]
pub(crate) mod loom {
    use std::{sync::Arc, task::Wake};

    use ::loom::{
        model,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    /// A waker that remembers that it was woken.
    pub(crate) struct Flag(pub(crate) AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    /// Register, then look, against change, then wake: the look sees the change, or the task is
    /// woken.
    #[test]
    fn no_change_is_missed() {
        model(|| {
            let (waiters, changed) = (Waiters::new(), Arc::new(AtomicBool::new(false)));
            let (woken, waiter) = (Arc::new(Flag(AtomicBool::new(false))), waiters.join());
            let other = Arc::clone(&changed);
            let thread = thread::spawn(move || {
                // Relaxed: the lock of the waiters orders it.
                other.store(true, Ordering::Relaxed);
                waiters.wake();
            });
            let waker = Arc::clone(&woken).into();
            let look = || changed.load(Ordering::Relaxed).then_some(());
            let seen = waiter.poll(&Context::from_waker(&waker), look);
            thread.join().unwrap();
            assert!(seen.is_ready() || woken.0.load(Ordering::Acquire));
        });
    }

    /// A waiter that is dropped while it is being woken is woken or not; its waker is gone
    /// afterwards.
    #[test]
    fn a_waiter_may_leave_while_it_is_woken() {
        model(|| {
            let (waiters, woken) = (Waiters::new(), Arc::new(Flag(AtomicBool::new(false))));
            let waiter = waiters.join();
            waiter.register(&Arc::clone(&woken).into());
            let thread = thread::spawn(move || waiters.wake());
            drop(waiter);
            thread.join().unwrap();
            assert_eq!(Arc::strong_count(&woken), 1);
        });
    }
}
