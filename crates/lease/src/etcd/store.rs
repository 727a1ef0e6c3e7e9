//! The store.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future;
use steadfast_core::Executed;
use steadfast_store::within;
use tokio::time::{sleep, timeout};

use super::{
    acquire::acquire,
    address::Address,
    api,
    config::EtcdConfig,
    grants::{Grant, Term},
    record::Kept,
    servers::Servers,
    shared::Shared,
    watch,
};
use crate::{
    AcquireReply, AcquireTerms, HeldView, LeaseName, Nonce, RenewReply, Store, StoreError, View,
};

/// Keeps leases in etcd, 3.4 or later.
///
/// A name that is held has a key, which is attached to a lease of etcd's and goes with it. It is
/// created by one transaction and never written again; **the token is the revision that created
/// it**, above a base. An acquisition takes two round trips, or one where a lease of etcd's is to
/// spare: of an acquisition before that was not granted, or of what was released. What is to spare
/// and not used is revoked after five seconds, so a lost race leaves nothing behind.
///
/// All leases of a store are renewed over one stream. That a lease of etcd's lives does not prove
/// that its key is there: each renewal also reads the key. A lease that is waited for, or observed,
/// is watched.
///
/// # What it promises
/// - A grant survives the loss of a minority of the servers. The cluster counts leases on **clocks
///   that no step of the wall clock moves**; when another server becomes the leader, they begin to
///   last anew, and end later.
/// - **Tokens are in order** as long as the cluster is not restored from a backup or replaced. Then
///   a [floor](crate::LeaseRequest::floor) heals it.
/// - The base is made by the clock of the first client, in microseconds since 1970: as the tokens
///   of the other stores are. A program that moves to another store, or back, goes on with greater
///   ones.
///
/// etcd counts in whole seconds, and grants one and a half of its election timeouts at least: two
/// seconds, unless it is set up otherwise. It removes a lease up to a second after its end.
///
/// # Servers
/// One is in use at a time. When it fails, or leaves a call without an answer that its caller gives
/// up, the next is used. What has certainly not left is sent to the next at once; anything else is
/// the caller's to repeat, which does no harm.
///
/// ```no_run
/// use steadfast_lease::{EtcdConfig, EtcdStore, LeaseClient, LeaseClientConfig};
///
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379";
/// let store = EtcdStore::connect(EtcdConfig::new(), url).await?;
/// let client = LeaseClient::new(LeaseClientConfig::new(), store)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct EtcdStore {
    shared: Arc<Shared>,
}

/// A renewal is repeated when another server has become the leader in the middle of it.
const MOST_RENEWALS: u32 = 4;
/// Before a watch that has failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

impl EtcdStore {
    /// Leases in the cluster of this URL: `etcd://user:password@host:port,host:port`, with one
    /// server or several, each at port 2379 unless it says otherwise; `etcds://…` with TLS, by the
    /// certificates that the system trusts (feature `etcd-tls`). The user and the password may have
    /// escapes (`%40`).
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when a value of the config is
    /// outside of what its setter names, when the URL cannot be read, or when the cluster does not
    /// let the user in; otherwise as [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(config: EtcdConfig, url: &str) -> Result<Self, StoreError> {
        Self::over(config, Servers::new(Address::parse(url)?)?).await
    }

    /// The same over a channel of the program's, with the TLS and the balancing between servers
    /// that it has: for a cluster that knows its clients by their certificates, or trusts all. One
    /// that asks for a password is reached by [`connect`](Self::connect).
    ///
    /// A channel to one server leads nowhere else while that one is away. A server that stands
    /// still leaves calls without an answer, and says nothing: give the channel a
    /// [`http2_keep_alive_interval`](tonic::transport::Endpoint::http2_keep_alive_interval) and a
    /// `keep_alive_timeout` well below the TTL.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use steadfast_lease::{EtcdConfig, EtcdStore};
    /// use tonic::transport::Channel;
    ///
    /// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
    /// let channel = Channel::from_static("http://10.0.0.1:2379")
    ///     .http2_keep_alive_interval(Duration::from_secs(5))
    ///     .keep_alive_timeout(Duration::from_secs(2))
    ///     .connect_lazy();
    /// let store = EtcdStore::new(EtcdConfig::new(), channel).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when a value of the config is
    /// outside of what its setter names, or when the cluster does not let the program in;
    /// otherwise as [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub async fn new(
        config: EtcdConfig,
        channel: tonic::transport::Channel,
    ) -> Result<Self, StoreError> {
        Self::over(config, Servers::by(channel)).await
    }

    async fn over(config: EtcdConfig, servers: Arc<Servers>) -> Result<Self, StoreError> {
        config.check().map_err(|error| StoreError::misconfigured().because(error))?;
        let store = Self { shared: Arc::new(Shared::new(config, servers)) };
        let first = store.shared.first().await;
        first.map_err(|error| error.executed_as(Executed::No))?;
        Ok(store)
    }

    async fn look(&self, key: &[u8]) -> Result<(View, i64), StoreError> {
        let (kept, api::Header { revision, .. }) = self.shared.find(key).await?;
        let Some(kept) = kept else { return Ok((View::default(), revision)) };
        // What has just ended is gone in a moment.
        let Some(left) = self.shared.left(kept.lease).await? else {
            return Ok((View::default(), revision));
        };
        let held = Some(HeldView { holder: kept.record.holder, left });
        Ok((View { token: Some(kept.token), held }, revision))
    }
}

