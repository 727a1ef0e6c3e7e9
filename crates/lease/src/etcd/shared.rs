//! What the clones of a store share: the cluster, and what this process holds there.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use steadfast_core::{SystemWallClock, WallClock, parts::lock};
use steadfast_store::within;
use tokio::{runtime::Handle, time::sleep_until};

use super::{
    api,
    bases::{Common, Keys},
    config::EtcdConfig,
    grants::{Grant, Grants, Spares, Term},
    keep_alive::KeepAlive,
    record::{HIGHEST_BASE, Kept},
    servers::{CallError, Servers, now},
};
use crate::{LeaseName, Nonce, StoreError, StoreErrorKind};

pub(super) struct Shared {
    pub(super) config: EtcdConfig,
    pub(super) servers: Arc<Servers>,
    pub(super) keep_alive: KeepAlive,
    /// The base that was seen last.
    common: Mutex<Option<Common>>,
    // No panic leaves these half changed: nothing foreign runs under them.
    grants: Mutex<Grants>,
    spares: Mutex<Spares>,
}

/// A lease that has just begun to last for its whole TTL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) term: Term,
    /// Of the cluster then, or earlier.
    pub(super) revision: i64,
    /// The term in which it was renewed; none of a lease that the whole cluster has just granted.
    ///
    /// A server that was the leader, and stood still while another became it, answers what it has
    /// received meanwhile before it knows: of such a renewal the cluster knows nothing. (From
    /// version 3.5 on it asks the others first.) What the cluster answers afterwards in the same
    /// term proves it: no other was the leader by then, and one that becomes it later lets all
    /// leases begin to last anew.
    pub(super) raft_term: Option<i64>,
}

impl Fresh {
    /// Whether an answer of the whole cluster to a later call proves that it was renewed.
    pub(super) fn is_proven_by(&self, answer: api::Header) -> bool {
        self.raft_term.is_none_or(|term| term == answer.raft_term)
    }
}

/// etcd refuses longer leases.
const LONGEST_SECONDS: u64 = 9_000_000_000;

impl Shared {
    pub(super) fn new(config: EtcdConfig, servers: Arc<Servers>) -> Self {
        let (keep_alive, common, grants, spares) = Default::default();
        Self { config, servers, keep_alive, common, grants, spares }
    }

    pub(super) fn keys(&self, name: &LeaseName) -> Keys {
        Keys::new(&self.config.prefix, name.as_str())
    }

    /// The holding of a name, and the state of the cluster when it was looked at.
    pub(super) async fn find(&self, key: &[u8]) -> Result<(Option<Kept>, api::Header), StoreError> {
        let range: api::Range =
            self.servers.call(api::RANGE, api::range(key)).await.map_err(CallError::before)?;
        let kept = range.kvs.first().map(Kept::of).transpose()?;
        Ok((kept, range.header))
    }

    /// How long a lease of etcd's lasts at most; `None` if it is over.
    pub(super) async fn left(&self, lease: i64) -> Result<Option<Duration>, StoreError> {
        let request = api::lease(lease);
        let answer: Result<api::TimeToLive, _> =
            self.servers.call(api::LEASE_TIME_TO_LIVE, request).await;
        match answer {
            // Whole seconds that have not begun to run out, and the one that has.
            Ok(answer) => {
                Ok(u64::try_from(answer.left).ok().map(|left| Duration::from_secs(left + 1)))
            }
            Err(error) if error.is_no_lease() => Ok(None),
            Err(error) => Err(error.before()),
        }
    }

    /// The base of all names, made if there is none.
    pub(super) async fn common(&self) -> Result<Common, StoreError> {
        let seen = *lock(&self.common);
        match seen {
            Some(common) => Ok(common),
            None => self.make_common(0).await,
        }
    }

    /// The base, for the first time: each server has its share of the limit, so that one which says
    /// nothing leaves time for the others.
    pub(super) async fn first(&self) -> Result<Common, StoreError> {
        let servers = u32::try_from(self.servers.count()).unwrap_or(u32::MAX).max(1);
        let (share, mut tries) = (self.config.call_limit / servers, 1);
        loop {
            match within(share, self.common()).await {
                Err(error) if error.kind() == StoreErrorKind::TimedOut && tries < servers => {
                    tries += 1;
                }
                first => return first,
            }
        }
    }

    pub(super) fn see_common(&self, common: Common) {
        *lock(&self.common) = Some(common);
    }

    /// Reads the base of all names, or writes one: the microseconds of the clock, and not less than
    /// this.
    pub(super) async fn make_common(&self, least: u64) -> Result<Common, StoreError> {
        let key = self.keys_of_none().common;
        let since = SystemWallClock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(HIGHEST_BASE);
        let base = micros.max(least).min(HIGHEST_BASE);
        let txn = api::txn(
            &[api::is_created_at(&key, 0)],
            &[api::op_put(&key, base.to_string().as_bytes(), 0)],
            &[api::op_range(&key)],
        );
        let txn: api::Txn = self.servers.call(api::TXN, txn).await.map_err(CallError::before)?;
        let common = match txn.of(&key) {
            Some(kv) => Common::of(kv)?,
            None if txn.succeeded => Common { base, revision: txn.header.revision },
            None => return Err(StoreError::corrupt().because("etcd answers without the base")),
        };
        self.see_common(common);
        Ok(common)
    }

    fn keys_of_none(&self) -> Keys {
        Keys::new(&self.config.prefix, "")
    }

