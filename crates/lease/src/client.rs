//! The client.

use std::{fmt, sync::Arc, time::Duration};

use steadfast_core::{ConfigError, Deadline, Detach, DetachConfig, Snapshot};
use tokio::time::{sleep_until, timeout};

pub(crate) use self::telemetry::Event;
use self::{asking::Asking, shared::Shared, telemetry::Telemetry};
pub use self::{
    config::{LeaseClientConfig, LeaseRequest},
    error::{AcquireError, LeaseLost},
};
use crate::{
    HolderName, Lease, LeaseName, Store, StoreError, View,
    race::{Raced, race},
};

mod asking;
pub(crate) mod config;
mod connect;
pub(crate) mod desk;
mod error;
pub(crate) mod shared;
mod telemetry;

/// Asks a store for leases, and keeps them: one for each process and store.
///
/// Clones share the leases. All are renewed by **one task**, which runs while any is held; a call
/// that hangs holds up its own lease alone. It runs in the tokio runtime of the call that was
/// granted the first of them, and should not outlive it.
///
/// ```
/// use std::time::Duration;
///
/// use steadfast_lease::{
///     HolderName, LeaseClient, LeaseClientConfig, LeaseName, MemoryConfig, MemoryStore,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(MemoryConfig::new())?;
/// let config = LeaseClientConfig::new()
///     .named("orders")
///     .holder(HolderName::new("10.0.0.7:8080")?)
///     .ttl(Duration::from_secs(10));
/// let client = LeaseClient::new(config, store)?;
///
/// let name: LeaseName = "orders/settlement".parse()?;
/// let lease = client.acquire(&name, None).await?;
/// assert!(lease.is_valid() && client.try_acquire(&name).await.is_err());
/// // The token goes to the resource with every read and write.
/// println!("fenced by {}", lease.token());
///
/// drop(lease);
/// assert!(client.shutdown(Duration::from_secs(5)).await);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LeaseClient {
    shared: Arc<Shared>,
}

/// A [`LeaseClient`] as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseClientSnapshot {
    /// How many leases are held.
    pub held: usize,
    /// How many were granted.
    pub granted: u64,
    /// How many calls were told that another holds the lease.
    pub refused: u64,
    /// How many renewals were granted.
    pub renewed: u64,
    /// How many were not answered, or with garbage.
    pub failed_renewals: u64,
    /// How many leases were lost, for whatever reason.
    pub lost: u64,
    /// How many grants were given back.
    pub released: u64,
    /// How many could not be: they ran out.
    pub unreleased: u64,
    /// By how much a renewal began late, at worst: a runtime that is too busy for its leases.
    pub lateness: Duration,
}

impl LeaseClient {
    /// A client of `store`. Needs no runtime.
    ///
    /// # Errors
    /// When the config cannot work.
    pub fn new(config: LeaseClientConfig, store: impl Store) -> Result<Self, ConfigError> {
        let (name, settings) = config.check()?;
        let holder = settings.holder.clone();
        let holder = holder.or_else(|| HolderName::new(format!("pid {}", std::process::id())).ok());
        let holder = holder.expect("the number of a process is short");
        let detach = Detach::new(DetachConfig::new().most(settings.most_asking))?;
        let telemetry = Telemetry::new(name);
        let shared = Shared::new(Box::new(store), settings, holder, telemetry, detach);
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The name in metrics and events.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.telemetry.name
    }

    /// Asks for a lease once; a call whose answer is lost is made once more, by the same nonce.
    ///
    /// # Errors
    /// When another holds it, and as [`AcquireError`] lists them.
    ///
    /// # Cancellation
    /// Dropped, the call holds nothing: what it may have been granted is given back in the
    /// background.
    pub async fn try_acquire(
        &self,
        request: impl Into<LeaseRequest>,
    ) -> Result<Lease, AcquireError> {
        Asking::new(&self.shared, request.into())?.twice().await
    }

