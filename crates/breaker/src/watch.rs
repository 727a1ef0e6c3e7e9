//! Waiting for a circuit to change.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{circuit::Circuit, state::Transition};

/// Those who wait: one place for each [`Watcher`] alive. Behind the circuit's lock, so wakers are neither woken nor cloned nor
/// dropped here: that is user code, which may use the circuit itself.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    next: u64,
    places: BTreeMap<u64, Option<Waker>>,
}

impl Watchers {
    /// Takes the wakers, to be woken once the lock is free.
    pub(crate) fn take(&mut self) -> Wakers {
        Wakers(self.places.values_mut().filter_map(Option::take).collect())
    }

    fn join(&mut self) -> u64 {
        self.next += 1;
        self.places.insert(self.next, None);
        self.next
    }

    /// Leaves a waker; what is returned is dropped once the lock is free.
    fn wait(&mut self, id: u64, waker: Waker) -> Option<Waker> {
        match self.places.get_mut(&id) {
            Some(place) => place.replace(waker),
            None => Some(waker),
        }
    }

    fn leave(&mut self, id: u64) -> Option<Waker> {
        self.places.remove(&id).flatten()
    }
}

/// Wakers on their way to be woken. Should one of them panic, the others are woken all the same.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn wake(mut self) {
        self.wake_rest();
    }

    fn wake_rest(&mut self) {
        while let Some(waker) = self.0.pop() {
            waker.wake();
        }
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.wake_rest();
    }
}

/// One place among the watchers of a circuit, left on drop.
#[derive(Debug)]
pub(crate) struct Watcher {
    circuit: Circuit,
    id: u64,
}

impl Watcher {
    pub(crate) fn new(circuit: &Circuit) -> Self {
        let id = circuit.shared().lock().watchers.join();
        Self { circuit: circuit.clone(), id }
    }

    /// Asks to be woken at the next change, and looks once more under the same lock, so that no change falls between.
    pub(crate) fn wait_unless<T>(
        &self,
        cx: &Context<'_>,
        look: impl FnOnce(&crate::shared::Guarded) -> Option<T>,
    ) -> Option<T> {
        let waker = cx.waker().clone();
        let (found, displaced) = {
            let mut guarded = self.circuit.shared().lock();
            match look(&guarded) {
                Some(found) => (Some(found), Some(waker)),
                None => (None, guarded.watchers.wait(self.id, waker)),
            }
        };
        drop(displaced);
        found
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let displaced = self.circuit.shared().lock().watchers.leave(self.id);
        drop(displaced);
    }
}

/// The transitions of a circuit as they happen: a stream without end.
///
/// It keeps its circuit alive. A slow reader sees the latest transition and misses those between; [`Transition::sequence`] tells how many. Nothing is queued.
#[derive(Debug)]
pub struct Transitions {
    watcher: Watcher,
    seen: u64,
}

impl Transitions {
    pub(crate) fn new(circuit: &Circuit) -> Self {
        let watcher = Watcher::new(circuit);
        let seen = circuit.shared().lock().sequence();
        Self { watcher, seen }
    }

    /// Waits for the next transition. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Transition {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    fn poll_changed(&mut self, cx: &Context<'_>) -> Poll<Transition> {
        let seen = self.seen;
        let newer = |guarded: &crate::shared::Guarded| guarded.last.filter(|last| last.sequence > seen);
        match self.watcher.wait_unless(cx, newer) {
            Some(transition) => {
                self.seen = transition.sequence;
                Poll::Ready(transition)
            }
            None => Poll::Pending,
        }
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        self.get_mut().poll_changed(cx).map(Some)
    }
}
