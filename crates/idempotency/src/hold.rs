//! How long a claim is held, as its owner knows it, and its renewal.

use std::{
    future::pending,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Change, ClaimTerms, RecordId,
    shared::{Shared, now},
    signal::Signal,
    telemetry::Event,
};

/// A claim's lease, counted from before the store was asked for it: the store counts from later.
#[derive(Debug)]
pub(crate) struct Hold {
    is_lost: Signal,
    lease: Duration,
    /// When the claim was asked for.
    began: Instant,
    /// Nanoseconds after that. Relaxed: it guards no other memory.
    until: AtomicU64,
    /// Whether a transaction of the operation's has completed the claim. While it is open it holds
    /// the record, so that no other takes it over and no renewal gets through; what has become of
    /// it the operation's end tells. Relaxed, as above.
    is_settling: AtomicBool,
    /// Whether the store has refused the operation's reply. Relaxed, as above.
    is_refused: AtomicBool,
}

impl Hold {
    /// By a claim that was asked for at `began`.
    pub(crate) fn new(began: Instant, lease: Duration) -> Self {
        let (is_lost, until, is_settling, is_refused) = Default::default();
        let hold = Self { is_lost, lease, began, until, is_settling, is_refused };
        hold.renewed(began);
        hold
    }

    /// By a renewal that was asked for at `asked_at`.
    fn renewed(&self, asked_at: Instant) {
        let until = (asked_at + self.lease).saturating_duration_since(self.began).as_nanos();
        // Leases are up to 10 years, and a run of 584 years is not one of ours.
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn until(&self) -> Instant {
        self.began + Duration::from_nanos(self.until.load(Ordering::Relaxed))
    }

    /// Whether the claim is another's, or may be. A process that stood still past its lease knows
    /// it by the clock, before its timers have noticed.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.is_raised() || !self.is_settling() && now() >= self.until()
    }

    /// A transaction of the operation's has completed the claim.
    pub(crate) fn settle(&self) {
        self.is_settling.store(true, Ordering::Relaxed);
    }

    fn is_settling(&self) -> bool {
        self.is_settling.load(Ordering::Relaxed)
    }

    /// The reply does not count: another's does.
    pub(crate) fn refuse(&self) {
        self.is_refused.store(true, Ordering::Relaxed);
    }

    #[cfg(feature = "http")]
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Waits for [`lose`](Self::lose).
    pub(crate) async fn lost(&self) {
        self.is_lost.raised().await;
    }

    pub(crate) fn lose(&self, shared: &Shared) {
        if !self.is_lost.is_raised() {
            shared.telemetry.tell(Event::Lost);
            self.is_lost.raise();
        }
    }

    /// [Loses](Self::lose) it, unless it is being settled.
    fn doubt(&self, shared: &Shared) {
        if !self.is_settling() {
            self.lose(shared);
        }
    }

    /// Renews the claim at a third of its lease, sooner after a failure, and says when it may be
    /// lost. Never ends.
    pub(crate) async fn renew(&self, shared: &Shared, id: &RecordId, terms: &ClaimTerms) {
        let ClaimTerms { token, lease, retention, .. } = *terms;
        let mut next = self.began + lease / 3;
        loop {
            sleep_until(next).await;
            shared.show_oldest();
            let asked_at = now();
            let renewal = shared.store.boxed_renew(id, token, lease, retention);
            let mut renewal = pin!(shared.within_limit("renew", renewal));
            let answer = match timeout_at(self.until(), renewal.as_mut()).await {
                Ok(answer) => answer,
                // The lease goes on while the store is silent.
                Err(_) => {
                    self.doubt(shared);
                    renewal.await
                }
            };
            match answer {
                Ok(Change::Applied) => {
                    self.renewed(asked_at);
                    next = asked_at + lease / 3;
                }
                Ok(Change::Lost) => {
                    self.doubt(shared);
                    return pending().await;
                }
                Err(_) if now() >= self.until() => {
                    self.doubt(shared);
                    next = now() + lease / 12;
                }
                Err(_) => next = self.until().min(now() + lease / 12),
            }
        }
    }
}
