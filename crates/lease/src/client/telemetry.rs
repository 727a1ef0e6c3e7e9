//! What is counted, and what metrics and events are told. Never a nonce; a name and a token only to
//! events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "metrics")]
use steadfast_core::parts::Counters;
use steadfast_core::parts::Labels;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::Counters;

use crate::{FencingToken, LeaseName, Loss, StoreError};

/// What became of a call or a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Granted,
    /// Another holds it.
    Held,
    Renewed,
    RenewalFailed,
    LostUnanswered,
    LostNotRenewed,
    LostTaken,
    LostRevoked,
    Released,
    /// No release was answered before the grant was over.
    Unreleased,
}

/// Reports under the client's name.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) name: Arc<str>,
    /// Relaxed: they are only counted.
    events: [AtomicU64; Event::ALL.len()],
    counters: Counters<Event>,
    /// The worst, in nanoseconds.
    lateness: AtomicU64,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        let counters = Counters::new("steadfast_lease_events_total", "lease", Arc::clone(&name));
        Self { name, events: Default::default(), counters, lateness: AtomicU64::new(0) }
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events[event.index()].fetch_add(1, Ordering::Relaxed);
        self.counters.increment(event);
    }

    pub(crate) fn granted(&self, name: &LeaseName, token: FencingToken) {
        self.tell(Event::Granted);
        #[cfg(feature = "tracing")]
        tracing::info!(
            target: "steadfast::lease", client = &*self.name, %name, %token, "a lease is granted"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (name, token);
    }

    pub(crate) fn lost(&self, name: &LeaseName, token: FencingToken, loss: Loss) {
        self.tell(match loss {
            Loss::Unanswered => Event::LostUnanswered,
            Loss::NotRenewed => Event::LostNotRenewed,
            Loss::Taken => Event::LostTaken,
            Loss::Revoked => Event::LostRevoked,
        });
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "steadfast::lease",
            client = &*self.name, %name, %token, reason = ?loss, "a lease is lost"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (name, token);
    }

    /// A call of the store failed.
    pub(crate) fn store_failed(&self, operation: &'static str, error: &StoreError) {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "steadfast::lease",
            client = &*self.name,
            operation,
            %error,
            cause = std::error::Error::source(error).map(tracing::field::display),
            "the store failed"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (operation, error);
    }

    /// A renewal that was due so long ago begins.
    pub(crate) fn late(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.lateness.fetch_max(by, Ordering::Relaxed);
    }

    pub(crate) fn lateness(&self) -> Duration {
        Duration::from_nanos(self.lateness.load(Ordering::Relaxed))
    }

    pub(crate) fn count(&self, event: Event) -> u64 {
        self.events[event.index()].load(Ordering::Relaxed)
    }
}

impl Labels for Event {
    const KEY: &'static str = "event";
    const ALL: &'static [Self] = &[
        Self::Granted,
        Self::Held,
        Self::Renewed,
        Self::RenewalFailed,
        Self::LostUnanswered,
        Self::LostNotRenewed,
        Self::LostTaken,
        Self::LostRevoked,
        Self::Released,
        Self::Unreleased,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Held => "held",
            Self::Renewed => "renewed",
            Self::RenewalFailed => "renewal_failed",
            Self::LostUnanswered => "lost_unanswered",
            Self::LostNotRenewed => "lost_not_renewed",
            Self::LostTaken => "lost_taken",
            Self::LostRevoked => "lost_revoked",
            Self::Released => "released",
            Self::Unreleased => "unreleased",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
