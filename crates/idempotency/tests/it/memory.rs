//! The store in memory: the contract, and its bounds.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use steadfast_core::Executed;
use steadfast_idempotency::{
    Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, MemoryConfig, MemorySnapshot,
    MemoryStore, OnAbandoned, RecordId, Store, StoreErrorKind, StoredReply,
};
use tokio::time::advance;

mod contract {
    use super::{MemoryConfig, MemoryStore};

    steadfast_idempotency::store_contract! {
        #[tokio::test(start_paused = true)]
        async || MemoryStore::new(MemoryConfig::new()).unwrap()
    }
}

/// The same on real threads, where the racers race.
mod contract_on_two_threads {
    use super::{MemoryConfig, MemoryStore};

    steadfast_idempotency::store_contract! {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async || MemoryStore::new(MemoryConfig::new()).unwrap()
    }
}

const LEASE: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_secs(3600);

fn store(records: usize, bytes: usize) -> MemoryStore {
    let records = NonZeroUsize::new(records).unwrap();
    MemoryStore::new(MemoryConfig::new().most_records(records).most_bytes(bytes)).unwrap()
}

fn id(n: usize) -> RecordId {
    RecordId::new("alice", n.to_be_bytes()).unwrap()
}

fn token(n: usize) -> ClaimToken {
    ClaimToken::from_bytes((n as u128).to_be_bytes())
}

fn terms(n: usize) -> ClaimTerms {
    ClaimTerms {
        token: token(n),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        lease: LEASE,
        retention: RETENTION,
        on_abandoned: OnAbandoned::Refuse,
    }
}

async fn claimed(store: &MemoryStore, n: usize) -> bool {
    match store.claim(&id(n), &terms(n)).await {
        Ok(reply) => matches!(reply, ClaimReply::Claimed { .. }),
        Err(error) => {
            assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Full, Executed::No));
            false
        }
    }
}

async fn completed(store: &MemoryStore, n: usize, reply: impl Into<Bytes>) -> Option<Change> {
    store.complete(&id(n), token(n), reply.into(), RETENTION).await.ok()
}

fn counts(store: &MemoryStore) -> (usize, u64) {
    let MemorySnapshot { records, refused, .. } = store.snapshot();
    (records, refused)
}

