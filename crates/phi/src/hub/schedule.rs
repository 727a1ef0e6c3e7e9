//! Which peer's deadline is the next: lazy heaps.
//!
//! Each peer that has a deadline stands in the heap of its shard, once, under a deadline that is
//! *not later* than its own. A heartbeat puts a peer's deadline off and leaves the heap alone,
//! until what is filed keeps the timer from being moved on: then a few that stand at the top are
//! filed anew, under what they say now. A peer whose deadline comes nearer is filed again, and its
//! former place is garbage, as is that of a peer that was forgotten: it is passed over at the top,
//! and swept when a quarter of a heap is garbage.
//!
//! The order of locks is peer, then shard; a thread that has the shard only *tries* a peer's.

use std::{
    cmp::Ordering as Order,
    collections::{BinaryHeap, binary_heap::PeekMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use steadfast_core::parts::lock;

use super::{
    NEVER,
    arming::Arming,
    published::Record,
    watched::{State, Watched},
};
use crate::sync::{Mutex, try_lock};

#[derive(Debug)]
pub(crate) struct Schedule<K> {
    shards: Box<[Mutex<Heap<K>>]>,
}

#[derive(Debug)]
struct Heap<K> {
    filed: BinaryHeap<Filed<K>>,
    garbage: usize,
}

#[derive(Debug)]
pub(crate) struct Filed<K> {
    pub(crate) due: u64,
    pub(crate) peer: Arc<Watched<K>>,
}

/// What was taken out of a heap. The last of a peer may be in it, and its key is the caller's code:
/// it is dropped where no lock is held, and a panic in a key's drop goes no further.
#[derive(Debug)]
pub(crate) struct Gone<K>(Vec<Filed<K>>);

/// What filing a peer calls for, once its lock is free.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub(crate) struct Placed {
    /// The timer must come earlier.
    pub(crate) is_early: bool,
    /// There is much garbage in the heap.
    pub(crate) is_littered: bool,
}

/// Garbage below this is not worth a sweep.
const LITTER: usize = 32;

enum Top {
    /// It says the truth, or its peer is just being changed.
    Stands,
    Later(u64),
    Gone {
        is_garbage: bool,
    },
}

impl<K> Schedule<K> {
    pub(crate) fn new(shards: usize) -> Self {
        let heap = || Mutex::new(Heap { filed: BinaryHeap::new(), garbage: 0 });
        Self { shards: (0..shards).map(|_| heap()).collect() }
    }

    /// Files the peer under `due`, which is earlier than what it was filed under. Under the peer's
    /// lock.
    pub(crate) fn file(
        &self,
        arming: &Arming,
        peer: &Arc<Watched<K>>,
        state: &mut State,
        due: u64,
    ) -> Placed {
        let shard = peer.shard as usize;
        let mut heap = lock(&self.shards[shard]);
        heap.garbage += usize::from(state.filed != NEVER);
        state.filed = due;
        heap.make_room();
        heap.filed.push(Filed { due, peer: Arc::clone(peer) });
        let is_top = heap.publish(arming, shard) == due;
        let is_littered = heap.is_littered();
        drop(heap);
        Placed { is_early: is_top && arming.is_early(due), is_littered }
    }

    /// The peer is forgotten. Under its lock.
    pub(crate) fn discard(&self, peer: &Watched<K>, state: &mut State) {
        if state.forget() {
            lock(&self.shards[peer.shard as usize]).garbage += 1;
        }
    }

    /// Takes the top of a shard if it is due until `until`. Its peer is still filed under it.
    pub(crate) fn pop(&self, arming: &Arming, shard: usize, until: u64) -> Option<Filed<K>> {
        let mut heap = lock(&self.shards[shard]);
        let filed = heap.filed.peek_mut().filter(|top| top.due <= until).map(PeekMut::pop);
        heap.publish(arming, shard);
        filed
    }

    /// What was popped was not filed any more.
    pub(crate) fn passed_over(&self, shard: usize) {
        let mut heap = lock(&self.shards[shard]);
        heap.garbage = heap.garbage.saturating_sub(1);
    }

    /// Files the top anew until it says the truth or is later than `enough`, at most `most` times.
    /// `due` says when a peer is. False if nothing was changed. Not under a peer's lock. What it
    /// takes out goes to `gone`, for the caller may have a lock.
    pub(crate) fn refresh(
        &self,
        arming: &Arming,
        shard: usize,
        (most, enough): (usize, u64),
        gone: &mut Gone<K>,
        due: impl Fn(&Record) -> u64,
    ) -> bool {
        let mut is_changed = false;
        let mut heap = lock(&self.shards[shard]);
        for _ in 0..most {
            let Some(mut top) = heap.filed.peek_mut().filter(|top| top.due <= enough) else {
                break;
            };
            match look_at(&top, &due) {
                Top::Stands => break,
                Top::Later(due) => top.due = due,
                Top::Gone { is_garbage } => {
                    gone.0.push(PeekMut::pop(top));
                    heap.garbage = heap.garbage.saturating_sub(usize::from(is_garbage));
                }
            }
            is_changed = true;
        }
        heap.publish(arming, shard);
        is_changed
    }

    /// Throws the garbage of a shard out if there is much of it. Not under a peer's lock.
    pub(crate) fn sweep(&self, arming: &Arming, shard: usize) {
        let mut heap = lock(&self.shards[shard]);
        if !heap.is_littered() {
            return;
        }
        let is_filed = |filed: &Filed<K>| {
            // One that is just being changed stays.
            try_lock(&filed.peer.state).is_none_or(|state| state.filed == filed.due)
        };
        let (mut kept, gone): (Vec<_>, Vec<_>) = heap.filed.drain().partition(is_filed);
        kept.shrink_to_fit();
        heap.filed = kept.into();
        heap.garbage = heap.garbage.saturating_sub(gone.len());
        heap.publish(arming, shard);
        drop(heap);
        drop(Gone(gone));
    }

    /// How many places of each shard are counted as garbage, how many are garbage, and in how many
    /// a peer is filed.
    #[cfg(all(test, not(steadfast_loom)))]
    pub(super) fn audit(&self) -> Vec<(usize, usize, usize)> {
        let audit = |heap: &Mutex<Heap<K>>| {
            let heap = lock(heap);
            let is_filed = |filed: &&Filed<K>| lock(&filed.peer.state).filed == filed.due;
            let filed = heap.filed.iter().filter(is_filed).count();
            (heap.garbage, heap.filed.len() - filed, filed)
        };
        self.shards.iter().map(audit).collect()
    }
}

/// The peer's lock keeps its heartbeats out while it is filed anew: none of them can find the peer
/// filed early enough, and then see it filed later.
fn look_at<K>(top: &Filed<K>, due: impl Fn(&Record) -> u64) -> Top {
    let Some(mut state) = try_lock(&top.peer.state) else { return Top::Stands };
    if state.filed != top.due {
        return Top::Gone { is_garbage: true };
    }
    let due = due(&top.peer.published.own());
    if due <= top.due {
        return Top::Stands;
    }
    state.filed = due;
    if due == NEVER { Top::Gone { is_garbage: false } } else { Top::Later(due) }
}

impl<K> Heap<K> {
    fn is_littered(&self) -> bool {
        self.garbage >= LITTER.max(self.filed.len() / 4)
    }

    /// Grows by an eighth, not to twice the size: a peer's place is a good part of its weight.
    fn make_room(&mut self) {
        let length = self.filed.len();
        if length == self.filed.capacity() {
            self.filed.reserve_exact(length / 8 + 4);
        }
    }

    fn publish(&self, arming: &Arming, shard: usize) -> u64 {
        let top = self.filed.peek().map_or(NEVER, |top| top.due);
        if arming.top(shard) != top {
            arming.set_top(shard, top);
        }
        top
    }
}

impl<K> Gone<K> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<K> Drop for Gone<K> {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Filed::let_go);
    }
}

impl<K> Filed<K> {
    /// Drops it. See [`Gone`].
    pub(crate) fn let_go(self) {
        drop(catch_unwind(AssertUnwindSafe(|| drop(self))));
    }
}

impl<K> Ord for Filed<K> {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Order {
        other.due.cmp(&self.due)
    }
}

impl<K> PartialOrd for Filed<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Filed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<K> Eq for Filed<K> {}
