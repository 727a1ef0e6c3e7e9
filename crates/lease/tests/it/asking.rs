//! How a lease is asked for, and what is left of a call whose caller has gone.

use std::{num::NonZeroUsize, time::Duration};

use futures::{FutureExt, poll};
use steadfast_core::Deadline;
use steadfast_lease::{
    AcquireError, AcquireReply, HolderName, LeaseClient, LeaseRequest, StoreErrorKind,
};
use tokio::time::{Instant, sleep};

use crate::support::{
    Fault, Faulty, MS, SEC, TTL, VALID, client, config, is_free, name, numbered, settle, tasks,
};

fn within(limit: Duration) -> Deadline {
    Deadline::after(Instant::now().into_std(), limit)
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_held_is_refused_with_its_holder_and_what_is_left() {
    let store = Faulty::new();
    let leader = config().holder(HolderName::new("10.0.0.7:8080").unwrap());
    let leader = LeaseClient::new(leader, store.clone()).unwrap();
    let _lease = leader.try_acquire(&name()).await.unwrap();
    match client(&store).try_acquire(&name()).await.unwrap_err() {
        AcquireError::Held { left, holder } => {
            assert_eq!((left, holder.as_str()), (TTL, "10.0.0.7:8080"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_point_leaves_no_grant_and_no_task() {
    let mut granted = 0;
    for polls in 0..12 {
        let store = Faulty::new();
        let client = client(&store);
        let mut call = client.try_acquire(name()).boxed();
        let mut lease = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(result) = poll!(&mut call) {
                lease = Some(result.unwrap());
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        if lease.take().is_some() {
            granted += 1;
        }
        sleep(SEC).await;
        assert!(is_free(&store, &name()).await, "after {polls} polls");
        assert_eq!((tasks(), client.snapshot().held), (0, 0), "after {polls} polls");
        if granted > 0 {
            return;
        }
    }
    panic!("no call was ever granted");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_the_store_hangs_is_undone_by_its_nonce() {
    for fault in [Fault::DoneInSilence, Fault::SlowBack(SEC), Fault::SlowThere(SEC)] {
        let store = Faulty::new();
        let client = client(&store);
        store.next("acquire", fault.clone(), 1);
        assert!(tokio::time::timeout(100 * MS, client.try_acquire(&name())).await.is_err());
        settle().await;
        assert!(is_free(&store, &name()).await, "{fault:?}");
        assert_eq!((client.snapshot().held, tasks()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_undoing_that_is_not_answered_is_tried_until_the_grant_is_over() {
    let store = Faulty::new();
    let client = client(&store);
    store.next("acquire", Fault::DoneInSilence, 1);
    store.next("release", Fault::Unreached, 3);
    assert!(tokio::time::timeout(100 * MS, client.try_acquire(&name())).await.is_err());
    sleep(4 * SEC).await;
    assert!(is_free(&store, &name()).await);
    assert_eq!((store.calls("release"), tasks()), (4, 0));
    // Never answered: it gives up when the grant has run out.
    store.next("acquire", Fault::DoneInSilence, 1);
    store.next("release", Fault::Silence, 100);
    assert!(tokio::time::timeout(100 * MS, client.try_acquire(&name())).await.is_err());
    sleep(TTL + 3 * SEC).await;
    assert_eq!((client.snapshot().unreleased, tasks()), (1, 0));
    assert!(is_free(&store, &name()).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_asked_for_again_by_the_same_nonce() {
    for fault in [Fault::AnswerLost, Fault::DoneInSilence, Fault::Panic] {
        let store = Faulty::new();
        let client = client(&store);
        store.next("acquire", fault, 1);
        let lease = client.try_acquire(&name()).await.unwrap();
        settle().await;
        assert!(lease.is_valid() && !is_free(&store, &name()).await);
        assert_eq!((store.calls("acquire"), store.calls("release")), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_an_error_and_holds_nothing() {
    let store = Faulty::new();
    let client = client(&store);
    store.next("acquire", Fault::AnswerLost, 2);
    match client.try_acquire(&name()).await.unwrap_err() {
        AcquireError::Store(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable),
        other => panic!("{other}"),
    }
    settle().await;
    assert!(is_free(&store, &name()).await && tasks() == 0);
    // Certainly not executed: there is nothing to ask for again, nor to undo.
    let releases = store.calls("release");
    store.next("acquire", Fault::Unreached, 1);
    assert!(client.try_acquire(&name()).await.is_err());
    settle().await;
    assert_eq!(store.calls("release"), releases);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_an_error_grants_nothing_and_is_undone() {
    let token = |number: u64| number.try_into().unwrap();
    for ttl in [Duration::ZERO, Duration::MAX] {
        let store = Faulty::new();
        let client = client(&store);
        store.next("acquire", Fault::Acquired(AcquireReply::Granted { token: token(1), ttl }), 2);
        match client.try_acquire(&name()).await.unwrap_err() {
            AcquireError::Store(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt),
            other => panic!("{other}"),
        }
        settle().await;
        assert_eq!((store.calls("release"), client.snapshot().held, tasks()), (1, 0, 0));
    }
    // Shorter than the margin.
    let store = Faulty::new();
    let short = AcquireReply::Granted { token: token(1), ttl: 2 * MS };
    store.next("acquire", Fault::Acquired(short), 2);
    let error = client(&store).try_acquire(&name()).await.unwrap_err();
    assert!(matches!(error, AcquireError::TooLate { ttl } if ttl == 2 * MS), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_above_the_floor_is_refused_and_the_grant_undone() {
    let store = Faulty::new();
    let client = client(&store);
    let floor = 10_u64.try_into().unwrap();
    for token in [9_u64, 10] {
        let token = token.try_into().unwrap();
        store.next("acquire", Fault::Acquired(AcquireReply::Granted { token, ttl: TTL }), 1);
        let error = client.try_acquire(LeaseRequest::new(name()).floor(floor)).await.unwrap_err();
        assert!(matches!(error, AcquireError::BelowFloor { .. }), "{error}");
    }
    settle().await;
    assert_eq!((store.calls("release"), client.snapshot().granted), (2, 0));
    let healed = client.try_acquire(LeaseRequest::new(name()).floor(floor)).await.unwrap();
    assert!(healed.token() > floor);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_answer_came_after_its_deadline_is_no_lease() {
    let store = Faulty::new();
    let client = client(&store);
    // The call is limited to a sixth of the TTL: only a stop of the process is so slow.
    store.next("acquire", Fault::SlowBack(SEC), 1);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.try_acquire(&name()).await }
    });
    settle().await;
    tokio::time::advance(10 * TTL).await;
    let lease = call.await.unwrap().unwrap();
    assert_eq!(store.calls("acquire"), 2, "it is asked for again");
    assert!(lease.is_valid() && lease.remaining() == VALID);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_work_is_refused_before_the_store_is_asked() {
    let store = Faulty::new();
    let client = client(&store);
    for request in [
        LeaseRequest::new(name()).ttl(Duration::ZERO),
        LeaseRequest::new(name()).ttl(Duration::MAX),
        LeaseRequest::new(name()).max_hold(Duration::ZERO),
    ] {
        let error = client.try_acquire(request).await.unwrap_err();
        assert!(matches!(error, AcquireError::Unacceptable(_)), "{error}");
    }
    assert_eq!(store.calls("acquire"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_is_woken_by_the_release() {
    let store = Faulty::new();
    let (first, second) = (client(&store), client(&store));
    let lease = first.try_acquire(&name()).await.unwrap();
    let waits = tokio::spawn(async move {
        let lease = second.acquire(&name(), None).await.unwrap();
        (Instant::now(), lease)
    });
    sleep(100 * SEC).await;
    let released_at = Instant::now();
    let token = lease.token();
    drop(lease);
    let (granted_at, lease) = waits.await.unwrap();
    assert!(granted_at - released_at <= 20 * MS, "{:?}", granted_at - released_at);
    assert!(lease.token() > token);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_without_a_watch_comes_back_when_the_time_that_was_left_is_over() {
    let store = Faulty::new();
    store.next("observe", Fault::Silence, 100);
    store.next("renew", Fault::Unreached, 100);
    store.next("release", Fault::Silence, 100);
    let (first, second) = (client(&store), client(&store));
    let start = Instant::now();
    let lease = first.try_acquire(&name()).await.unwrap();
    let next = second.acquire(&name(), within(2 * TTL)).await.unwrap();
    assert!(!lease.is_valid() && next.is_valid());
    let waited = Instant::now() - start;
    assert!(waited >= TTL && waited <= TTL + 20 * MS, "{waited:?}");
    // A store whose observers fail is no other.
    store.next("observe", Fault::Unreached, 100);
    let start = Instant::now();
    store.next("renew", Fault::Unreached, 100);
    assert!(client(&store).acquire(&name(), within(2 * TTL)).await.is_ok());
    assert!(Instant::now() - start <= TTL + 20 * MS);
}

#[tokio::test(start_paused = true)]
async fn garbage_about_what_is_left_is_neither_a_tight_loop_nor_a_wait_without_end() {
    let store = Faulty::new();
    store.next("observe", Fault::Silence, 1000);
    let holder = || HolderName::new("").unwrap();
    let forever = AcquireReply::Held { left: Duration::MAX, holder: holder() };
    store.next("acquire", Fault::Acquired(forever), 1);
    let start = Instant::now();
    drop(client(&store).acquire(&name(), None).await.unwrap());
    assert!(Instant::now() - start <= TTL + 20 * MS);
    sleep(SEC).await;
    let nothing = AcquireReply::Held { left: Duration::ZERO, holder: holder() };
    store.next("acquire", Fault::Acquired(nothing), 100);
    let start = Instant::now();
    drop(client(&store).acquire(&name(), None).await.unwrap());
    assert!(Instant::now() - start >= 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_exactly_and_holds_nothing() {
    let store = Faulty::new();
    let (first, second) = (client(&store), client(&store));
    let lease = first.try_acquire(&name()).await.unwrap();
    let start = Instant::now();
    let error = second.acquire(&name(), within(5 * SEC)).await.unwrap_err();
    assert!(matches!(error, AcquireError::TimedOut), "{error}");
    assert_eq!(Instant::now() - start, 5 * SEC);
    // In mid-call: what the store granted is undone.
    lease.release().await.unwrap();
    store.next("acquire", Fault::DoneInSilence, 1);
    assert!(second.acquire(&name(), within(SEC)).await.is_err());
    settle().await;
    assert!(is_free(&store, &name()).await && tasks() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_moment_is_asked_again_until_the_deadline() {
    let store = Faulty::new();
    let client = client(&store);
    store.next("acquire", Fault::Unreached, 5);
    store.next("acquire", Fault::Silence, 2);
    assert!(client.acquire(&name(), within(60 * SEC)).await.unwrap().is_valid());
    assert_eq!(store.calls("acquire"), 8);
}

#[tokio::test(start_paused = true)]
async fn of_many_that_wait_each_is_granted_the_lease_in_turn() {
    let store = Faulty::new();
    let all = (0..20).map(|_| {
        let client = client(&store);
        tokio::spawn(async move {
            let lease = client.acquire(&name(), None).await.unwrap();
            sleep(SEC).await;
            assert!(lease.is_valid());
            let token = lease.token();
            lease.release().await.unwrap();
            token
        })
    });
    let mut tokens = vec![];
    for one in all.collect::<Vec<_>>() {
        tokens.push(one.await.unwrap());
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_bound_are_refused_and_those_that_wait_are_not_counted() {
    let store = Faulty::new();
    let config = config().most_asking(NonZeroUsize::MIN);
    let client = LeaseClient::new(config, store.clone()).unwrap();
    let _held = client.try_acquire(&name()).await.unwrap();
    let waits = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(&name(), None).await }
    });
    settle().await;
    drop(client.try_acquire(&numbered(1)).await.unwrap());
    store.next("acquire", Fault::Silence, 1);
    let mut hangs = client.try_acquire(numbered(2)).boxed();
    assert!(poll!(&mut hangs).is_pending());
    let error = client.try_acquire(&numbered(3)).await.unwrap_err();
    assert!(matches!(error, AcquireError::Full), "{error}");
    waits.abort();
}

#[test]
fn outside_of_a_runtime_no_lease_is_asked_for() {
    let store = Faulty::new;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = runtime.block_on(async { store() });
    let client = LeaseClient::new(config_real(), store.clone()).unwrap();
    let error = client.try_acquire(&name()).now_or_never().unwrap().unwrap_err();
    assert!(matches!(error, AcquireError::NoRuntime), "{error}");
    assert_eq!(store.calls("acquire"), 0);
}

fn config_real() -> steadfast_lease::LeaseClientConfig {
    steadfast_lease::LeaseClientConfig::new()
}
