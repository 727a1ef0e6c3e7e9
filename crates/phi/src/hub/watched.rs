//! One peer.

use steadfast_core::parts::lock;

use crate::{
    estimator::Estimator,
    hub::{
        NEVER,
        published::{Published, Record},
    },
    sync::{AtomicU64, Mutex, Ordering},
    trials::Trials,
};

/// One peer of a hub. Its heartbeats meet at its lock, its readers take none.
#[derive(Debug)]
pub(crate) struct Watched<K> {
    pub(crate) published: Published,
    heartbeats: AtomicU64,
    mistakes: AtomicU64,
    pub(crate) state: Mutex<State>,
    pub(crate) shard: u32,
    /// What is let through to it while it is not trusted.
    pub(crate) trials: Trials,
    pub(crate) key: K,
}

/// What only the holder of the peer's lock sees.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) estimator: Estimator,
    /// The deadline under which the peer stands in the schedule: never later than its next one.
    pub(crate) filed: u64,
    /// A handle of a peer that was forgotten keeps counting, for itself.
    pub(crate) is_forgotten: bool,
}

impl<K> Watched<K> {
    pub(crate) fn new(key: K, estimator: Estimator, shard: u32) -> Self {
        let curve = estimator.curve();
        let record = Record { location: curve.location, scale: curve.scale, ..Record::default() };
        Self {
            published: Published::new(record),
            heartbeats: AtomicU64::new(0),
            mistakes: AtomicU64::new(0),
            state: Mutex::new(State { estimator, filed: NEVER, is_forgotten: false }),
            shard,
            trials: Trials::default(),
            key,
        }
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        lock(&self.state).is_forgotten
    }

    pub(crate) fn heartbeats(&self) -> u64 {
        self.heartbeats.load(Ordering::Relaxed)
    }

    pub(crate) fn mistakes(&self) -> u64 {
        self.mistakes.load(Ordering::Relaxed)
    }

    /// Only under the peer's lock: a plain store is enough, and readers need no lock.
    pub(crate) fn count(&self, is_mistake: bool) {
        self.heartbeats.store(self.heartbeats() + 1, Ordering::Relaxed);
        if is_mistake {
            self.mistakes.store(self.mistakes() + 1, Ordering::Relaxed);
        }
    }
}
