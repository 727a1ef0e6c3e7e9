//! Which peer a key means: a map whose readers take no lock, and bounded.
//!
//! Keys are the callers' code: their hash, comparison, clone and drop may panic or use the
//! detector. So a key is hashed here before the map is asked (a map that grows while a key panics
//! in its hash would leave other threads waiting), it is cloned once and lives in the peer, and a
//! panic in its drop goes no further: the map drops what was forgotten whenever no reader may still
//! see it, on a thread that did not ask for it.

use std::{
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use papaya::{Equivalent, HashMap};

use super::watched::Watched;
use crate::{
    DetectorFull,
    sync::{AtomicUsize, Ordering},
};

pub(crate) struct Index<K> {
    hasher: RandomState,
    map: HashMap<Entry<K>, (), BuildHasherDefault<Known>>,
    /// Peers watched, and keys that are being added. Never above the capacity.
    taken: AtomicUsize,
    capacity: usize,
}

/// A peer by its key, whose hash is known.
struct Entry<K> {
    hash: u64,
    /// `None` only while it is dropped.
    peer: Option<Arc<Watched<K>>>,
}

/// What is looked for.
struct Query<'a, K> {
    hash: u64,
    key: &'a K,
}

/// This peer and no other.
struct This<'a, K> {
    hash: u64,
    peer: &'a Arc<Watched<K>>,
}

/// Passes on a hash that is known.
#[derive(Default)]
struct Known(u64);

/// A place of the capacity, given back unless the peer came to stand in it.
struct Place<'a>(&'a AtomicUsize);

impl<K: Eq + Hash> Index<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            map: HashMap::with_hasher(BuildHasherDefault::new()),
            taken: AtomicUsize::new(0),
            capacity,
        }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Calls `use_it` with the peer of `key`. No reference is counted meanwhile.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        hash: u64,
        key: &K,
        use_it: impl FnOnce(&Arc<Watched<K>>) -> R,
    ) -> Option<R> {
        let guard = self.map.guard();
        let (entry, ()) = self.map.get_key_value(&Query { hash, key }, &guard)?;
        entry.peer.as_ref().map(use_it)
    }

    /// Adds the peer that `make` makes; or finds the one that another thread has added meanwhile.
    /// True if it was added.
    pub(crate) fn add(
        &self,
        hash: u64,
        key: &K,
        make: impl Fn() -> Watched<K>,
    ) -> Result<(Arc<Watched<K>>, bool), DetectorFull> {
        loop {
            let place = self.place();
            if place.is_some() {
                let peer = Arc::new(make());
                let entry = Entry { hash, peer: Some(Arc::clone(&peer)) };
                let is_added = self.map.try_insert(entry, (), &self.map.guard()).is_ok();
                if is_added {
                    std::mem::forget(place);
                    return Ok((peer, true));
                }
            }
            // It has been added, or the last place was its own; if it has been forgotten since,
            // there is a place.
            if let Some(peer) = self.with(hash, key, Arc::clone) {
                return Ok((peer, false));
            }
            if place.is_none() {
                return Err(DetectorFull { capacity: self.capacity });
            }
        }
    }

    /// Frees the key of a peer that stands here, by no code of the key's: the caller has marked it
    /// as forgotten, and is the only one that removes it.
    pub(crate) fn remove(&self, hash: u64, peer: &Arc<Watched<K>>) {
        let this = This { hash, peer };
        if self.map.remove_entry(&this, &self.map.guard()).is_some() {
            drop(Place(&self.taken));
        }
    }

    /// Every peer, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Watched<K>>> {
        let guard = self.map.guard();
        self.map.keys(&guard).filter_map(|entry| entry.peer.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    fn place(&self) -> Option<Place<'_>> {
        let more = |taken| (taken < self.capacity).then_some(taken + 1);
        // Relaxed: it guards a number, and no memory.
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        // Made only where it was taken: one that is dropped gives a place back.
        taken.is_ok().then(|| Place(&self.taken))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<K> Drop for Entry<K> {
    fn drop(&mut self) {
        let peer = self.peer.take();
        // The map must not be left half-way through what it drops.
        drop(catch_unwind(AssertUnwindSafe(|| drop(peer))));
    }
}

impl<K> Hash for Entry<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Eq> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && match (&self.peer, &other.peer) {
                (Some(one), Some(other)) => one.key == other.key,
                _ => false,
            }
    }
}

impl<K: Eq> Eq for Entry<K> {}

impl<K> Hash for Query<'_, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Eq> Equivalent<Entry<K>> for Query<'_, K> {
    fn equivalent(&self, entry: &Entry<K>) -> bool {
        self.hash == entry.hash && entry.peer.as_ref().is_some_and(|peer| peer.key == *self.key)
    }
}

impl<K> Hash for This<'_, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K> Equivalent<Entry<K>> for This<'_, K> {
    fn equivalent(&self, entry: &Entry<K>) -> bool {
        entry.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, self.peer))
    }
}

impl Hasher for Known {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
