//! Answers that are lost, refused, late or wrong.

use std::time::Duration;

use steadfast_core::Executed;
use steadfast_lease::{AcquireReply, RenewReply, Store, StoreErrorKind, View};
use tokio::time::{Instant, timeout};

use super::{
    faulty::{Bucket, Fault, Kind, Turn},
    name, store,
};
use crate::servers::{LONG, granted, terms};

#[tokio::test(start_paused = true)]
async fn an_acquisition_whose_answer_was_lost_is_the_same_grant_when_it_is_repeated() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let (owner, other) = (terms(), terms());
    bucket.next("put", Fault::AnswerLost, 1);
    let error = store.acquire(&name(), &owner).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::Maybe));
    let seen = store.observe(&name(), None).await.unwrap();
    assert_eq!(granted(&store, &name(), &owner).await, seen.token.unwrap());
    // Not repeated, it is undone by its nonce.
    bucket.next("put", Fault::AnswerLost, 1);
    assert!(store.release(&name(), owner.nonce).await.is_err());
    assert!(!store.release(&name(), owner.nonce).await.unwrap(), "it was released");
    granted(&store, &name(), &other).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_repeated() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let owner = terms();
    granted(&store, &name(), &owner).await;
    for fault in [Fault::AnswerLost, Fault::Busy] {
        bucket.next("put", fault, 1);
        let error = store.renew(&name(), owner.nonce).await.unwrap_err();
        assert_eq!(error.executed(), Executed::Maybe);
        let renewed = store.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: LONG });
    }
}

/// The HTTP client repeats what was not answered, and is told that its condition does not hold.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_refused_because_it_was_done_before_is_ones_own() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let owner = terms();
    bucket.calls();
    bucket.next("put", Fault::SentTwice, 3);
    let token = granted(&store, &name(), &owner).await;
    let renewed = store.renew(&name(), owner.nonce).await.unwrap();
    assert_eq!(renewed, RenewReply::Renewed { ttl: LONG });
    assert!(store.release(&name(), owner.nonce).await.unwrap());
    assert_eq!(
        store.observe(&name(), None).await.unwrap(),
        View { token: Some(token), held: None }
    );
    // Each is one write, with a look behind it.
    let calls = bucket.calls();
    assert_eq!(calls.iter().filter(|call| **call == "put").count(), 3, "{calls:?}");
}

/// In the time until the second is refused another has acquired what was released.
#[tokio::test(start_paused = true)]
async fn a_release_that_another_has_followed_already_was_one() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, other) = (terms(), terms());
    granted(&holder, &name(), &owner).await;
    let turn = Turn::default();
    bucket.next("put", Fault::SentTwiceAround(turn.clone()), 1);
    let (name, follows) = (name(), async {
        turn.came.notified().await;
        granted(&taker, &super::name(), &other).await;
        turn.goes.notify_one();
    });
    let (released, ()) = tokio::join!(holder.release(&name, owner.nonce), follows);
    assert!(released.unwrap());
}

/// But a grant is none any more, and is not handed out.
#[tokio::test(start_paused = true)]
async fn a_grant_that_another_has_followed_already_is_not_told() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, other) = (terms(), terms());
    let turn = Turn::default();
    bucket.next("put", Fault::SentTwiceAround(turn.clone()), 1);
    let (name, follows) = (name(), async {
        turn.came.notified().await;
        assert!(taker.release(&super::name(), owner.nonce).await.unwrap());
        granted(&taker, &super::name(), &other).await;
        turn.goes.notify_one();
    });
    let (reply, ()) = tokio::join!(holder.acquire(&name, &owner), follows);
    assert!(matches!(reply.unwrap(), AcquireReply::Held { holder, .. } if holder == other.holder));
}

/// Refused, it may have been done before; and what stands there cannot be read.
#[tokio::test(start_paused = true)]
async fn what_was_refused_and_cannot_be_looked_up_is_in_doubt() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let owner = terms();
    granted(&store, &name(), &owner).await;
    bucket.next("put", Fault::SentTwice, 1);
    bucket.next("get", Fault::Busy, 1);
    let error = store.renew(&name(), owner.nonce).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::Maybe));
    // Known again, so the write comes before the look.
    store.observe(&name(), None).await.unwrap();
    bucket.next("put", Fault::SentTwice, 1);
    bucket.next("get", Fault::Garbage(vec![]), 1);
    let error = store.renew(&name(), owner.nonce).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::Maybe));
}

