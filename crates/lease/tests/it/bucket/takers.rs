//! Takers that have no clock but their own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use object_store::memory::InMemory;
use steadfast_core::{BootClock, BootInstant, ManualBootClock, ManualWallClock};
use steadfast_lease::{
    AcquireReply, AcquireTerms, BucketStore, LeaseClient, LeaseClientConfig, LeaseRequest, Margin,
    RenewReply, Store,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    config,
    faulty::{Bucket, Fault, Kind, Turn},
    name, store,
};
use crate::servers::{LONG, a_release_wakes_one_that_waits, granted, some_name, terms, token};

const TTL: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

fn brief() -> AcquireTerms {
    AcquireTerms { ttl: TTL, ..terms() }
}

/// How long a version is watched before it is taken over.
fn watched() -> Duration {
    Margin::new().vigil(TTL)
}

async fn left(store: &BucketStore, terms: &AcquireTerms) -> Duration {
    match store.acquire(&name(), terms).await.unwrap() {
        AcquireReply::Held { left, .. } => left,
        granted => panic!("{granted:?}, but another holds it"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_taker_that_begins_to_watch_late_watches_for_a_whole_ttl() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let first = granted(&holder, &name(), &brief()).await;
    let other = brief();
    // For the process that granted it, it has ended long ago; but it is not the one that takes it.
    sleep(100 * TTL).await;
    let began = Instant::now();
    assert_eq!(left(&taker, &other).await, watched());
    sleep_until(began + TTL / 2).await;
    assert_eq!(left(&taker, &other).await, watched() - TTL / 2);
    sleep_until(began + watched() - MS).await;
    assert_eq!(left(&taker, &other).await, MS);
    sleep_until(began + watched()).await;
    assert!(granted(&taker, &name(), &other).await > first);
}

/// By its own short TTL it would take over a holder that renews every third of a long one.
#[tokio::test(start_paused = true)]
async fn a_taker_watches_for_the_ttl_that_the_holder_recorded() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, hasty) = (brief(), AcquireTerms { ttl: TTL / 60, ..terms() });
    granted(&holder, &name(), &owner).await;
    for _ in 0..10 {
        sleep(TTL / 3).await;
        assert!(left(&taker, &hasty).await > TTL / 2);
        let renewed = holder.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: TTL });
        assert_eq!(left(&taker, &hasty).await, watched());
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_takers_that_watched_at_once_one_is_granted_and_the_other_begins_anew() {
    let bucket = Bucket::default();
    let (holder, one, two) = (store(&bucket).await, store(&bucket).await, store(&bucket).await);
    granted(&holder, &name(), &brief()).await;
    let (first, second) = (brief(), brief());
    assert_eq!(left(&one, &first).await, left(&two, &second).await);
    sleep(watched()).await;
    let name = name();
    let replies = tokio::join!(one.acquire(&name, &first), two.acquire(&name, &second));
    let replies = [replies.0.unwrap(), replies.1.unwrap()];
    let granted = replies.iter().filter(|reply| matches!(reply, AcquireReply::Granted { .. }));
    assert_eq!(granted.count(), 1, "{replies:?}");
    let whole = watched();
    let is_whole =
        |reply: &AcquireReply| matches!(reply, AcquireReply::Held { left, .. } if *left == whole);
    assert!(replies.iter().any(is_whole), "{replies:?}");
}

/// Where an ETag is a hash, a renewal that wrote the same again would be no other version.
#[tokio::test(start_paused = true)]
async fn a_renewal_is_another_version_where_an_etag_is_a_hash() {
    let bucket = Bucket::of(Kind::Hashed);
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, other) = (brief(), brief());
    granted(&holder, &name(), &owner).await;
    for _ in 0..10 {
        left(&taker, &other).await;
        sleep(TTL * 2 / 3).await;
        let renewed = holder.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: TTL });
    }
}

