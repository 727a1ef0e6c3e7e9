//! How long a claim is held, as its owner knows it, and its renewal.

use std::{
    future::pending,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Change, ClaimReply, ClaimTerms, RecordId, StoreError,
    shared::{Shared, now},
    signal::Signal,
    telemetry::Event,
};

/// A claim's lease, counted from before the store was asked for it: the store counts from later.
#[derive(Debug)]
pub(crate) struct Hold {
    is_lost: Signal,
    /// Whether the store has granted it. Relaxed, as is `until`: they guard no other memory.
    is_granted: AtomicBool,
    lease: Duration,
    /// When the claim was asked for.
    began: Instant,
    /// Nanoseconds after that.
    until: AtomicU64,
    /// Whether a transaction of the operation's has completed the claim. While it is open it holds
    /// the record, so that no other takes it over and no renewal gets through; what has become of
    /// it the operation's end tells. Relaxed, as above.
    is_settling: AtomicBool,
    /// Whether the store has refused the operation's reply. Relaxed, as above.
    is_refused: AtomicBool,
}

impl Hold {
    /// By a claim that was asked for at `began`, and was granted or was not answered.
    pub(crate) fn new(began: Instant, lease: Duration, is_granted: bool) -> Self {
        let (is_lost, until, is_settling, is_refused) = Default::default();
        let is_granted = AtomicBool::new(is_granted);
        let hold = Self { is_lost, is_granted, lease, began, until, is_settling, is_refused };
        hold.renewed(began);
        hold
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.is_granted.load(Ordering::Relaxed)
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
        let has_lease = self.is_granted() && !self.is_settling();
        self.is_lost.is_raised() || has_lease && now() >= self.until()
    }

    /// Whether a third of the lease is over, and more.
    pub(crate) fn is_due(&self) -> bool {
        self.is_granted() && now() + self.lease * 2 / 3 >= self.until()
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
    /// lost. One that was not granted is asked for again. Never ends.
    pub(crate) async fn renew(&self, shared: &Shared, id: &RecordId, terms: &ClaimTerms) {
        let lease = terms.lease;
        let mut next = self.began + lease / if self.is_granted() { 3 } else { 12 };
        loop {
            sleep_until(next).await;
            shared.show_oldest();
            let mut asked = pin!(self.ask(shared, id, terms));
            let answer = if self.is_granted() {
                match timeout_at(self.until(), asked.as_mut()).await {
                    Ok(answer) => answer,
                    // The lease goes on while the store is silent.
                    Err(_) => {
                        self.doubt(shared);
                        asked.await
                    }
                }
            } else {
                asked.await
            };
            match answer {
                Ok(Change::Applied) => next = self.until() - (lease - lease / 3),
                Ok(Change::Lost) => {
                    self.doubt(shared);
                    return pending().await;
                }
                Err(_) if !self.is_granted() => next = now() + lease / 12,
                Err(_) if now() >= self.until() => {
                    self.doubt(shared);
                    next = now() + lease / 12;
                }
                Err(_) => next = self.until().min(now() + lease / 12),
            }
        }
    }

    /// Asks the store once for a whole lease: to renew the claim, or for the claim itself.
    pub(crate) async fn ask(
        &self,
        shared: &Shared,
        id: &RecordId,
        terms: &ClaimTerms,
    ) -> Result<Change, StoreError> {
        let ClaimTerms { token, lease, retention, .. } = *terms;
        let asked_at = now();
        let change = if self.is_granted() {
            shared
                .within_limit("renew", shared.store.boxed_renew(id, token, lease, retention))
                .await
        } else {
            let claim = shared.within_limit("claim", shared.store.boxed_claim(id, terms)).await;
            claim.map(|reply| match reply {
                ClaimReply::Claimed { .. } => Change::Applied,
                // Another run is under way, or done.
                _ => Change::Lost,
            })
        };
        if matches!(change, Ok(Change::Applied)) {
            self.renewed(asked_at);
            self.is_granted.store(true, Ordering::Relaxed);
        }
        change
    }
}
