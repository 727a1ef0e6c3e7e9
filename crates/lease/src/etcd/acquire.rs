//! Acquiring: a transaction that creates the key, until it is answered.

use std::{sync::Arc, time::Duration};

use steadfast_core::Executed;
use tokio::time::sleep;

use super::{
    api,
    bases::{Bases, Keys},
    grants::{Grant, Term},
    record::{self, Kept, Record},
    shared::{Fresh, Loose, Shared},
};
use crate::{AcquireReply, AcquireTerms, LeaseName, StoreError};

/// An acquisition that comes back without an answer has met another that was quicker. One that
/// meets so many in a row is told that the store is busy.
const MOST_TRIES: u32 = 16;
/// Until a lease that has ended is looked at again.
const SOON: Duration = Duration::from_millis(20);

pub(super) async fn acquire(
    shared: &Arc<Shared>,
    name: &LeaseName,
    terms: &AcquireTerms,
) -> Result<AcquireReply, StoreError> {
    let keys = shared.keys(name);
    let mut bases = Bases::new(shared.common().await?);
    for _ in 0..MOST_TRIES {
        let fresh = shared.lease_for(name, terms.nonce, terms.ttl).await?;
        let attempt = Attempt { shared, name, terms, keys: &keys, lease: Loose::of(shared, fresh) };
        match attempt.run(bases).await? {
            Tried::Answered(reply) => return Ok(reply),
            Tried::Again(Some(learned)) => bases = learned,
            Tried::Again(None) => {
                bases = Bases::new(shared.make_common(bases.common().base).await?);
            }
        }
        shared.see_common(bases.common());
    }
    Err(StoreError::timed_out().executed_as(Executed::No))
}

/// One transaction, and what it says.
struct Attempt<'a> {
    shared: &'a Arc<Shared>,
    name: &'a LeaseName,
    terms: &'a AcquireTerms,
    keys: &'a Keys,
    lease: Loose<'a>,
}

enum Tried {
    Answered(AcquireReply),
    /// By these bases; `None` if there is no common one any more.
    Again(Option<Bases>),
}

impl Attempt<'_> {
    async fn run(mut self, bases: Bases) -> Result<Tried, StoreError> {
        let Self { shared, name, terms, keys, .. } = self;
        let Fresh { term, revision, .. } = self.lease.fresh;
        let raised = bases
            .above(terms.floor, revision)
            .map_err(|error| StoreError::full().because(error))?;
        let record = Record { nonce: terms.nonce, base: raised.base, holder: terms.holder.clone() };
        let mut success = vec![api::op_put(&keys.lease, &record.to_bytes(), term.id)];
        if raised.is_raised {
            success.push(api::op_put(&keys.own, raised.base.to_string().as_bytes(), 0));
        }
        let [is_common, is_own] = bases.are_these(keys);
        let compare = [api::is_created_at(&keys.lease, 0), is_common, is_own];
        let failure = [&keys.lease, &keys.common, &keys.own].map(|key| api::op_range(key));
        let txn = api::txn(&compare, &success, &failure);
        // Dropped from here on, it is in doubt, and a release by its nonce finds it.
        self.lease.is_loose = false;
        let before = shared.grant(name, terms.nonce).filter(|before| before.term.id == term.id);
        shared.keep(name, terms.nonce, Term { is_doubtful: true, ..term }, None);
        let found: api::Txn = match shared.servers.call(api::TXN, txn).await {
            Ok(found) => found,
            Err(error) if error.is_no_lease() => {
                shared.forget(name, terms.nonce);
                return Ok(Tried::Again(Some(bases)));
            }
            Err(error) => {
                let error = StoreError::from(error);
                match before {
                    _ if error.executed() != Executed::No => {}
                    // Its key may be attached to it.
                    Some(Grant { term, revision, .. }) => {
                        shared.keep(name, terms.nonce, term, revision);
                    }
                    None => {
                        shared.forget(name, terms.nonce);
                        self.lease.is_loose = true;
                    }
                }
                return Err(error);
            }
        };
        if !found.succeeded {
            shared.forget(name, terms.nonce);
            self.lease.is_loose = true;
            return self.not_created(&found).await;
        }
        let revision = found.header.revision;
        shared.keep(name, terms.nonce, term, Some(revision));
        if !self.lease.fresh.is_proven_by(found.header) {
            return Ok(Tried::Again(Some(bases)));
        }
        let token = record::token(raised.base, revision);
        let token = token.ok_or_else(|| {
            StoreError::corrupt().executed_as(Executed::Maybe).because("no token is left")
        })?;
        Ok(Tried::Answered(AcquireReply::Granted { token, ttl: term.length() }))
    }

    /// The key is there, or the bases are others.
    async fn not_created(mut self, found: &api::Txn) -> Result<Tried, StoreError> {
        let Self { shared, name, terms, keys, .. } = self;
        let again = || Bases::learn(keys, found).map(Tried::Again);
        let Some(kv) = found.of(&keys.lease) else { return again() };
        let kept = Kept::of(kv)?;
        if kept.record.nonce != terms.nonce {
            return match shared.left(kept.lease).await? {
                Some(left) => {
                    let holder = kept.record.holder;
                    Ok(Tried::Answered(AcquireReply::Held { left, holder }))
                }
                // It has just ended, and is removed in a moment.
                None => {
                    sleep(SOON).await;
                    again()
                }
            };
        }
        // It was granted before, and its answer was lost.
        let Fresh { term, .. } = self.lease.fresh;
        if kept.lease == term.id {
            self.lease.is_loose = false;
            shared.keep(name, terms.nonce, term, Some(kept.revision));
            if self.lease.fresh.is_proven_by(found.header) {
                let reply = AcquireReply::Granted { token: kept.token, ttl: term.length() };
                return Ok(Tried::Answered(reply));
            }
        } else {
            // By another process: the next try renews the lease that it has.
            let term = Term { id: kept.lease, is_doubtful: true, ..term };
            shared.keep(name, terms.nonce, term, Some(kept.revision));
        }
        again()
    }
}
