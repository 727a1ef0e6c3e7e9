//! What is counted, and what metrics and events are told. Never a key, a scope or a reply.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::{Counters, OwnedGauge, StateGauges};
#[cfg(feature = "metrics")]
use steadfast_core::parts::{Counters, OwnedGauge, StateGauges};
use steadfast_core::{HandleName, parts::Labels};

use crate::{Census, Reason, Refused, StoreError};

/// How a request was answered that was not refused, or what became of an operation's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An operation began.
    Ran,
    /// It began without a claim, because the store was down.
    Unclaimed,
    /// A request was answered with a stored reply.
    Replayed,
    /// A reply was stored.
    Stored,
    /// A tombstone was stored in place of a reply.
    NotKept,
    /// A key was freed.
    Released,
    /// A key was abandoned.
    Abandoned,
    /// An operation found its claim lost.
    Lost,
    /// What became of an operation could not be told to the store.
    Unsettled,
    /// An operation panicked.
    Panicked,
}

/// Reports under the handle's name.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) name: Arc<str>,
    /// The same, for refusals.
    handle: Option<HandleName>,
    /// Relaxed: they are only counted.
    events: [AtomicU64; Event::ALL.len()],
    refusals: [AtomicU64; Reason::ALL.len()],
    event_counters: Counters<Event>,
    refusal_counters: Counters<Reason>,
    /// What is under way in this process.
    pub(crate) in_flight: StateGauges<()>,
    pub(crate) oldest: OwnedGauge,
    census: [OwnedGauge; 3],
}

const LAYER: &str = "idempotency";

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        let metric = "steadfast_idempotency_events_total";
        let event_counters = Counters::new(metric, LAYER, Arc::clone(&name));
        let metric = "steadfast_idempotency_refused_total";
        let refusal_counters = Counters::new(metric, LAYER, Arc::clone(&name));
        let (events, refusals) = Default::default();
        let metric = "steadfast_idempotency_in_flight";
        let in_flight = StateGauges::new(metric, LAYER, Arc::clone(&name));
        let gauge = |metric| OwnedGauge::new(metric, LAYER, Arc::clone(&name));
        let oldest = gauge("steadfast_idempotency_oldest_seconds");
        let census = [
            gauge("steadfast_idempotency_store_in_flight"),
            gauge("steadfast_idempotency_store_abandoned"),
            gauge("steadfast_idempotency_store_oldest_seconds"),
        ];
        let handle = HandleName::new(&name);
        Self {
            name,
            handle,
            events,
            refusals,
            event_counters,
            refusal_counters,
            in_flight,
            oldest,
            census,
        }
    }

    pub(crate) fn show(&self, census: &Census) {
        let [in_flight, abandoned, oldest] = &self.census;
        in_flight.set_count(census.in_flight);
        abandoned.set_count(census.abandoned);
        oldest.set(census.oldest.unwrap_or_default());
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events[event.index()].fetch_add(1, Ordering::Relaxed);
        self.event_counters.increment(event);
        #[cfg(feature = "tracing")]
        match event {
            Event::Unclaimed
            | Event::Abandoned
            | Event::Lost
            | Event::Unsettled
            | Event::Panicked => tracing::warn!(
                target: "steadfast::idempotency",
                idempotency = &*self.name,
                "{}",
                match event {
                    Event::Unclaimed => "an operation runs without a claim: the store is down",
                    Event::Abandoned => "an operation may have been executed: its key is abandoned",
                    Event::Lost => "an operation has lost its claim, or may have",
                    Event::Unsettled => "the store was not told what became of an operation",
                    _ => "an operation panicked",
                }
            ),
            _ => {}
        }
    }

    /// Counts the refusal, and passes it on with the handle's name.
    pub(crate) fn refused(&self, refused: Refused) -> Refused {
        self.refusals[refused.reason.index()].fetch_add(1, Ordering::Relaxed);
        self.refusal_counters.increment(refused.reason);
        refused.with_handle(self.handle)
    }

    /// A call of the store failed.
    pub(crate) fn store_failed(&self, operation: &'static str, error: &StoreError) {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "steadfast::idempotency",
            idempotency = &*self.name,
            operation,
            %error,
            cause = std::error::Error::source(error).map(tracing::field::display),
            "the store failed"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (operation, error);
    }

    pub(crate) fn count(&self, event: Event) -> u64 {
        self.events[event.index()].load(Ordering::Relaxed)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Labels for Event {
    const KEY: &'static str = "event";
    const ALL: &'static [Self] = &[
        Self::Ran,
        Self::Unclaimed,
        Self::Replayed,
        Self::Stored,
        Self::NotKept,
        Self::Released,
        Self::Abandoned,
        Self::Lost,
        Self::Unsettled,
        Self::Panicked,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Unclaimed => "unclaimed",
            Self::Replayed => "replayed",
            Self::Stored => "stored",
            Self::NotKept => "not_kept",
            Self::Released => "released",
            Self::Abandoned => "abandoned",
            Self::Lost => "lost",
            Self::Unsettled => "unsettled",
            Self::Panicked => "panicked",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
