//! One leader of many.

use std::{fmt, ops::Deref, sync::Arc};

use steadfast_core::Deadline;

use crate::{
    AcquireError, FencingToken, HolderName, Lease, LeaseClient, LeaseLost, LeaseRequest, Observer,
    StoreError, View,
};

/// Elects one leader of all processes that campaign under one name: the holder of a lease.
///
/// What holds of leases holds of leaders: one that was stopped may believe for a moment that it
/// leads, so its writes are fenced by its [token](crate::Lease::token).
///
/// ```
/// use steadfast_lease::{
///     AcquireError, Election, HolderName, LeaseClient, LeaseClientConfig, LeaseLost, LeaseName,
///     MemoryConfig, MemoryStore,
/// };
///
/// #[derive(Debug, thiserror::Error)]
/// enum Failed {
///     #[error(transparent)]
///     NotElected(#[from] AcquireError),
///     #[error(transparent)]
///     Deposed(#[from] LeaseLost),
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = LeaseClientConfig::new().holder(HolderName::new("10.0.0.7:8080")?);
/// let client = LeaseClient::new(config, MemoryStore::new(MemoryConfig::new())?)?;
/// let election = Election::new(client, LeaseName::new("settlement")?);
///
/// // Waits to be elected, leads, and resigns.
/// let done = election.lead(async |leader| {
///     println!("leads with the token {}", leader.token());
///     Ok::<_, Failed>(5)
/// });
/// assert_eq!(done.await?, 5);
/// assert!(election.leader().await?.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Election {
    client: LeaseClient,
    request: LeaseRequest,
}

/// Who leads, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The name it gave itself.
    pub holder: HolderName,
    /// Its token, if the store tells.
    pub token: Option<FencingToken>,
}

impl Election {
    /// The election of this name. The client's holder is what the leader is called.
    pub fn new(client: LeaseClient, request: impl Into<LeaseRequest>) -> Self {
        Self { client, request: request.into() }
    }

    /// Campaigns until this process is elected, or `deadline` passes.
    ///
    /// # Errors
    /// As [`LeaseClient::acquire`].
    ///
    /// # Cancellation
    /// As [`LeaseClient::acquire`]: a campaign that is dropped leads nothing.
    pub async fn campaign(
        &self,
        deadline: impl Into<Option<Deadline>>,
    ) -> Result<Leadership, AcquireError> {
        let lease = self.client.acquire(self.request.clone(), deadline).await?;
        Ok(Leadership(Arc::new(lease)))
    }

    /// Campaigns for as long as it takes, leads by what `work` returns, and resigns.
    ///
    /// The work is dropped a `grace` before the leadership ends, and at once when another leads:
    /// see [`Lease::run`]. A loop round this call campaigns again.
    ///
    /// # Errors
    /// The work's own; [`LeaseLost`] when it was dropped, and [`AcquireError`].
    ///
    /// # Cancellation
    /// Dropped, it resigns in the background.
    pub async fn lead<W, F, T, E>(&self, work: W) -> Result<T, E>
    where
        W: FnOnce(Leadership) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<LeaseLost> + From<AcquireError>,
    {
        let leadership = self.campaign(None).await?;
        let run = leadership.run(work(leadership.clone()));
        let result = run.await;
        // Whether the store hears it is of no account for what the work has done: if not, the
        // leadership runs out.
        let _ = leadership.resign().await;
        result
    }

    /// Who leads now, if any does.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leader(&self) -> Result<Option<Leader>, StoreError> {
        Ok(leader(self.client.look(&self.request.name).await?))
    }

    /// Follows who leads.
    #[must_use]
    pub fn observe(&self) -> Leaders {
        Leaders(self.client.observe(self.request.name.clone()))
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election").field("name", &self.request.name).finish_non_exhaustive()
    }
}

/// That this process leads, and what that is worth: a [`Lease`], shared by its clones. When the
/// last of them is dropped it resigns in the background.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Lease>);

impl Leadership {
    /// Leads no more, from now on, and lets another be elected. Says whether it led until then.
    ///
    /// # Errors
    /// As [`Lease::release`].
    pub fn resign(&self) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
        self.0.release()
    }
}

impl Deref for Leadership {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}

/// The leaders of an election, one after the other.
#[derive(Clone, Debug)]
pub struct Leaders(Observer);

impl Leaders {
    /// Who leads now, and from the second call on the next that does; `None` while none does.
    ///
    /// # Errors
    /// When the store fails. The next call goes on.
    ///
    /// # Cancellation
    /// Safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Result<Option<Leader>, StoreError> {
        Ok(leader(self.0.next().await?))
    }
}

fn leader(View { token, held }: View) -> Option<Leader> {
    held.map(|held| Leader { holder: held.holder, token })
}