/// 409: another write is under way, whichever of them wins.
#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let owner = terms();
    for _ in 0..3 {
        bucket.next("put", Fault::Conflict, 3);
        granted(&store, &name(), &owner).await;
        bucket.next("put", Fault::Conflict, 3);
        let renewed = store.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: LONG });
        bucket.next("put", Fault::Conflict, 3);
        assert!(store.release(&name(), owner.nonce).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_refuses_every_write_is_asked_ever_less_and_grants_nothing() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    bucket.calls();
    bucket.next("put", Fault::Conflict, 1000);
    let began = Instant::now();
    let error = store.acquire(&name(), &terms()).await.unwrap_err();
    let took = Instant::now() - began;
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::Maybe));
    assert!(took > Duration::from_secs(3), "{took:?}");
    assert!(bucket.calls().len() <= 32);
    assert_eq!(bucket.bytes(), None);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_down_or_says_nothing_fails_in_time_and_grants_nothing() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let (owner, other) = (terms(), terms());
    granted(&store, &name(), &owner).await;
    let before = bucket.bytes();
    for (fault, kind, read) in [
        (Fault::Busy, StoreErrorKind::Unavailable, Executed::No),
        (Fault::Denied, StoreErrorKind::Misconfigured, Executed::No),
        (Fault::Silence, StoreErrorKind::TimedOut, Executed::Maybe),
    ] {
        let began = Instant::now();
        for operation in ["get", "put"] {
            bucket.next(operation, fault.clone(), 1);
        }
        let error = store.acquire(&name(), &other).await.unwrap_err();
        assert_eq!((error.kind(), error.executed()), (kind, read), "{fault:?}");
        let error = store.renew(&name(), owner.nonce).await.unwrap_err();
        // What was sent may have been done.
        assert_eq!((error.kind(), error.executed()), (kind, Executed::Maybe), "{fault:?}");
        bucket.next("get", fault.clone(), 2);
        let error = store.release(&name(), owner.nonce).await.unwrap_err();
        assert_eq!((error.kind(), error.executed()), (kind, read), "{fault:?}");
        let error = store.observe(&name(), None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}");
        assert!(Instant::now() - began <= Duration::from_secs(80));
        let renewed = store.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: LONG });
    }
    assert_ne!(bucket.bytes(), before);
}

/// It stood in a queue for longer than the lease.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_arrives_behind_a_takeover_changes_nothing() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, other) = (terms(), terms());
    granted(&holder, &name(), &owner).await;
    bucket.next("put", Fault::Late, 1);
    assert!(holder.renew(&name(), owner.nonce).await.is_err());
    taker.acquire(&name(), &other).await.unwrap();
    tokio::time::sleep(LONG + LONG / 50).await;
    granted(&taker, &name(), &other).await;
    assert_eq!(bucket.deliver(), [false]);
    assert_eq!(holder.renew(&name(), owner.nonce).await.unwrap(), RenewReply::Taken);
    assert!(!holder.release(&name(), owner.nonce).await.unwrap());
    assert!(taker.release(&name(), other.nonce).await.unwrap());
}

/// And one that arrives before the takeover is a renewal, though its holder has given up: it holds
/// up the next for a TTL, and lets none in too early.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_arrives_before_a_takeover_begins_the_watch_anew() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (owner, other) = (terms(), terms());
    granted(&holder, &name(), &owner).await;
    bucket.next("put", Fault::Late, 1);
    assert!(holder.renew(&name(), owner.nonce).await.is_err());
    taker.acquire(&name(), &other).await.unwrap();
    tokio::time::sleep(LONG + LONG / 50).await;
    assert_eq!(bucket.deliver(), [true]);
    let reply = taker.acquire(&name(), &other).await.unwrap();
    assert!(matches!(reply, AcquireReply::Held { left, .. } if left > LONG), "{reply:?}");
    tokio::time::sleep(LONG + LONG / 50).await;
    granted(&taker, &name(), &other).await;
}

