//! The store in memory alone.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::FutureExt;
use steadfast_idempotency::{
    Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, MemoryConfig, MemoryStore,
    OnAbandoned, RecordId, Store,
};

use super::requests::KIBIBYTE;
use crate::{
    row::{Family, Group, Row},
    subject::Subject,
};

const CLAIM: &str = "memory store: name, claim, complete";
const LOOK: &str = "memory store: name, look";

pub(super) fn rows() -> Vec<Row> {
    let row = |name, looks: bool| {
        let subject = Box::new(Records::new(store(), looks));
        Row::new(Family::Ours, Group::Happy, name, subject).over(name)
    };
    vec![row(CLAIM, false), row(LOOK, true)]
}

fn store() -> MemoryStore {
    MemoryStore::new(MemoryConfig::new()).expect("the defaults are valid")
}

/// Claims keys that are new and completes them with 1 KiB, or looks at a thousand that are done.
/// Names of records are made too: they are a request's own.
struct Records {
    store: MemoryStore,
    looks: bool,
    /// No other subject has it.
    number: u64,
    made: u64,
}

impl Records {
    fn new(store: MemoryStore, looks: bool) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut records = Self { store, looks, number, made: 0 };
        if looks {
            let long = Duration::from_secs(86_400);
            (0..LOOKED_AT).for_each(|key| assert!(records.complete(key, long)));
        }
        records
    }

    fn id(&self, key: u64) -> RecordId {
        let mut name = [b'-'; 36];
        name[..8].copy_from_slice(&self.number.to_be_bytes());
        name[8..16].copy_from_slice(&key.to_be_bytes());
        RecordId::new("alice", name).expect("short, and not empty")
    }

    fn complete(&mut self, key: u64, retention: Duration) -> bool {
        let id = self.id(key);
        let terms = ClaimTerms {
            token: ClaimToken::from_bytes(u128::from(key).to_be_bytes()),
            fingerprint: Fingerprint::from_bytes([7; 32]),
            lease: LEASE,
            retention,
            on_abandoned: OnAbandoned::Refuse,
        };
        let claimed = self.store.claim(&id, &terms).now_or_never();
        let completed = self.store.complete(&id, terms.token, KIBIBYTE, retention).now_or_never();
        matches!(claimed, Some(Ok(ClaimReply::Claimed { .. })))
            && matches!(completed, Some(Ok(Change::Applied)))
    }

    fn call(&mut self) -> bool {
        let key = self.made;
        self.made += 1;
        if self.looks {
            let id = self.id(key % LOOKED_AT);
            matches!(self.store.look(&id).now_or_never(), Some(Ok(Some(_))))
        } else {
            // Short, so that the store is in its steady state: what has expired makes room.
            self.complete(key, Duration::from_millis(100))
        }
    }
}

const LOOKED_AT: u64 = 1000;
const LEASE: Duration = Duration::from_millis(100);

impl Subject for Records {
    fn run(&mut self, calls: u64) -> u64 {
        (0..calls).map(|_| u64::from(self.call())).sum()
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self::new(self.store.clone(), self.looks))
    }
}
