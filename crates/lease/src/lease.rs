//! A lease that is held.

use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use steadfast_core::Executed;
use tokio::sync::oneshot;

use crate::{
    FencingToken, LeaseLost, LeaseName, Loss, RenewReply, Status, StoreError,
    client::{Event, config::is_sane, shared::Shared},
    protocol::End,
};

mod held;

pub(crate) use self::held::{Grant, Held};

/// A lease that was granted to this process, and what it is worth.
///
/// **Valid means: valid by this process's own count**, from before the request was sent, on a clock
/// that runs through suspend, less a margin for drift. It ends before the store could grant the
/// lease to another. What it cannot cover is the time between the look and the write: give the
/// [`token`](Self::token) to the resource.
///
/// The client renews it in the background, unless it was asked for [by
/// hand](crate::LeaseRequest::by_hand). The loss is final: no answer that comes later revives it.
///
/// Dropped, it is given back by the client's task, with no need of a runtime where it is dropped;
/// at the end of `main` there is no task any more, and the grant runs out.
/// [`LeaseClient::shutdown`] waits for it.
///
/// [`LeaseClient::shutdown`]: crate::LeaseClient::shutdown
///
/// ```
/// use std::time::Duration;
/// use steadfast_lease::{LeaseClient, LeaseClientConfig, LeaseLost, LeaseName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = LeaseClient::connect(LeaseClientConfig::new(), "memory:").await?;
/// let lease = client.acquire(LeaseName::new("orders/settlement")?, None).await?;
/// // Dropped if the lease is lost. Each write carries `lease.token()`.
/// assert_eq!(lease.run(async { Ok::<_, LeaseLost>(5) }).await?, 5);
/// lease.ensure(Duration::from_secs(2))?; // before a call that may take as long
/// assert!(lease.release().await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "a lease that is dropped is given back"]
pub struct Lease {
    held: Arc<Held>,
    shared: Arc<Shared>,
}

impl Lease {
    pub(crate) const fn new(held: Arc<Held>, shared: Arc<Shared>) -> Self {
        Self { held, shared }
    }

    /// What is leased.
    #[must_use]
    pub fn name(&self) -> &LeaseName {
        &self.held.name
    }

