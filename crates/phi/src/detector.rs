//! The handle of many peers.

use std::{fmt, hash::Hash, sync::Arc};

use steadfast_core::{ConfigError, Snapshot};

use crate::{
    DetectorConfig, DetectorFull, DetectorSnapshot, Heard, Heartbeat, Peer, Status, Suspicions,
    hub::{Hub, Watched},
    transitions::Transitions,
};

/// Watches peers by key. Clones share the state.
///
/// ```
/// use steadfast_phi::{Detector, DetectorConfig, Status};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let detector = Detector::new(DetectorConfig::default())?;
/// for _ in 0..20 {
///     detector.heartbeat(&"a")?;
///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
/// }
/// assert_eq!(detector.status(&"a"), Status::Trusted);
/// tokio::time::sleep(std::time::Duration::from_secs(60)).await;
/// assert_eq!(detector.dead(), ["a"]);
/// # Ok(())
/// # }
/// ```
pub struct Detector<K> {
    hub: Arc<Hub<K>>,
}

impl<K: Eq + Hash + Clone> Detector<K> {
    /// A detector that watches no peers yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        Ok(Self { hub: Arc::new(Hub::new(config.check()?)) })
    }

    /// A heartbeat of `key`'s arrived. A key that is not watched yet is added.
    ///
    /// # Errors
    /// When as many peers are watched as may be.
    pub fn heartbeat(&self, key: &K) -> Result<Heard, DetectorFull> {
        self.heartbeat_with(key, Heartbeat::new())
    }

    /// A heartbeat arrived that says more of itself.
    ///
    /// # Errors
    /// As [`heartbeat`](Self::heartbeat).
    pub fn heartbeat_with(&self, key: &K, heartbeat: Heartbeat) -> Result<Heard, DetectorFull> {
        self.hub.heartbeat_of(key, heartbeat)
    }

    /// The peer of `key`, which is watched from now on if it was not.
    ///
    /// # Errors
    /// As [`heartbeat`](Self::heartbeat).
    pub fn peer(&self, key: &K) -> Result<Peer<K>, DetectorFull> {
        let watched = self.hub.peer(key)?;
        Ok(Peer { hub: Arc::clone(&self.hub), watched })
    }

    /// The peer of `key`, if it is watched.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Peer<K>> {
        let watched = self.hub.with(key, Arc::clone)?;
        Some(Peer { hub: Arc::clone(&self.hub), watched })
    }

    /// The suspicion of `key` now; `None` if it is not watched. 0 before its first heartbeat.
    #[must_use]
    pub fn phi(&self, key: &K) -> Option<f64> {
        self.hub.with(key, |peer| self.hub.suspicion(peer))
    }

    /// What is held of `key` now; `Unknown` if it is not watched.
    #[must_use]
    pub fn status(&self, key: &K) -> Status {
        self.hub.with(key, |peer| self.hub.status(peer)).unwrap_or(Status::Unknown)
    }

    /// All peers that are convicted now, in no order.
    #[must_use]
    pub fn dead(&self) -> Vec<K> {
        let is_dead = |peer: &Arc<Watched<K>>| self.hub.status(peer) == Status::Convicted;
        self.hub.all().iter().filter(|peer| is_dead(peer)).map(|peer| peer.key.clone()).collect()
    }

    /// What this observer says of its peers, for others: each peer that was ever heard, and
    /// whether it is convicted.
    #[must_use]
    pub fn suspicions(&self) -> Suspicions<K> {
        // The number first: a report with a higher one is no older.
        let sequence = self.hub.report();
        let vote = |peer: &Arc<Watched<K>>| match self.hub.status(peer) {
            Status::Unknown => None,
            status => Some((peer.key.clone(), status == Status::Convicted)),
        };
        Suspicions { peers: self.hub.all().iter().filter_map(vote).collect(), sequence }
    }

    /// Watches `key` no longer. True if it was watched.
    ///
    /// Handles that are left of the peer go on by themselves: what they hear is no transition of
    /// this detector's. If the key comes back, it begins as one that was never heard.
    pub fn forget(&self, key: &K) -> bool {
        self.hub.forget(key)
    }

    /// How many peers are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub.len()
    }

    /// Whether no peer is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that labels metrics and events.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.hub.settings.name
    }

    /// What happens to the peers from now on. While it is polled, one timer stands at the earliest
    /// deadline; nothing is polled, and heartbeats of peers that live wake no task.
    pub fn transitions(&self) -> Transitions<K> {
        Transitions::new(Arc::clone(&self.hub))
    }
}

impl<K> Clone for Detector<K> {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub) }
    }
}

impl<K> fmt::Debug for Detector<K> {
    /// Keys may name callers, so they stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone> Detector<K> {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> DetectorSnapshot {
        let mut snapshot =
            DetectorSnapshot { local_pauses: self.hub.timer.pauses(), ..Default::default() };
        for peer in self.hub.all() {
            snapshot.peers += 1;
            snapshot.heartbeats += peer.heartbeats();
            snapshot.mistakes += peer.mistakes();
            match self.hub.status(&peer) {
                Status::Unknown => snapshot.unknown += 1,
                Status::Trusted => snapshot.trusted += 1,
                Status::Suspected => snapshot.suspected += 1,
                Status::Convicted => snapshot.convicted += 1,
            }
        }
        snapshot
    }
}

impl<K: Eq + Hash + Clone> Snapshot for Detector<K> {
    type State = DetectorSnapshot;

    fn snapshot(&self) -> DetectorSnapshot {
        Self::snapshot(self)
    }
}
