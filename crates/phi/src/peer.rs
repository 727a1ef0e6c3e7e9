//! The handle of one peer.

use std::{fmt, hash::Hash, sync::Arc, time::Instant};

use steadfast_core::{ConfigError, Select, Selected, Snapshot};

use crate::{
    DetectorConfig, Heard, Heartbeat, PeerSnapshot, Status,
    hub::{CLOCK, Hub, Watched},
    interest::Interest,
    transitions::Transitions,
};

/// One peer that is watched: alone, or as one of a [`Detector`](crate::Detector). Clones share the
/// state.
pub struct Peer<K = ()> {
    pub(crate) hub: Arc<Hub<K>>,
    pub(crate) watched: Arc<Watched<K>>,
    pub(crate) interest: Interest,
}

impl Peer {
    /// A peer that is watched alone.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        Ok(Self::alone(config.check()?))
    }

    /// One peer for each key of a request.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "keyed")]
    pub fn per_key<K, F>(
        config: DetectorConfig,
        capacity: std::num::NonZeroUsize,
        key: F,
    ) -> Result<steadfast_core::PerKey<K, Self, F>, ConfigError>
    where
        K: Eq + Hash + Clone,
    {
        let settings = config.check()?;
        Ok(steadfast_core::PerKey::new(capacity, move || Self::alone(settings.clone()), key))
    }

    fn alone(settings: crate::config::Settings) -> Self {
        let hub = Arc::new(Hub::new(settings));
        let watched = hub.peer(&()).expect("the capacity is not zero");
        Self { hub, watched, interest: Interest::new() }
    }
}

impl<K: Eq + Hash + Clone> Peer<K> {
    /// The key of the peer.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.watched.key
    }

    /// A heartbeat arrived.
    #[allow(clippy::must_use_candidate, reason = "most callers need not know what it was")]
    pub fn heartbeat(&self) -> Heard {
        self.heartbeat_with(Heartbeat::new())
    }

    /// A heartbeat arrived that says more of itself.
    #[allow(clippy::must_use_candidate, reason = "most callers need not know what it was")]
    pub fn heartbeat_with(&self, heartbeat: Heartbeat) -> Heard {
        self.hub.heartbeat(&self.watched, heartbeat)
    }

    /// The suspicion now.
    #[must_use]
    pub fn phi(&self) -> f64 {
        self.snapshot().phi
    }

    /// What is held of the peer now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.snapshot().status
    }

    /// When the peer is convicted if no heartbeat arrives.
    #[must_use]
    pub fn convict_at(&self) -> Option<Instant> {
        self.watched.reaches(self.hub.settings.convict)
    }

    /// What happens to the peer from now on; in a detector, to all of its peers.
    #[must_use]
    pub fn transitions(&self) -> Transitions<K> {
        Transitions::new(Arc::clone(&self.hub), self.interest.clone())
    }
}

impl<K> Clone for Peer<K> {
    fn clone(&self) -> Self {
        Self { interest: self.interest.clone(), ..self.unattended() }
    }
}

impl<K> fmt::Debug for Peer<K> {
    /// Keys may name callers, so they stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl<K> Snapshot for Peer<K> {
    type State = PeerSnapshot;

    fn snapshot(&self) -> PeerSnapshot {
        self.watched.snapshot(&self.hub.settings, CLOCK.now())
    }
}

impl<Req, K> Select<Req> for Peer<K> {
    type Handle = Self;

    fn select(&self, _: &Req) -> Selected<'_, Self> {
        Selected::Shared(self)
    }

    fn common(&self) -> Option<&Self> {
        Some(self)
    }
}
