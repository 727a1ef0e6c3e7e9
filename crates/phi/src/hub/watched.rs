//! One peer.

use std::time::{Duration, Instant};

use steadfast_core::parts::{Waiter, Wakers, lock};

use crate::{
    config::Settings,
    estimator::Estimator,
    hub::{
        NEVER,
        published::{Published, Record},
    },
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
    trials::{Taken, Trials},
};

/// One peer of a hub. Its heartbeats meet at its lock, its readers take none. In this order what
/// can be loaded without the lock stands at both ends: see `touch`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Watched<K> {
    pub(crate) published: Published,
    pub(crate) state: Mutex<State>,
    heartbeats: AtomicU64,
    /// As many as there can be before it stays where it is.
    mistakes: AtomicU32,
    pub(crate) shard: u32,
    pub(crate) key: K,
}

/// What only the holder of the peer's lock sees.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) estimator: Estimator,
    /// The deadline under which the peer stands in the schedule: never later than its next one.
    pub(crate) filed: u64,
    /// What is let through to it while it is not trusted.
    trials: Trials,
}

/// Where a peer is filed that was forgotten. A handle that is left of it keeps counting, for
/// itself.
const FORGOTTEN: u64 = u64::MAX;

impl State {
    pub(crate) const fn is_forgotten(&self) -> bool {
        self.filed == FORGOTTEN
    }

    /// From now on. True if it was filed.
    pub(crate) fn forget(&mut self) -> bool {
        let filed = std::mem::replace(&mut self.filed, FORGOTTEN);
        filed != NEVER && filed != FORGOTTEN
    }
}

impl<K> Watched<K> {
    pub(crate) fn new(key: K, settings: &Settings, shard: u32) -> Self {
        let estimator = settings.estimator.clone();
        let curve = estimator.curve(&settings.rules);
        let record = Record { location: curve.location, scale: curve.scale, ..Record::default() };
        Self {
            published: Published::new(record),
            heartbeats: AtomicU64::new(0),
            mistakes: AtomicU32::new(0),
            shard,
            state: Mutex::new(State { estimator, filed: NEVER, trials: Trials::default() }),
            key,
        }
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        lock(&self.state).is_forgotten()
    }

    /// Loads its first and its last cache line, for a thread that is about to take its lock: that
    /// waits for what was asked for before it, and what is asked for after it waits for that.
    #[inline]
    pub(crate) fn touch(&self) {
        self.published.touch();
        self.heartbeats();
    }

    pub(crate) fn heartbeats(&self) -> u64 {
        self.heartbeats.load(Ordering::Relaxed)
    }

    pub(crate) fn mistakes(&self) -> u64 {
        self.mistakes.load(Ordering::Relaxed).into()
    }

    /// Only under the peer's lock: a plain store is enough, and readers need no lock.
    pub(crate) fn count(&self, is_mistake: bool) {
        self.heartbeats.store(self.heartbeats() + 1, Ordering::Relaxed);
        if is_mistake {
            let mistakes = self.mistakes.load(Ordering::Relaxed).saturating_add(1);
            self.mistakes.store(mistakes, Ordering::Relaxed);
        }
    }

    /// See [`Trials::take`].
    pub(crate) fn take_trial(&self, now: Instant, interval: Duration) -> Result<Taken, Duration> {
        lock(&self.state).trials.take(now, interval)
    }

    /// See [`Trials::left`].
    pub(crate) fn next_trial(&self, now: Instant) -> Option<Duration> {
        lock(&self.state).trials.left(now)
    }

    /// See [`Trials::join`].
    pub(crate) fn join(&self) -> Waiter {
        lock(&self.state).trials.join()
    }

    /// See [`Trials::give_back`]. Not under the peer's lock.
    pub(crate) fn give_back(&self, taken: Taken) {
        let wakers = lock(&self.state).trials.give_back(taken);
        wakers.into_iter().for_each(Wakers::wake);
    }

    /// See [`Trials::heard`]. Not under the peer's lock.
    #[cold]
    pub(crate) fn heard(&self) -> Option<Wakers> {
        lock(&self.state).trials.heard()
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use super::*;

    /// With the map's entry, the place in the heap and the counts of references: 256 bytes.
    #[test]
    fn a_peer_is_small() {
        assert!(size_of::<Estimator>() <= 88, "{}", size_of::<Estimator>());
        assert!(size_of::<Trials>() <= 8, "{}", size_of::<Trials>());
        assert!(size_of::<State>() <= 104, "{}", size_of::<State>());
        assert!(size_of::<Watched<u64>>() <= 168, "{}", size_of::<Watched<u64>>());
    }
}