impl Store for EtcdStore {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        let granted =
            within(self.shared.config.call_limit, acquire(&self.shared, name, terms)).await;
        // The last call may not have left; one before it may have created the key.
        let is_known = || self.shared.grant(name, terms.nonce).is_some();
        granted.map_err(|error| if is_known() { error.executed_as(Executed::Maybe) } else { error })
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        within(self.shared.config.call_limit, renew(&self.shared, name, nonce)).await
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        within(self.shared.config.call_limit, release(&self.shared, name, nonce)).await
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        let (key, config) = (self.shared.keys(name).lease, &self.shared.config);
        loop {
            let (view, revision) = within(config.call_limit, self.look(&key)).await?;
            if seen.is_none_or(|seen| !seen.is_same(&view)) {
                return Ok(view);
            }
            let changed = watch::changed(&self.shared.servers, &key, revision.saturating_add(1));
            if let Ok(Err(_)) = timeout(config.look_every, changed).await {
                // The next look says what is wrong, or uses another server.
                sleep(AGAIN.min(config.look_every)).await;
            }
        }
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

async fn renew(
    shared: &Arc<Shared>,
    name: &LeaseName,
    nonce: Nonce,
) -> Result<RenewReply, StoreError> {
    let key = shared.keys(name).lease;
    let known = shared.grant(name, nonce).filter(|grant| grant.revision.is_some());
    let term = match known {
        Some(grant) => grant.term,
        // Granted by another process, or not at all.
        None => match shared.find(&key).await?.0 {
            None => return Ok(RenewReply::Gone),
            Some(kept) if kept.record.nonce != nonce => return Ok(RenewReply::Taken),
            Some(kept) => Term { id: kept.lease, asked: 0, ttl: 0, is_doubtful: true },
        },
    };
    for _ in 0..MOST_RENEWALS {
        // Side by side: that the lease lives does not say that the key is there.
        let (renewed, found) = future::join(shared.renewed(term), shared.find(&key)).await;
        let (found, header) = found.map_err(|error| error.executed_as(Executed::Maybe))?;
        if !is_of(found.as_ref(), nonce) {
            lose(shared, name, nonce);
            return Ok(not_own(found.as_ref()));
        }
        if found.is_some_and(|kept| kept.lease != term.id) {
            // Another process has acquired it by this nonce: the next renewal goes by that.
            shared.forget(name, nonce);
            break;
        }
        let Some(fresh) = renewed? else {
            // It has ended meanwhile, and may have been taken.
            lose(shared, name, nonce);
            let after = shared.find(&key).await?.0.filter(|kept| kept.record.nonce != nonce);
            return Ok(not_own(after.as_ref()));
        };
        if fresh.is_proven_by(header) {
            shared.refresh(name, nonce, fresh.term);
            return Ok(RenewReply::Renewed { ttl: fresh.term.length() });
        }
    }
    Err(StoreError::unavailable(Executed::Maybe))
}

fn is_of(kept: Option<&Kept>, nonce: Nonce) -> bool {
    kept.is_some_and(|kept| kept.record.nonce == nonce)
}

const fn not_own(kept: Option<&Kept>) -> RenewReply {
    if kept.is_some() { RenewReply::Taken } else { RenewReply::Gone }
}

/// The key of an acquisition has gone: its lease, if it still lives, is to spare.
fn lose(shared: &Arc<Shared>, name: &LeaseName, nonce: Nonce) {
    if let Some(grant) = shared.forget(name, nonce) {
        shared.spare(grant.term);
    }
}

async fn release(shared: &Arc<Shared>, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
    let key = shared.keys(name).lease;
    let known = shared.grant(name, nonce);
    let found = match known {
        Some(Grant { term, revision: Some(revision), .. }) => Some((revision, term.id)),
        _ => {
            let kept = shared.find(&key).await?.0;
            kept.filter(|kept| kept.record.nonce == nonce).map(|kept| (kept.revision, kept.lease))
        }
    };
    let was_held = match found {
        None => false,
        Some((revision, _)) => {
            let is_own = api::is_created_at(&key, revision);
            let txn = api::txn(&[is_own], &[api::op_delete(&key)], &[]);
            let txn: api::Txn = shared.servers.call(api::TXN, txn).await?;
            txn.succeeded
        }
    };
    let Some(grant) = known else {
        if let Some((_, id)) = found.filter(|_| was_held) {
            // Another process has acquired it: its lease of etcd's has no key any more.
            shared.spare(Term { id, asked: 0, ttl: 0, is_doubtful: true });
        }
        return Ok(was_held);
    };
    if grant.revision.is_none() {
        // Its transaction may still come: it finds no lease then.
        shared.revoke(grant.term.id).await?;
        shared.forget(name, nonce);
    } else {
        lose(shared, name, nonce);
    }
    Ok(was_held)
}
