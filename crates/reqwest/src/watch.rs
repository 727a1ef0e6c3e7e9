//! Whether a call of reqwest's has followed a redirect.
//!
//! reqwest follows redirects inside of one call, and where connecting fails it does not say at
//! which hop: the error has the URL of the request either way. So a POST that was executed, and
//! answered by a redirect to a host that is down, fails as one that never left.
//!
//! The difference shows in who wakes the call. What connects is woken by timers, by I/O and by
//! threads that resolve names. To follow a redirect the call wakes itself, while it is polled, and
//! asks to be polled again. (It also wakes itself when it gives up, in the poll in which it ends.)
//!
//! That is how tower-http's `FollowRedirect` is made, and reqwest does not promise it. A redirect
//! that was not seen to be followed shows in the URL of the response; after the first of them no
//! failure to connect counts as not executed any more.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use reqwest::Url;
use steadfast_core::parts::{lock, thread_number};

/// Whether a redirect was followed in this process that was not seen. It is read long after it was
/// written, or it would not help: no order is needed.
static IS_BLIND: AtomicBool = AtomicBool::new(false);

/// Stands between one call and its task.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Of the task that waits for the call. Nothing is called under the lock but its clone.
    task: Mutex<Waker>,
    /// One more than the number of the thread that polls the call, or nothing. Only that thread
    /// can find itself in it, and reads what it wrote.
    polled_by: AtomicUsize,
    /// Whether it woke itself in the poll that is under way. Written and read by its thread.
    woke_itself: AtomicBool,
    /// Written by one poll and read by a later one, which the task orders.
    has_followed: AtomicBool,
    requested: u64,
}

impl Watch {
    /// A watch over a call that asks for `requested`.
    pub(crate) fn new(requested: &Url) -> Arc<Self> {
        Arc::new(Self {
            task: Mutex::new(Waker::noop().clone()),
            polled_by: AtomicUsize::new(0),
            woke_itself: AtomicBool::new(false),
            has_followed: AtomicBool::new(false),
            requested: hash(requested),
        })
    }

    /// The call is polled by this thread, for the task of `waker`, until the guard is dropped.
    pub(crate) fn poll(&self, waker: &Waker) -> Polled<'_> {
        let mut task = lock(&self.task);
        if !task.will_wake(waker) {
            task.clone_from(waker);
        }
        self.polled_by.store(thread_number() + 1, Ordering::Relaxed);
        Polled(self)
    }

    pub(crate) fn has_followed(&self) -> bool {
        self.has_followed.load(Ordering::Relaxed)
    }

    /// Whether a redirect was followed, or may have been, unseen.
    pub(crate) fn may_have_followed(&self) -> bool {
        self.has_followed() || IS_BLIND.load(Ordering::Relaxed)
    }

    /// The call has ended with a response that came from `url`.
    pub(crate) fn answered_from(&self, url: &Url) {
        if self.has_missed(url) {
            IS_BLIND.store(true, Ordering::Relaxed);
        }
    }

    fn has_missed(&self, url: &Url) -> bool {
        !self.has_followed() && hash(url) != self.requested
    }
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.polled_by.load(Ordering::Relaxed) == thread_number() + 1 {
            self.woke_itself.store(true, Ordering::Relaxed);
        }
        let task = lock(&self.task).clone();
        task.wake();
    }
}

/// While it lives the call is polled; also where the poll panics.
pub(crate) struct Polled<'a>(&'a Watch);

impl Polled<'_> {
    /// The call is to be polled again.
    pub(crate) fn goes_on(self) {
        if self.0.woke_itself.swap(false, Ordering::Relaxed) {
            self.0.has_followed.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.0.polled_by.store(0, Ordering::Relaxed);
    }
}

/// The fragment is no part of a request, and is lost on its way.
fn hash(url: &Url) -> u64 {
    let mut hasher = DefaultHasher::new();
    let whole = url.as_str();
    whole.split_once('#').map_or(whole, |(sent, _)| sent).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> (Arc<Watch>, Waker) {
        let watch = Watch::new(&Url::parse("http://some.example/a?b#c").unwrap());
        let waker = Waker::from(Arc::clone(&watch));
        (watch, waker)
    }

    #[test]
    fn a_call_that_wakes_itself_and_goes_on_has_followed_a_redirect() {
        let (watch, waker) = watch();
        let polled = watch.poll(Waker::noop());
        waker.wake_by_ref();
        assert!(!watch.has_followed());
        polled.goes_on();
        assert!(watch.has_followed());
    }

    #[test]
    fn wakes_from_elsewhere_and_in_the_poll_in_which_it_ends_say_nothing() {
        let (watch, waker) = watch();
        let polled = watch.poll(Waker::noop());
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake_by_ref());
        });
        polled.goes_on();
        waker.wake_by_ref();
        watch.poll(Waker::noop()).goes_on();
        let polled = watch.poll(Waker::noop());
        waker.wake_by_ref();
        drop(polled);
        assert!(!watch.has_followed());
    }

    #[test]
    fn a_wake_goes_to_the_task_that_polled_last() {
        struct Counted(AtomicUsize);
        impl Wake for Counted {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let tasks = [(); 2].map(|()| Arc::new(Counted(AtomicUsize::new(0))));
        let (watch, waker) = watch();
        for (polled, expected) in [(0, [1, 0]), (1, [1, 1]), (1, [1, 2])] {
            watch.poll(&Waker::from(Arc::clone(&tasks[polled]))).goes_on();
            waker.wake_by_ref();
            assert_eq!([0, 1].map(|task| tasks[task].0.load(Ordering::Relaxed)), expected);
        }
    }

    #[test]
    fn a_response_from_elsewhere_without_a_redirect_that_was_seen_is_one_that_was_missed() {
        let (watch, waker) = watch();
        let missed = |url| watch.has_missed(&Url::parse(url).unwrap());
        assert!(!missed("http://some.example/a?b"));
        assert!(missed("http://some.example/a") && missed("http://other.example/a?b"));
        let polled = watch.poll(Waker::noop());
        waker.wake_by_ref();
        polled.goes_on();
        assert!(!missed("http://some.example/a"));
    }
}