    /// A lease of etcd's for an acquisition: the one that it was asked for with before, one to
    /// spare, or a new one.
    pub(super) async fn lease_for(
        &self,
        name: &LeaseName,
        nonce: Nonce,
        ttl: Duration,
    ) -> Result<Fresh, StoreError> {
        let asked = seconds(ttl);
        let before = self.grant(name, nonce).map(|grant| grant.term);
        let mut next = before.or_else(|| lock(&self.spares).take(asked, now()));
        while let Some(term) = next {
            if let Some(fresh) = self.renewed(term).await.map_err(CallError::before)? {
                return Ok(fresh);
            }
            next = lock(&self.spares).take(asked, now());
        }
        let granted: api::Lease = self
            .servers
            .call(api::LEASE_GRANT, api::lease_grant(asked))
            .await
            .map_err(CallError::before)?;
        if granted.id == 0 || granted.ttl <= 0 {
            return Err(StoreError::corrupt().because("etcd grants a lease of nothing"));
        }
        let term = Term { id: granted.id, asked, ttl: granted.ttl, is_doubtful: false };
        Ok(Fresh { term, revision: granted.header.revision, raft_term: None })
    }

    /// The lease for a whole TTL from now on; `None` if it is over.
    pub(super) async fn renewed(&self, term: Term) -> Result<Option<Fresh>, CallError> {
        let api::Lease { header, ttl, .. } = self.keep_alive.renew(&self.servers, term.id).await?;
        let term = Term { ttl, ..term };
        let fresh = Fresh { term, revision: header.revision, raft_term: Some(header.raft_term) };
        Ok((ttl > 0).then_some(fresh))
    }

    pub(super) fn grant(&self, name: &LeaseName, nonce: Nonce) -> Option<Grant> {
        lock(&self.grants).get(name, nonce)
    }

    pub(super) fn keep(&self, name: &LeaseName, nonce: Nonce, term: Term, revision: Option<i64>) {
        lock(&self.grants).set(name, nonce, term, revision, now());
    }

    pub(super) fn refresh(&self, name: &LeaseName, nonce: Nonce, term: Term) {
        lock(&self.grants).refresh(name, nonce, term, now());
    }

    pub(super) fn forget(&self, name: &LeaseName, nonce: Nonce) -> Option<Grant> {
        lock(&self.grants).remove(name, nonce)
    }

    /// Keeps a lease without a key for the next acquisition, for a while. One in doubt is revoked:
    /// what may come behind finds no lease then.
    pub(super) fn spare(self: &Arc<Self>, term: Term) {
        // Without a runtime it ends after its TTL.
        let Ok(runtime) = Handle::try_current() else { return };
        let surplus = if term.is_doubtful {
            Some(term)
        } else {
            let mut spares = lock(&self.spares);
            let too_many = spares.put(term, now());
            let begins = !std::mem::replace(&mut spares.is_swept, true);
            drop(spares);
            if begins {
                runtime.spawn(sweep(Arc::clone(self)));
            }
            too_many
        };
        if let Some(term) = surplus {
            let shared = Arc::clone(self);
            runtime.spawn(async move { shared.let_go(term.id).await });
        }
    }

    /// Ends a lease of etcd's in the background: what fails ends by itself after its TTL.
    async fn let_go(&self, lease: i64) {
        let revoked = async { self.revoke(lease).await.map_err(StoreError::from) };
        let _ = within(self.config.call_limit, revoked).await;
    }

    /// Ends a lease of etcd's, with the key that is attached to it.
    pub(super) async fn revoke(&self, lease: i64) -> Result<(), CallError> {
        let answer: Result<api::Done, _> =
            self.servers.call(api::LEASE_REVOKE, api::lease(lease)).await;
        match answer {
            Err(error) if !error.is_no_lease() => Err(error),
            _ => Ok(()),
        }
    }
}

/// A lease of etcd's to which no key is attached: to spare, once it is dropped.
pub(super) struct Loose<'a> {
    shared: &'a Arc<Shared>,
    pub(super) fresh: Fresh,
    pub(super) is_loose: bool,
}

impl<'a> Loose<'a> {
    pub(super) fn of(shared: &'a Arc<Shared>, fresh: Fresh) -> Self {
        Self { shared, fresh, is_loose: true }
    }
}

impl Drop for Loose<'_> {
    fn drop(&mut self) {
        if self.is_loose {
            self.shared.spare(self.fresh.term);
        }
    }
}

/// Revokes what was to spare and not used. It ends when nothing is to spare.
async fn sweep(shared: Arc<Shared>) {
    let sweeping = Sweeping(&shared);
    loop {
        let (old, next) = {
            let mut spares = lock(&shared.spares);
            let old = spares.take_old(now());
            let next = spares.next_old();
            if old.is_none() && next.is_none() {
                // Under the lock: the next one that is put back starts the next task.
                spares.is_swept = false;
                std::mem::forget(sweeping);
                return;
            }
            (old, next)
        };
        if let Some(term) = old {
            shared.let_go(term.id).await;
        } else if let Some(next) = next {
            sleep_until(next).await;
        }
    }
}

/// A task that goes with its runtime leaves its place to the next.
struct Sweeping<'a>(&'a Arc<Shared>);

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        lock(&self.0.spares).is_swept = false;
    }
}

/// Whole seconds, and not shorter than it is.
pub(super) fn seconds(ttl: Duration) -> i64 {
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    seconds.clamp(1, LONGEST_SECONDS).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_whole_seconds_and_not_shorter_than_it_is() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
        assert_eq!(seconds(Duration::from_millis(2001)), 3);
        assert_eq!(seconds(Duration::MAX), 9_000_000_000);
    }
}
