//! The handle of many peers.

use std::{fmt, hash::Hash, sync::Arc};

use steadfast_core::{ConfigError, Snapshot};

use crate::{
    DetectorConfig, DetectorFull, DetectorSnapshot, Heard, Heartbeat, Peer, Status, Suspicions,
    hub::{CLOCK, Hub},
    interest::Interest,
    transitions::Transitions,
};

/// Watches peers by key. Clones share the state.
pub struct Detector<K> {
    hub: Arc<Hub<K>>,
    interest: Interest,
}

impl<K: Eq + Hash + Clone> Detector<K> {
    /// A detector that watches no peers yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        Ok(Self { hub: Arc::new(Hub::new(config.check()?)), interest: Interest::new() })
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
        let peer = self.hub.peer(key)?;
        Ok(self.hub.heartbeat(&peer, heartbeat))
    }

    /// The peer of `key`, which is watched from now on if it was not.
    ///
    /// # Errors
    /// As [`heartbeat`](Self::heartbeat).
    pub fn peer(&self, key: &K) -> Result<Peer<K>, DetectorFull> {
        let watched = self.hub.peer(key)?;
        Ok(Peer { hub: Arc::clone(&self.hub), watched, interest: self.interest.clone() })
    }

    /// The peer of `key`, if it is watched.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Peer<K>> {
        let watched = self.hub.get(key)?;
        Some(Peer { hub: Arc::clone(&self.hub), watched, interest: self.interest.clone() })
    }

    /// The suspicion of `key` now; `None` if it is not watched.
    #[must_use]
    pub fn phi(&self, key: &K) -> Option<f64> {
        self.get(key).map(|peer| peer.phi())
    }

    /// What is held of `key` now; `Unknown` if it is not watched.
    #[must_use]
    pub fn status(&self, key: &K) -> Status {
        self.get(key).map_or(Status::Unknown, |peer| peer.status())
    }

    /// All peers that are convicted now, in no order.
    #[must_use]
    pub fn dead(&self) -> Vec<K> {
        let suspicions = self.suspicions();
        suspicions.peers.into_iter().filter(|(_, dead)| *dead).map(|(key, _)| key).collect()
    }

    /// What this observer says of its peers, for others.
    #[must_use]
    pub fn suspicions(&self) -> Suspicions<K> {
        let now = CLOCK.now();
        let status = |peer: &crate::hub::Watched<K>| peer.snapshot(&self.hub.settings, now).status;
        let peers = self.hub.all();
        let heard = peers.iter().filter(|peer| status(peer) != Status::Unknown);
        Suspicions {
            peers: heard
                .map(|peer| (peer.key.clone(), status(peer) == Status::Convicted))
                .collect(),
            sequence: 1,
        }
    }

    /// Watches `key` no longer. True if it was watched.
    pub fn forget(&self, key: &K) -> bool {
        self.hub.forget(key)
    }

    /// How many peers are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub.all().len()
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

    /// What happens to the peers from now on.
    #[must_use]
    pub fn transitions(&self) -> Transitions<K> {
        Transitions::new(Arc::clone(&self.hub), self.interest.clone())
    }
}

impl<K> Clone for Detector<K> {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), interest: self.interest.clone() }
    }
}

impl<K> fmt::Debug for Detector<K> {
    /// Keys may name callers, so they stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone> Snapshot for Detector<K> {
    type State = DetectorSnapshot;

    fn snapshot(&self) -> DetectorSnapshot {
        let now = CLOCK.now();
        let mut snapshot = DetectorSnapshot::default();
        for peer in self.hub.all() {
            snapshot.peers += 1;
            match peer.snapshot(&self.hub.settings, now).status {
                Status::Unknown => snapshot.unknown += 1,
                Status::Trusted => snapshot.trusted += 1,
                Status::Suspected => snapshot.suspected += 1,
                Status::Convicted => snapshot.convicted += 1,
            }
        }
        snapshot
    }
}
