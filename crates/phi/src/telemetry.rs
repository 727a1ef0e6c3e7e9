//! What a detector tells metrics and events, always with every lock free, and never a key.

use std::{sync::Arc, time::Duration};

use steadfast_core::parts::Labels;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::{Counters, StateGauges};
#[cfg(feature = "metrics")]
use steadfast_core::parts::{Counters, StateGauges};

use crate::Status;

/// What one hub shows of itself.
#[derive(Debug)]
pub(crate) struct Telemetry {
    counted: Arc<Counted>,
    /// Each hub's own: it gives back the peers it shows when it is dropped.
    peers: StateGauges<Status>,
}

/// What all hubs of one configuration count together.
#[derive(Debug)]
pub(crate) struct Counted {
    name: Arc<str>,
    transitions: Counters<To>,
    pauses: Counters<()>,
}

impl Counted {
    pub(crate) fn new(name: Arc<str>) -> Arc<Self> {
        let transitions =
            Counters::new("steadfast_phi_transitions_total", "phi", Arc::clone(&name));
        let pauses = Counters::new("steadfast_phi_local_pauses_total", "phi", Arc::clone(&name));
        Arc::new(Self { name, transitions, pauses })
    }
}

/// The status that a transition leads to.
#[derive(Clone, Copy, Debug)]
struct To(Status);

impl Labels for To {
    const KEY: &'static str = "to";
    const ALL: &'static [Self] = &[
        Self(Status::Unknown),
        Self(Status::Trusted),
        Self(Status::Suspected),
        Self(Status::Convicted),
    ];

    fn label(self) -> &'static str {
        self.0.name()
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

impl Labels for Status {
    const KEY: &'static str = "status";
    const ALL: &'static [Self] = &Self::ALL;

    fn label(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Telemetry {
    pub(crate) fn new(counted: &Arc<Counted>) -> Self {
        let peers = StateGauges::new("steadfast_phi_peers", "phi", Arc::clone(&counted.name));
        Self { counted: Arc::clone(counted), peers }
    }

    /// Of a peer that is watched alone: shown from its first heartbeat on.
    pub(crate) fn alone(counted: &Arc<Counted>) -> Self {
        let Self { counted, peers } = Self::new(counted);
        Self { counted, peers: peers.starting_in(Status::Unknown) }
    }

    pub(crate) fn added(&self) {
        self.peers.enter(Status::Unknown);
    }

    pub(crate) fn forgotten(&self, status: Status) {
        self.peers.leave(status);
    }

    pub(crate) fn transition(&self, from: Status, to: Status, phi: f64) {
        self.peers.change(from, to);
        self.counted.transitions.increment(To(to));
        #[cfg(feature = "tracing")]
        tracing::info!(
            target: "steadfast::phi",
            phi = &*self.counted.name,
            from = from.name(),
            to = to.name(),
            suspicion = phi,
            "what is held of a peer changed"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = phi;
    }

    pub(crate) fn local_pause(&self, late: Duration) {
        self.counted.pauses.increment(());
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "steadfast::phi",
            phi = &*self.counted.name,
            late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX),
            "this process stood still: convictions are put off"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = late;
    }
}

/// A prober whose last handle was dropped before its future was first polled.
pub(crate) fn never_probed(name: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "steadfast::phi",
        phi = name,
        "no handle of a prober was kept: the peer is never probed"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = name;
}