    /// Asks for a lease until it is granted, or `deadline` passes; `None` waits for as long as it
    /// takes. Meanwhile it is woken when the lease is released, or should have expired, with
    /// jitter. A store that is away for a moment is asked again.
    ///
    /// **Not fair**: of many that wait, any is granted it, and a newcomer may be before all.
    ///
    /// # Errors
    /// As [`AcquireError`] lists them, but for [`Held`](AcquireError::Held).
    ///
    /// # Cancellation
    /// As [`try_acquire`](Self::try_acquire); and so it is where the deadline passes.
    pub async fn acquire(
        &self,
        request: impl Into<LeaseRequest>,
        deadline: impl Into<Option<Deadline>>,
    ) -> Result<Lease, AcquireError> {
        let mut asking = Asking::new(&self.shared, request.into())?;
        let Some(deadline) = deadline.into() else { return asking.until_granted().await };
        let granted = asking.until_granted();
        match race(granted, sleep_until(deadline.instant().into())).await {
            Raced::First(result) => result,
            Raced::Second(()) => Err(AcquireError::TimedOut),
        }
    }

    /// The lease as others see it now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look(&self, name: &LeaseName) -> Result<View, StoreError> {
        let limit = config::call_limit(self.shared.settings.ttl);
        self.shared.within(limit, "observe", self.shared.store.boxed_observe(name, None)).await
    }

    /// Follows who holds a lease.
    #[must_use]
    pub fn observe(&self, name: LeaseName) -> Observer {
        Observer { shared: Arc::clone(&self.shared), name, seen: None }
    }

    /// Grants no more leases, gives back all that are held, and waits for that, `limit` at most;
    /// says whether all was given back. What was not runs out by its TTL.
    ///
    /// Each lease is over for its holder at once. Dropping the future ends the wait and nothing
    /// else.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        let unreleased = self.shared.telemetry.count(Event::Unreleased);
        let in_time = timeout(limit, self.shared.shut_down()).await.is_ok();
        if !in_time {
            self.shared.desk.stop();
        }
        in_time && self.shared.telemetry.count(Event::Unreleased) == unreleased
    }
}

impl LeaseClient {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> LeaseClientSnapshot {
        let telemetry = &self.shared.telemetry;
        let count = |event| telemetry.count(event);
        let lost =
            [Event::LostUnanswered, Event::LostNotRenewed, Event::LostTaken, Event::LostRevoked];
        LeaseClientSnapshot {
            held: self.shared.desk.held(),
            granted: count(Event::Granted),
            refused: count(Event::Held),
            renewed: count(Event::Renewed),
            failed_renewals: count(Event::RenewalFailed),
            lost: lost.into_iter().map(count).sum(),
            released: count(Event::Released),
            unreleased: count(Event::Unreleased),
            lateness: telemetry.lateness(),
        }
    }
}

impl Snapshot for LeaseClient {
    type State = LeaseClientSnapshot;

    fn snapshot(&self) -> LeaseClientSnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for LeaseClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseClient").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Follows who holds a lease: see [`LeaseClient::observe`].
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
    name: LeaseName,
    seen: Option<View>,
}

impl Observer {
    /// The lease as it is now, and from the second call on the next view that is another. Views in
    /// between may be missed.
    ///
    /// # Errors
    /// When the store fails. The next call goes on.
    ///
    /// # Cancellation
    /// Safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Result<View, StoreError> {
        let Self { shared, name, .. } = self;
        let ttl = shared.settings.ttl;
        loop {
            let seen = self.seen.as_ref();
            let watch = shared.store.boxed_observe(name, seen);
            let view = match timeout(ttl, watch).await {
                Ok(view) => view?,
                // A quiet lease, or a watch that has died in silence: a look tells which.
                Err(_) => {
                    let look = shared.store.boxed_observe(name, None);
                    shared.within(config::call_limit(ttl), "observe", look).await?
                }
            };
            if self.seen.as_ref().is_none_or(|seen| !seen.is_same(&view)) {
                self.seen = Some(view.clone());
                return Ok(view);
            }
            // A store may answer with what was seen, and one that does so at once must not keep the
            // task from yielding.
            tokio::time::sleep(asking::SOON).await;
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("name", &self.name).finish_non_exhaustive()
    }
}
