//! The handle as plain data.

use std::{sync::atomic::Ordering, time::Duration};

use steadfast_core::Snapshot;

use super::Idempotency;
use crate::{shared::Shared, telemetry::Event};

/// An [`Idempotency`] as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotencySnapshot {
    /// Requests that are under way: that ask the store, run, or are being settled.
    pub in_flight: usize,
    /// How long the one of them has been under way that came first.
    pub oldest: Option<Duration>,
    /// Duplicates that wait for one of them.
    pub waiting: usize,
    /// Operations that began.
    pub ran: u64,
    /// Those of them that began without a claim, because the store was down.
    pub unclaimed: u64,
    /// Requests that were answered with a stored reply.
    pub replayed: u64,
    /// Replies that were stored.
    pub stored: u64,
    /// Operations whose reply could not be kept.
    pub not_kept: u64,
    /// Keys that were freed because nothing was executed.
    pub released: u64,
    /// Keys that were abandoned by their operation's end.
    pub abandoned: u64,
    /// Operations that found their claim lost.
    pub lost: u64,
    /// Operations whose end could not be told to the store.
    pub unsettled: u64,
    /// Operations that panicked.
    pub panicked: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Whether it was shut down.
    pub is_shut_down: bool,
}

impl Idempotency {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> IdempotencySnapshot {
        let Shared { detach, waiting, telemetry, .. } = &*self.shared;
        let (places, count) = (detach.snapshot(), |event| telemetry.count(event));
        IdempotencySnapshot {
            in_flight: places.in_flight,
            oldest: self.shared.oldest(),
            waiting: waiting.load(Ordering::Relaxed),
            ran: count(Event::Ran),
            unclaimed: count(Event::Unclaimed),
            replayed: count(Event::Replayed),
            stored: count(Event::Stored),
            not_kept: count(Event::NotKept),
            released: count(Event::Released),
            abandoned: count(Event::Abandoned),
            lost: count(Event::Lost),
            unsettled: count(Event::Unsettled),
            panicked: count(Event::Panicked),
            refused: telemetry.refusals(),
            is_shut_down: places.is_shut_down,
        }
    }
}

impl Snapshot for Idempotency {
    type State = IdempotencySnapshot;

    fn snapshot(&self) -> IdempotencySnapshot {
        Self::snapshot(self)
    }
}
