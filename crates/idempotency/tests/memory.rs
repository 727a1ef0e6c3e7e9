//! What the store in memory weighs, all told: the bytes that were allocated and not given back.
//! In a process of its own, for it counts what its thread allocates.
#![cfg(feature = "tokio")]
#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "a test")]

use std::{num::NonZeroUsize, time::Duration};

use futures::FutureExt;
use steadfast_idempotency::{
    Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, MemoryConfig, MemoryStore,
    OnAbandoned, RecordId, Store, StoreError, StoredReply,
};
use tokio::time::advance;

const RETENTION: Duration = Duration::from_secs(3600);

fn store(most_bytes: usize) -> MemoryStore {
    let records = NonZeroUsize::new(10_000_000).unwrap();
    MemoryStore::new(MemoryConfig::new().most_records(records).most_bytes(most_bytes)).unwrap()
}

fn terms() -> ClaimTerms {
    ClaimTerms {
        token: ClaimToken::from_bytes([7; 16]),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        lease: Duration::from_secs(30),
        retention: RETENTION,
        on_abandoned: OnAbandoned::Refuse,
    }
}

fn id(n: u32) -> RecordId {
    RecordId::new("alice", n.to_be_bytes().repeat(6)).unwrap()
}

fn now<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    call.now_or_never().expect("it answers at once")
}

/// Whether there was room for a claim and its reply.
fn kept(store: &MemoryStore, n: u32, reply: usize) -> bool {
    let (id, terms) = (id(n), terms());
    match now(store.claim(&id, &terms)) {
        Ok(ClaimReply::Claimed { .. }) => {}
        other => return other.map(|_| ()).is_ok(),
    }
    let reply = StoredReply::Kept(vec![0; reply].into()).encode();
    now(store.complete(&id, terms.token, reply, RETENTION)).is_ok_and(|it| it == Change::Applied)
}

/// What a store allocates beside its records: its shards, and their first few places.
const ITSELF: u64 = 1 << 20;

#[test]
fn what_is_counted_is_no_less_than_what_is_allocated_however_many_records_there_are() {
    // Maps and vectors double: most is allocated for what a record more has made necessary.
    for records in [1_000, 30_000, 59_000, 66_000] {
        for reply in [0, 1000] {
            let mut made = None;
            let allocated = allocation_counter::measure(|| {
                let store = made.insert(store(1 << 30));
                for n in 0..records {
                    assert!(kept(store, n, reply));
                }
            });
            let counted = made.unwrap().snapshot().bytes as u64;
            let (bytes, most) = (allocated.bytes_current as u64, allocated.bytes_max);
            println!("{records} of {reply}: {bytes}, at most {most}, of {counted}");
            assert!(bytes <= counted + ITSELF, "{records} of {reply}: {bytes} of {counted}");
            assert!(most <= counted + counted / 20 + ITSELF, "{records} of {reply}: {most}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_take_no_more_than_the_bound() {
    const MOST: usize = 8 << 20;
    let mut most = 0;
    let (store, mut refused) = (store(MOST), 0);
    for thousand in 0..1000 {
        let allocated = allocation_counter::measure(|| {
            for n in thousand * 1000..(thousand + 1) * 1000 {
                refused += u32::from(!kept(&store, n, 100));
                // And one that is claimed and freed again.
                let (id, terms) = (id(u32::MAX - n), terms());
                if now(store.claim(&id, &terms)).is_ok() {
                    assert_eq!(now(store.release(&id, terms.token)).unwrap(), Change::Applied);
                }
            }
        });
        most += allocated.bytes_current;
        assert!(most <= (MOST + (2 << 20)) as i64, "{most} after {thousand} thousand");
        assert!(store.snapshot().bytes <= MOST);
        // Twenty thousand come in a retention, and eighteen thousand have room.
        advance(RETENTION / 20).await;
    }
    let some = 50_000..200_000;
    assert!(some.contains(&refused), "{refused}: its bound was met, and room came again");
}

#[tokio::test(start_paused = true)]
async fn a_flood_gives_its_memory_back() {
    let store = store(1 << 30);
    let before = allocation_counter::measure(|| {
        for n in 0..100_000 {
            assert!(kept(&store, n, 0));
        }
    });
    advance(RETENTION + Duration::from_secs(30)).await;
    let after = allocation_counter::measure(|| {
        assert_eq!(now(store.purge_expired(usize::MAX)).unwrap(), 100_000);
    });
    let left = before.bytes_current + after.bytes_current;
    assert!(left <= 2 * ITSELF as i64, "{left} of {}", before.bytes_current);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_finds_no_room_clears_away_no_more_than_it_needs() {
    let store = store(32 << 20);
    let mut n = 0;
    while kept(&store, n, 0) {
        n += 1;
    }
    let full = store.snapshot().records;
    advance(RETENTION + Duration::from_secs(30)).await;
    assert!(kept(&store, n, 0));
    let left = store.snapshot().records;
    assert!(left > full - 40, "{left} of {full}: it did not wait for all that has expired");
    // A long reply makes as much room as it takes.
    assert!(kept(&store, n + 1, 16 << 20));
    assert!(store.snapshot().bytes <= 32 << 20);
}