/// The taker's clock ran through a suspend of its machine, while the holder renewed.
#[tokio::test(start_paused = true)]
async fn a_taker_that_slept_takes_over_nothing_that_was_renewed() {
    let bucket = Bucket::default();
    let manual = ManualBootClock::new(BootInstant::ZERO);
    let holder = store(&bucket).await;
    let taker = BucketStore::open(config().clock(manual.clock()), Arc::new(bucket.clone()));
    let taker = taker.await.unwrap();
    let (owner, other) = (brief(), brief());
    granted(&holder, &name(), &owner).await;
    assert_eq!(left(&taker, &other).await, watched());
    assert_eq!(holder.renew(&name(), owner.nonce).await.unwrap(), RenewReply::Renewed { ttl: TTL });
    manual.advance(LONG);
    assert_eq!(left(&taker, &other).await, watched());
    // What was not renewed meanwhile is over.
    manual.advance(LONG);
    granted(&taker, &name(), &other).await;
    assert_eq!(holder.renew(&name(), owner.nonce).await.unwrap(), RenewReply::Taken);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_ends_no_lease_and_tokens_grow() {
    let bucket = Bucket::default();
    let wall = Arc::new(ManualWallClock::new(UNIX_EPOCH + 1000 * LONG));
    let stepping = config().clock(BootClock::tokio()).wall_clock(Arc::clone(&wall));
    let one = BucketStore::open(stepping, Arc::new(bucket.clone())).await.unwrap();
    let owner = brief();
    let mut last = granted(&one, &name(), &owner).await;
    assert_eq!(last.get(), 3_600_000_000_000);
    for step in 0..6 {
        if step % 2 == 0 {
            wall.step_back(LONG * 10);
        } else {
            wall.step_forward(LONG);
        }
        let other = brief();
        assert!(left(&one, &other).await <= watched());
        assert_eq!(
            one.renew(&name(), owner.nonce).await.unwrap(),
            RenewReply::Renewed { ttl: TTL }
        );
        assert_eq!(granted(&one, &name(), &owner).await, last, "it is the same grant");
        assert!(one.release(&name(), owner.nonce).await.unwrap());
        let next = granted(&one, &name(), &other).await;
        assert_eq!(next.get(), last.get() + 1);
        assert!(one.release(&name(), other.nonce).await.unwrap());
        last = granted(&one, &name(), &owner).await;
    }
}

/// What an operator deletes is free, and only a clock that is behind lets tokens go back.
#[tokio::test(start_paused = true)]
async fn a_floor_heals_an_object_that_was_deleted_while_the_clock_is_behind() {
    let bucket = Bucket::default();
    let wall = Arc::new(ManualWallClock::new(UNIX_EPOCH + 1000 * LONG));
    let stepping = config().clock(BootClock::tokio()).wall_clock(Arc::clone(&wall));
    let store = BucketStore::open(stepping, Arc::new(bucket.clone())).await.unwrap();
    let owner = brief();
    let first = granted(&store, &name(), &owner).await;
    bucket.replace(None);
    assert_eq!(store.renew(&name(), owner.nonce).await.unwrap(), RenewReply::Gone);
    wall.advance(MS);
    let second = granted(&store, &name(), &brief()).await;
    assert!(second > first);
    bucket.replace(None);
    wall.step_back(LONG);
    let third = brief();
    assert!(granted(&store, &name(), &third).await < second);
    assert!(store.release(&name(), third.nonce).await.unwrap());
    let healed = AcquireTerms { floor: Some(second), ..brief() };
    assert_eq!(granted(&store, &name(), &healed).await, token(second.get() + 1));
}

/// The takeover was decided first, and arrives second.
#[tokio::test(start_paused = true)]
async fn a_takeover_that_a_renewal_overtakes_is_none() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, other) = (brief(), brief());
    granted(&holder, &name(), &owner).await;
    left(&taker, &other).await;
    // Just before the holder's own count ends, the taker's may have: its clock is fast.
    sleep(watched()).await;
    let turn = Turn::default();
    bucket.next("put", Fault::After(turn.clone()), 1);
    let (name, renews) = (name(), async {
        turn.came.notified().await;
        // From another process, whose own watch has not ended.
        let other = store(&bucket).await;
        let renewed = other.renew(&super::name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: TTL });
        turn.goes.notify_one();
    });
    let (reply, ()) = tokio::join!(taker.acquire(&name, &other), renews);
    assert!(matches!(reply.unwrap(), AcquireReply::Held { left, .. } if left == watched()));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_a_takeover_overtakes_is_none() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    // Shorter than a call may take.
    let (owner, other) = (AcquireTerms { ttl: TTL / 6, ..terms() }, brief());
    granted(&holder, &name(), &owner).await;
    left(&taker, &other).await;
    let turn = Turn::default();
    bucket.next("put", Fault::After(turn.clone()), 1);
    let (name, takes) = (name(), async {
        turn.came.notified().await;
        sleep(Margin::new().vigil(TTL / 6)).await;
        granted(&taker, &super::name(), &other).await;
        turn.goes.notify_one();
    });
    let (reply, ()) = tokio::join!(holder.renew(&name, owner.nonce), takes);
    assert_eq!(reply.unwrap(), RenewReply::Taken);
    assert!(!holder.release(&name, owner.nonce).await.unwrap());
    assert!(taker.release(&name, other.nonce).await.unwrap());
}

