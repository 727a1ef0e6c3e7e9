//! Waiting for a circuit to change.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{circuit::Circuit, state::Transition};

/// Those who wait: one place for each [`Watcher`] alive. Behind the circuit's lock.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    next: u64,
    places: Vec<(u64, Option<Waker>)>,
}

impl Watchers {
    /// Takes the wakers, to be woken once the lock is free.
    #[must_use]
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        self.places.iter_mut().filter_map(|(_, waker)| waker.take()).collect()
    }

    fn join(&mut self) -> u64 {
        self.next += 1;
        self.places.push((self.next, None));
        self.next
    }

    fn wait(&mut self, id: u64, waker: &Waker) {
        if let Some((_, place)) = self.places.iter_mut().find(|(place, _)| *place == id) {
            match place {
                Some(known) if known.will_wake(waker) => {}
                _ => *place = Some(waker.clone()),
            }
        }
    }

    fn leave(&mut self, id: u64) {
        self.places.retain(|(place, _)| *place != id);
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
        let mut guarded = self.circuit.shared().lock();
        let found = look(&guarded);
        if found.is_none() {
            guarded.watchers.wait(self.id, cx.waker());
        }
        found
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut guarded = self.circuit.shared().lock();
        guarded.watchers.leave(self.id);
    }
}

/// The transitions of a circuit as they happen: a stream without end.
///
/// A slow reader sees the latest transition and misses those between; [`Transition::sequence`] tells how many. Nothing is queued.
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

/// Wakes everybody who was taken from the watchers.
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    for waker in mem::take(wakers) {
        waker.wake();
    }
}