/// A read from a cache: what is decided by it is refused by the write.
#[tokio::test(start_paused = true)]
async fn an_old_object_that_is_read_grants_nothing() {
    let bucket = Bucket::default();
    let (holder, taker) = (store(&bucket).await, store(&bucket).await);
    let (first, owner, other) = (terms(), terms(), terms());
    granted(&holder, &name(), &first).await;
    assert!(holder.release(&name(), first.nonce).await.unwrap());
    let token = granted(&holder, &name(), &owner).await;
    // Free, as it was before; and nothing, as it was at first.
    for back in [1, 3] {
        bucket.next("get", Fault::Stale(back), 1);
        let reply = taker.acquire(&name(), &other).await.unwrap();
        assert!(matches!(&reply, AcquireReply::Held { holder, .. } if *holder == owner.holder));
    }
    // Held by the former one: it is not the holder's to release, and not its to renew.
    bucket.next("get", Fault::Stale(2), 1);
    assert!(!taker.release(&name(), first.nonce).await.unwrap());
    bucket.next("get", Fault::Stale(2), 1);
    assert_eq!(taker.renew(&name(), first.nonce).await.unwrap(), RenewReply::Taken);
    assert_eq!(
        holder.renew(&name(), owner.nonce).await.unwrap(),
        RenewReply::Renewed { ttl: LONG }
    );
    assert_eq!(granted(&holder, &name(), &owner).await, token);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_corrupt_grants_nothing_and_is_left_alone() {
    let bucket = Bucket::default();
    let (one, two) = (store(&bucket).await, store(&bucket).await);
    let owner = terms();
    granted(&one, &name(), &owner).await;
    let sound = bucket.bytes().unwrap();
    let mut flipped = sound.clone();
    flipped[50] ^= 1;
    for garbage in
        [vec![], b"hello".to_vec(), sound[..sound.len() - 1].to_vec(), flipped, vec![7; 400]]
    {
        bucket.replace(Some(garbage.clone()));
        for store in [&one, &two] {
            let errors = [
                store.acquire(&name(), &owner).await.err(),
                store.renew(&name(), owner.nonce).await.err(),
                store.release(&name(), owner.nonce).await.err(),
                store.observe(&name(), None).await.err(),
            ];
            for error in errors {
                let kind = error.unwrap().kind();
                assert_eq!(kind, StoreErrorKind::Corrupt, "{garbage:?}");
            }
        }
        assert_eq!(bucket.bytes().unwrap(), garbage);
    }
    bucket.replace(Some(sound));
    assert_eq!(one.renew(&name(), owner.nonce).await.unwrap(), RenewReply::Renewed { ttl: LONG });
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_too_long_is_not_read_to_its_end() {
    let bucket = Bucket::default();
    let (holder, other) = (store(&bucket).await, store(&bucket).await);
    granted(&holder, &name(), &terms()).await;
    // It says so, and no part of it is asked for; and it says that it is short, and goes on.
    for told in [1 << 40, 100] {
        bucket.next("get", Fault::Endless(told), 1);
        let error = other.acquire(&name(), &terms()).await.unwrap_err();
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::No));
    }
    let garbage = Fault::Garbage(vec![b' '; 100]);
    bucket.next("get", garbage, 1);
    assert!(other.acquire(&name(), &terms()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_leases_cannot_stand_on_is_refused_when_it_is_opened() {
    for (kind, why) in [
        (Kind::Careless, "whatever the condition is"),
        (Kind::Nameless, "no version"),
        (Kind::Discreet, "there is nothing"),
    ] {
        let opened = super::open(&Bucket::of(kind)).await;
        let error = opened.err().unwrap_or_else(|| panic!("{kind:?} is opened"));
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Misconfigured, Executed::No));
        let told = std::error::Error::source(&error).unwrap().to_string();
        assert!(told.contains(why), "{kind:?}: {told}");
    }
    // Many at once, over one object.
    let bucket = Bucket::default();
    let opened = futures::future::join_all((0..16).map(|_| super::open(&bucket))).await;
    assert!(opened.iter().all(Result::is_ok));
    for fault in [Fault::Busy, Fault::Silence] {
        bucket.next("put", fault, 1);
        let error = super::open(&bucket).await.unwrap_err();
        assert_eq!(error.executed(), Executed::No);
    }
    // The HTTP client's own repetition is no other's write.
    bucket.next("put", Fault::SentTwice, 4);
    super::open(&bucket).await.unwrap();
}

/// Dropped while its write is under way.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_was_dropped_is_followed_by_one_that_counts() {
    let bucket = Bucket::default();
    let store = store(&bucket).await;
    let owner = terms();
    granted(&store, &name(), &owner).await;
    for fault in [Fault::Silence, Fault::DoneInSilence] {
        bucket.next("put", fault, 1);
        let patience = Duration::from_millis(10);
        assert!(timeout(patience, store.renew(&name(), owner.nonce)).await.is_err());
        bucket.calls();
        let renewed = store.renew(&name(), owner.nonce).await.unwrap();
        assert_eq!(renewed, RenewReply::Renewed { ttl: LONG });
        // It knows that it does not know.
        assert_eq!(bucket.calls(), ["get", "put"]);
    }
}