/// Asked again for less, the holder may still count on what it was granted first.
#[tokio::test(start_paused = true)]
async fn a_grant_that_is_repeated_for_less_is_watched_for_the_longer_ttl() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let owner = brief();
    granted(&holder, &name(), &owner).await;
    let shorter = AcquireTerms { ttl: TTL / 60, ..owner };
    granted(&holder, &name(), &shorter).await;
    assert_eq!(left(&taker, &brief()).await, watched());
}

#[tokio::test(start_paused = true)]
async fn a_losing_acquisition_writes_nothing_and_a_renewal_is_one_write() {
    for kind in [Kind::Counted, Kind::Hashed, Kind::Numbered] {
        let bucket = Bucket::of(kind);
        let (one, two) = (store(&bucket).await, store(&bucket).await);
        let owner = brief();
        bucket.calls();
        granted(&one, &name(), &owner).await;
        assert_eq!(bucket.calls(), ["get", "put"]);
        for store in [&one, &two] {
            left(store, &brief()).await;
            assert_eq!(bucket.calls(), ["get"]);
        }
        one.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(bucket.calls(), ["put"]);
        assert!(one.release(&name(), owner.nonce).await.unwrap());
        assert_eq!(bucket.calls(), ["put"]);
        // Its own version is there, as far as it knows; and is.
        granted(&one, &name(), &owner).await;
        assert_eq!(bucket.calls(), ["put"]);
    }
}

/// A holder that was stopped finds its lease lost before another is granted it.
#[tokio::test(start_paused = true)]
async fn a_holders_validity_ends_before_a_taker_is_granted_the_lease() {
    let bucket = Bucket::default();
    let client = |store| {
        let config = LeaseClientConfig::new().ttl(TTL).clock(BootClock::tokio());
        LeaseClient::new(config, store).unwrap()
    };
    let way = bucket.by_another_way();
    let (holder, taker) = (client(store(&way).await), client(store(&bucket).await));
    let lease = holder.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    way.cut();
    let began = Instant::now();
    let next = taker.acquire(name(), None).await.unwrap();
    let took = Instant::now() - began;
    assert!(!lease.is_valid() && next.is_valid() && next.token() > lease.token());
    // The watch, a look, and the spread of those that wait.
    assert!(took >= watched() && took < watched() + 100 * MS, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_its_lease_and_a_release_is_seen_at_the_next_look() {
    let bucket = Bucket::default();
    let client = |store, ttl| {
        let config = LeaseClientConfig::new().ttl(ttl).clock(BootClock::tokio());
        LeaseClient::new(config, store).unwrap()
    };
    let (holder, waiter) = (client(store(&bucket).await, TTL), client(store(&bucket).await, LONG));
    let woken_after = a_release_wakes_one_that_waits(&holder, waiter, 20 * TTL).await;
    // A look, and the spread of those that wait.
    assert!(woken_after < 100 * MS, "{woken_after:?}");
}

/// Each with a store of its own, as processes have.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_racers_one_at_a_time_is_granted_and_tokens_are_in_order() {
    let (bucket, name) = (Arc::new(InMemory::new()), some_name());
    let (holders, tokens) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (bucket, name) = (Arc::clone(&bucket), name.clone());
        let (holders, tokens) = (Arc::clone(&holders), Arc::clone(&tokens));
        racers.spawn(async move {
            let store = BucketStore::open(config(), bucket).await.unwrap();
            let mut won = 0;
            while won < 20 {
                let terms = terms();
                match store.acquire(&name, &terms).await.unwrap() {
                    AcquireReply::Granted { token, .. } => {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                        tokens.lock().unwrap().push(token);
                        tokio::task::yield_now().await;
                        holders.fetch_sub(1, Ordering::SeqCst);
                        assert!(store.release(&name, terms.nonce).await.unwrap());
                        won += 1;
                    }
                    _ => tokio::task::yield_now().await,
                }
            }
        });
    }
    let all = racers.join_all();
    timeout(Duration::from_secs(120), all).await.expect("none starves");
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), 16 * 20);
    assert!(tokens.is_sorted_by(|one, next| one < next));
}
