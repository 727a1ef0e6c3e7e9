//! The queue of transitions: one for all subscribers, each with a place of its own in it.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use steadfast_core::parts::lock;

use crate::{
    Status,
    sync::{AtomicUsize, Mutex, Ordering},
};

/// A transition whose key is not cloned yet: no foreign code runs under the queue's lock.
#[derive(Debug)]
pub(crate) struct Queued<P> {
    pub(crate) peer: Arc<P>,
    pub(crate) from: Status,
    pub(crate) to: Status,
    pub(crate) phi: f64,
    pub(crate) at: Instant,
}

impl<P> Clone for Queued<P> {
    fn clone(&self) -> Self {
        Self { peer: Arc::clone(&self.peer), ..*self }
    }
}

/// Bounded: a subscriber that is slower than the bound misses the oldest, and is told how many.
#[derive(Debug)]
pub(crate) struct Ring<P> {
    capacity: usize,
    /// How many subscribers there are, to be asked without the lock.
    subscribers: AtomicUsize,
    queue: Mutex<Queue<P>>,
}

#[derive(Debug)]
struct Queue<P> {
    /// The number of the first one.
    first: u64,
    queued: VecDeque<Queued<P>>,
    /// What each subscriber reads next.
    next: Vec<(u64, u64)>,
    last_id: u64,
}

/// What a subscriber finds.
#[derive(Debug)]
pub(crate) struct Taken<P> {
    pub(crate) transition: Option<Queued<P>>,
    pub(crate) missed: u64,
}

impl<P> Ring<P> {
    pub(crate) fn new(capacity: usize) -> Self {
        let queue = Queue { first: 0, queued: VecDeque::new(), next: Vec::new(), last_id: 0 };
        Self { capacity, subscribers: AtomicUsize::new(0), queue: Mutex::new(queue) }
    }

    /// Whether there are subscribers. Without them nothing is queued.
    #[inline]
    pub(crate) fn is_read(&self) -> bool {
        // Relaxed: a subscriber sees what is queued after it has come, by whatever told the other
        // thread that it has.
        self.subscribers.load(Ordering::Relaxed) > 0
    }

    /// A subscriber, who sees what is queued from now on.
    pub(crate) fn join(&self) -> u64 {
        let mut queue = lock(&self.queue);
        queue.last_id += 1;
        let (id, next) = (queue.last_id, queue.first + queue.queued.len() as u64);
        queue.next.push((id, next));
        self.subscribers.store(queue.next.len(), Ordering::Relaxed);
        id
    }

    /// True if it was the last one.
    pub(crate) fn leave(&self, id: u64) -> bool {
        let mut queue = lock(&self.queue);
        queue.next.retain(|(subscriber, _)| *subscriber != id);
        self.subscribers.store(queue.next.len(), Ordering::Relaxed);
        let (is_last, read) = (queue.next.is_empty(), queue.drop_read());
        drop(queue);
        // Keys may be dropped here.
        drop(read);
        is_last
    }

    /// What comes back found no room or took another's: to be dropped without a lock.
    #[must_use = "it is dropped where no lock is held: a key may go with it"]
    pub(crate) fn push(&self, transition: Queued<P>) -> Option<Queued<P>> {
        let mut queue = lock(&self.queue);
        if queue.next.is_empty() {
            return Some(transition);
        }
        queue.queued.push_back(transition);
        if queue.queued.len() <= self.capacity {
            return None;
        }
        queue.first += 1;
        queue.queued.pop_front()
    }

    /// The next one of subscriber `id`, and how many it missed before it.
    pub(crate) fn take(&self, id: u64) -> Taken<P> {
        let mut queue = lock(&self.queue);
        let Queue { first, queued, next, .. } = &mut *queue;
        let Some((_, next)) = next.iter_mut().find(|(subscriber, _)| *subscriber == id) else {
            return Taken { transition: None, missed: 0 };
        };
        let missed = first.saturating_sub(*next);
        *next += missed;
        let place = usize::try_from(*next - *first).unwrap_or(usize::MAX);
        let transition = queued.get(place).cloned();
        *next += u64::from(transition.is_some());
        let read = queue.drop_read();
        drop(queue);
        drop(read);
        Taken { transition, missed }
    }
}

impl<P> Queue<P> {
    /// What all subscribers have read, to be dropped with the lock free.
    fn drop_read(&mut self) -> Vec<Queued<P>> {
        let end = self.first + self.queued.len() as u64;
        let read = self.next.iter().map(|(_, next)| *next).min().unwrap_or(end);
        let read = read.saturating_sub(self.first);
        self.first += read;
        self.queued.drain(..usize::try_from(read).unwrap_or(usize::MAX)).collect()
    }
}