#[tokio::test(start_paused = true)]
async fn full_is_a_refusal_and_evicts_neither_what_is_in_flight_nor_what_is_done() {
    let store = store(2, 1 << 20);
    assert!(claimed(&store, 1).await && claimed(&store, 2).await);
    assert_eq!(completed(&store, 2, "ok").await, Some(Change::Applied));
    assert!(!claimed(&store, 3).await);
    assert_eq!(counts(&store), (2, 1));
    // A key that has a record is answered as before.
    assert_eq!(
        store.claim(&id(2), &terms(9)).await.unwrap(),
        ClaimReply::Done { reply: "ok".into() }
    );
    assert!(claimed(&store, 1).await, "the same claim");
    // A place that is given back is one for another.
    assert_eq!(store.release(&id(1), token(1)).await.unwrap(), Change::Applied);
    assert!(claimed(&store, 3).await);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_makes_room_wherever_it_is() {
    // Of one place, so that the expired record and the new one seldom share a shard.
    let store = store(1, 1 << 20);
    for n in 0..50 {
        assert!(claimed(&store, n).await, "{n}");
        assert!(!claimed(&store, n + 1).await, "{n} has not expired");
        advance(LEASE + RETENTION).await;
    }
    assert_eq!(counts(&store), (1, 50));
}

#[tokio::test(start_paused = true)]
async fn a_purge_takes_no_more_than_it_is_told_and_nothing_that_lives() {
    let store = store(1000, 1 << 20);
    for n in 0..600 {
        assert!(claimed(&store, n).await);
    }
    advance(RETENTION).await;
    assert_eq!(store.purge_expired(usize::MAX).await.unwrap(), 0, "leases are longer than that");
    assert_eq!(store.renew(&id(7), token(7), LEASE, RETENTION).await.unwrap(), Change::Applied);
    advance(LEASE).await;
    assert_eq!(store.purge_expired(500).await.unwrap(), 500);
    assert_eq!(store.purge_expired(500).await.unwrap(), 99);
    assert_eq!(counts(&store).0, 1, "the renewed one");
    advance(RETENTION).await;
    assert_eq!(store.purge_expired(1).await.unwrap(), 1);
    assert_eq!(store.snapshot(), MemorySnapshot::default());
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_finds_no_room_leaves_its_claim_and_a_tombstone_finds_room() {
    let store = store(10, 4096);
    assert!(claimed(&store, 1).await);
    let error = store.complete(&id(1), token(1), vec![7; 4096].into(), RETENTION).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Full);
    // As many claims as there is room for, and still each of them can be settled.
    let mut n = 2;
    while claimed(&store, n).await {
        n += 1;
    }
    let tombstone = StoredReply::NotKept.encode();
    for n in 1..n {
        assert_eq!(completed(&store, n, tombstone.clone()).await, Some(Change::Applied));
    }
    assert!(store.snapshot().bytes <= 4096);
    // A repeated completion needs no room, and a lost one neither.
    assert_eq!(completed(&store, 1, vec![7; 9999]).await, Some(Change::Applied));
    let lost = store.complete(&id(1), token(9), vec![7; 9999].into(), RETENTION).await;
    assert_eq!(lost.unwrap(), Change::Lost);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_replies_come_back_when_their_records_go() {
    let store = store(10, 1 << 20);
    for n in 0..3 {
        assert!(claimed(&store, n).await);
        assert_eq!(completed(&store, n, vec![0; 10_000]).await, Some(Change::Applied));
    }
    let three = store.snapshot().bytes;
    assert!(store.forget(&id(0)).await.unwrap());
    assert_eq!(store.snapshot().bytes, three / 3 * 2);
    advance(LEASE + RETENTION).await;
    // One by a claim of the same key, the other by a purge.
    assert!(claimed(&store, 1).await);
    store.purge_expired(10).await.unwrap();
    let one = store.snapshot();
    assert_eq!(store.release(&id(1), token(1)).await.unwrap(), Change::Applied);
    assert!((one.records, store.snapshot()) == (1, MemorySnapshot::default()), "{store:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_claimed_and_released_for_ever_leave_nothing_behind() {
    let store = store(4, 8192);
    for n in 0..100_000 {
        assert!(claimed(&store, n % 3).await);
        let released = store.release(&id(n % 3), token(n % 3)).await;
        assert_eq!(released.unwrap(), Change::Applied);
    }
    assert_eq!(store.snapshot(), MemorySnapshot::default());
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_leave_it_within_its_bounds() {
    const MOST: usize = 10_000;
    let store = store(MOST, 16 << 20);
    let mut granted = 0;
    for n in 0..1_000_000 {
        if claimed(&store, n).await {
            granted += 1;
            assert_eq!(completed(&store, n, vec![0; 100]).await, Some(Change::Applied));
        }
        if n % MOST == MOST - 1 {
            let MemorySnapshot { records, bytes, .. } = store.snapshot();
            assert!(records <= MOST && bytes <= 16 << 20);
            // Half a retention for each filling: every second one is refused.
            advance(RETENTION / 2 + LEASE).await;
        }
    }
    assert_eq!(granted, 500_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_racers_in_two_hundred_rounds_have_one_winner_each() {
    let store = Arc::new(store(1_000, 1 << 20));
    for round in 0..200 {
        let winners = Arc::new(AtomicUsize::new(0));
        let racers = (0..64).map(|racer| {
            let (store, winners) = (Arc::clone(&store), Arc::clone(&winners));
            tokio::spawn(async move {
                let id = id(round);
                match store.claim(&id, &terms(racer)).await.unwrap() {
                    ClaimReply::Claimed { .. } => {
                        winners.fetch_add(1, Ordering::Relaxed);
                        let reply = store.complete(&id, token(racer), "ok".into(), RETENTION);
                        assert_eq!(reply.await.unwrap(), Change::Applied);
                    }
                    ClaimReply::Done { reply } => assert_eq!(reply, "ok"),
                    other => assert!(matches!(other, ClaimReply::InFlight { .. }), "{other:?}"),
                }
            })
        });
        for racer in racers.collect::<Vec<_>>() {
            racer.await.unwrap();
        }
        assert_eq!(winners.load(Ordering::Relaxed), 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_race_for_the_last_places_take_all_of_them_and_no_more() {
    for _ in 0..100 {
        let store = store(5, 1 << 20);
        let racers = (0..20).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { usize::from(claimed(&store, n).await) })
        });
        let mut granted = 0;
        for racer in racers.collect::<Vec<_>>() {
            granted += racer.await.unwrap();
        }
        assert_eq!((granted, counts(&store)), (5, (5, 15)));
    }
}

#[test]
fn room_for_no_record_is_refused() {
    let error = MemoryStore::new(MemoryConfig::new().most_bytes(1023)).unwrap_err();
    assert_eq!((error.field, &*error.value), ("most_bytes", "1023"));
}