    /// The fencing token: above those of all holders before. Send it with every write, and with
    /// every read that a write depends on.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.held.token
    }

    /// Whether the lease is held: false from the deadline on, exactly, also in a process that was
    /// stopped or suspended. Two loads and one read of the clock.
    #[inline]
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.held.is_valid()
    }

    /// How long it is held unless it is renewed; zero if it is not.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.held.remaining()
    }

    /// What it is worth.
    #[must_use]
    pub fn status(&self) -> Status {
        self.held.status()
    }

    /// Whether it is held and a renewal is overdue: half of its TTL has gone without an answer. A
    /// good time to begin nothing more.
    #[must_use]
    pub fn is_at_risk(&self) -> bool {
        self.status() == Status::AtRisk
    }

    /// `Ok` when the lease lasts for `duration` from now, unless the store takes it away before.
    ///
    /// # Errors
    /// When it does not: before a call that may take so long.
    pub fn ensure(&self, duration: Duration) -> Result<(), LeaseLost> {
        let remaining = self.remaining();
        if !remaining.is_zero() && remaining >= duration {
            return Ok(());
        }
        Err(LeaseLost::new(self.token(), self.status(), Executed::No))
    }

    /// Waits until the lease is lost, and says why; ready at its deadline, not at the answer to a
    /// renewal that never comes. `None` when it was released.
    ///
    /// # Cancellation
    /// Safe: it holds nothing but a timer.
    pub async fn lost(&self) -> Option<Loss> {
        match self.held.ended().await {
            End::Lost(loss) => Some(loss),
            End::Released => None,
        }
    }

    /// Runs a future under the lease, and drops it before the lease ends.
    ///
    /// It is dropped at the deadline less the client's [`grace`](crate::LeaseClientConfig::grace),
    /// which is left for cleaning up under the lease: each renewal puts that off. It is dropped at
    /// once when the store says that the lease is lost, and when it is released. Dropping a future
    /// does not stop what it has sent already: that is what the token is for.
    ///
    /// The lease is not released when the future ends. The future that is returned can be spawned.
    ///
    /// # Errors
    /// The future's own, and [`LeaseLost`] as one of them: not executed if the lease had ended
    /// before.
    pub fn run<F, T, E>(&self, future: F) -> impl Future<Output = Result<T, E>> + use<F, T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<LeaseLost>,
    {
        let held = Arc::clone(&self.held);
        async move { run(&held, future).await }
    }

    /// Renews the lease now, whether or not the client does too. Says for how long it is held.
    ///
    /// # Errors
    /// When the store fails: the lease is then held as long as it was, and may be renewed again. A
    /// lease that is lost is no failure of the store's: `Ok(Err(..))`.
    ///
    /// # Cancellation
    /// Safe: a renewal whose answer is not heard keeps the deadline.
    pub async fn renew(&self) -> Result<Result<Duration, LeaseLost>, StoreError> {
        let held = &*self.held;
        if held.is_valid() {
            // Before the request leaves.
            let sent = held.clock.now();
            let limit = held.pace().call_limit(held.remaining());
            let call = self.shared.store.boxed_renew(&held.name, held.nonce);
            let failed = || self.shared.telemetry.tell(Event::RenewalFailed);
            match self.shared.within(limit, "renew", call).await.inspect_err(|_| failed())? {
                RenewReply::Renewed { ttl } if is_sane(ttl) => {
                    if held.renewed(ttl, sent) {
                        self.shared.telemetry.tell(Event::Renewed);
                    }
                }
                RenewReply::Renewed { .. } => {
                    failed();
                    return Err(StoreError::corrupt().executed_as(Executed::Maybe));
                }
                // The task says so to metrics and events when the lease is due.
                RenewReply::Taken => {
                    held.finish(End::Lost(Loss::Taken));
                }
                RenewReply::Gone => {
                    held.finish(End::Lost(Loss::Revoked));
                }
            }
        }
        let remaining = held.remaining();
        if remaining.is_zero() {
            return Ok(Err(LeaseLost::new(held.token, held.status(), Executed::No)));
        }
        Ok(Ok(remaining))
    }

    /// Gives the lease back, and says whether it was held there. From the call on, and before its
    /// first await, the lease is not valid here and is not renewed.
    ///
    /// # Errors
    /// When the store did not answer before the grant was over there too.
    ///
    /// # Cancellation
    /// The release goes on in the client's task, and so it does if this future is never polled.
    pub fn release(&self) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
        let (tell, told) = oneshot::channel();
        self.shared.leave(&self.held, Some(tell));
        async move {
            // Without an answer the task is gone: with its runtime, or at the end of a shutdown.
            told.await.unwrap_or_else(|_| Err(StoreError::unavailable(Executed::Maybe)))
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held.end() != Some(End::Released) {
            self.shared.leave(&self.held, None);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("name", self.name())
            .field("token", &self.token())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

async fn run<F, T, E>(held: &Held, future: F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: From<LeaseLost>,
{
    let ends_at = || held.deadline().map(|deadline| deadline.saturating_sub(held.grace));
    // Ended, or so near the end that the future is dropped.
    let is_over = || held.end().is_some() || ends_at().is_none_or(|at| held.clock.now() >= at);
    let lost = |executed| E::from(LeaseLost::new(held.token, held.status(), executed));
    if is_over() {
        return Err(lost(Executed::No));
    }
    let mut future = pin!(future);
    let mut timer = pin!(held.clock.wait_until(ends_at().unwrap_or_default()));
    let waiter = held.when_ended();
    poll_fn(|cx| {
        // The lease before the future: one that was stopped for long does not take a step more.
        loop {
            if is_over() {
                return Poll::Ready(Err(lost(Executed::Maybe)));
            }
            let has_ended = waiter.poll(cx, || held.end()).is_ready();
            let has_rung = timer.as_mut().poll(cx).is_ready();
            if has_rung {
                // It was renewed meanwhile, or ends at the next look.
                timer.set(held.clock.wait_until(ends_at().unwrap_or_default()));
            }
            if !has_ended && !has_rung {
                return future.as_mut().poll(cx);
            }
        }
    })
    .await
}
