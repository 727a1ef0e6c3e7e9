//! The handle of one peer.

#[cfg(feature = "keyed")]
use std::hash::Hash;
use std::{fmt, sync::Arc, time::Instant};

use steadfast_core::{ConfigError, Select, Selected, Snapshot};

use crate::{
    DetectorConfig, Heard, Heartbeat, PeerSnapshot, Status,
    config::Settings,
    hub::{Hub, Watched},
    status::Level,
    telemetry::Counted,
    transitions::Transitions,
};

/// One peer that is watched: alone, or as one of a [`Detector`](crate::Detector). Clones share the
/// state.
///
/// ```
/// use std::time::Duration;
/// use steadfast_phi::{DetectorConfig, Peer, Status};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), steadfast_core::ConfigError> {
/// let peer = Peer::<()>::new(DetectorConfig::default())?;
/// for _ in 0..20 {
///     peer.heartbeat();
///     tokio::time::sleep(Duration::from_secs(1)).await;
/// }
/// assert_eq!(peer.status(), Status::Trusted);
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// assert_eq!(peer.status(), Status::Convicted);
/// # Ok(())
/// # }
/// ```
pub struct Peer<K = ()> {
    pub(crate) hub: Arc<Hub<K>>,
    pub(crate) watched: Arc<Watched<K>>,
}

impl Peer {
    /// A peer that is watched alone.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        let settings = config.check()?;
        let counted = Counted::new(Arc::clone(&settings.name));
        Ok(Self::alone(settings, &counted))
    }

    /// One peer for each key of a request. A key that had to make room for others begins anew, as
    /// one that was never heard: choose a capacity above the number of peers.
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
        let counted = Counted::new(Arc::clone(&settings.name));
        let make = move || Self::alone(settings.clone(), &counted);
        Ok(steadfast_core::PerKey::new(capacity, make, key))
    }

    fn alone(settings: Settings, counted: &Arc<Counted>) -> Self {
        let (hub, watched) = Hub::alone(settings, (), counted);
        Self { hub, watched }
    }
}

impl<K> Peer<K> {
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
        self.hub.suspicion(&self.watched)
    }

    /// What is held of the peer now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.hub.status(&self.watched)
    }

    /// When the peer becomes suspected if no heartbeat arrives. In the past if it is; `None` before
    /// the first heartbeat, and where that is never.
    #[must_use]
    pub fn suspect_at(&self) -> Option<Instant> {
        self.hub.reaches(&self.watched, Level::Suspect)
    }

    /// When the peer is convicted if no heartbeat arrives. In the past if it is; `None` before the
    /// first heartbeat, and where that is never.
    #[must_use]
    pub fn convict_at(&self) -> Option<Instant> {
        self.hub.reaches(&self.watched, Level::Convict)
    }

    /// What happens to the peer from now on; in a detector, to all of its peers.
    pub fn transitions(&self) -> Transitions<K> {
        Transitions::new(Arc::clone(&self.hub))
    }
}

impl<K> Clone for Peer<K> {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), watched: Arc::clone(&self.watched) }
    }
}

impl<K> fmt::Debug for Peer<K> {
    /// Keys may name callers, so they stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl<K> Peer<K> {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> PeerSnapshot {
        self.hub.snapshot(&self.watched)
    }
}

impl<K> Snapshot for Peer<K> {
    type State = PeerSnapshot;

    fn snapshot(&self) -> PeerSnapshot {
        Self::snapshot(self)
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
