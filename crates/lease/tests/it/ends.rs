//! The ends of leases, of the one task, and of programs.

use std::time::Duration;

use steadfast_core::Executed;
use steadfast_lease::{
    AcquireError, LeaseClient, LeaseClientConfig, MemoryConfig, MemoryStore, Status,
};
use tokio::time::{Instant, sleep};

use crate::support::{Fault, Faulty, MS, SEC, TTL, client, is_free, name, numbered, settle, tasks};

#[tokio::test(start_paused = true)]
async fn a_lease_dropped_outside_of_a_runtime_is_given_back_by_the_task() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    std::thread::spawn(move || drop(lease)).join().unwrap();
    settle().await;
    assert!(is_free(&store, &name()).await);
    assert_eq!((tasks(), client.snapshot().released), (0, 1));
}

#[test]
fn a_lease_dropped_after_its_runtime_is_dropped_in_peace() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let client = LeaseClient::new(LeaseClientConfig::new(), store).unwrap();
    let lease = runtime.block_on(client.try_acquire(&name())).unwrap();
    drop(runtime);
    assert!(lease.is_valid(), "it is held until its deadline, renewed or not");
    drop(lease);
    assert_eq!(client.snapshot().held, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_everything_back_and_grants_nothing_more() {
    let store = Faulty::new();
    let client = client(&store);
    let mut leases = vec![];
    for n in 0..50 {
        leases.push(client.try_acquire(&numbered(n)).await.unwrap());
    }
    assert!(client.shutdown(SEC).await);
    for (n, lease) in leases.iter().enumerate() {
        assert_eq!(lease.status(), Status::Released);
        assert!(is_free(&store, &numbered(n)).await);
    }
    assert_eq!((tasks(), client.snapshot().released), (0, 50));
    let error = client.try_acquire(&name()).await.unwrap_err();
    assert!(matches!(error, AcquireError::ShutDown), "{error}");
    let error = client.acquire(&name(), None).await.unwrap_err();
    assert!(matches!(error, AcquireError::ShutDown), "{error}");
    drop(leases);
    settle().await;
    assert_eq!(store.calls("release"), 50, "each is given back once");
    assert!(client.shutdown(SEC).await, "there is nothing left to do");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_store_longer_than_its_limit() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.silence(&name());
    let start = Instant::now();
    assert!(!client.shutdown(3 * SEC).await);
    assert_eq!((Instant::now() - start, lease.is_valid()), (3 * SEC, false));
    settle().await;
    assert_eq!(tasks(), 0, "the task has ended with it");
}

#[tokio::test(start_paused = true)]
async fn a_release_may_be_dropped_or_never_polled_and_goes_on() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    drop(lease.release());
    settle().await;
    assert!(is_free(&store, &name()).await);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("release", Fault::SlowThere(SEC), 1);
    assert!(tokio::time::timeout(MS, lease.release()).await.is_err());
    sleep(SEC).await;
    assert!(is_free(&store, &name()).await);
    assert!(!lease.release().await.unwrap(), "it was given back before");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_not_answered_is_tried_until_the_grant_is_over() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("release", Fault::Unreached, 4);
    assert!(lease.release().await.unwrap());
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("release", Fault::Unreached, 100);
    let start = Instant::now();
    assert!(lease.release().await.is_err());
    assert!(Instant::now() - start <= TTL + SEC);
    settle().await;
    assert_eq!((tasks(), client.snapshot().unreleased), (0, 1));
}

/// The end of the task races the next acquisition: none is left without a task that renews it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_task_loses_no_lease_that_joins_meanwhile() {
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let config = LeaseClientConfig::new().ttl(400 * MS);
    let client = LeaseClient::new(config, store).unwrap();
    let racers = (0..4).map(|racer| {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 0..300 {
                let lease = client.try_acquire(&numbered(racer * 1000 + round)).await.unwrap();
                if round % 3 == 0 {
                    lease.release().await.unwrap();
                } else if round % 3 == 1 {
                    tokio::task::yield_now().await;
                }
            }
            client.try_acquire(&numbered(racer)).await.unwrap()
        })
    });
    let mut leases = vec![];
    for racer in racers.collect::<Vec<_>>() {
        leases.push(racer.await.unwrap());
    }
    sleep(1200 * MS).await;
    assert!(leases.iter().all(steadfast_lease::Lease::is_valid), "each is renewed");
    drop(leases);
    assert!(client.shutdown(5 * SEC).await);
    let snapshot = client.snapshot();
    assert_eq!((snapshot.held, snapshot.granted, snapshot.released), (0, 1204, 1204));
    while tasks() > 0 {
        sleep(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_lease_and_begins_with_the_next() {
    let store = Faulty::new();
    let client = client(&store);
    for _ in 0..100 {
        assert_eq!(tasks(), 0);
        let (one, two) = (
            client.try_acquire(&numbered(1)).await.unwrap(),
            client.try_acquire(&numbered(2)).await.unwrap(),
        );
        settle().await;
        assert_eq!(tasks(), 1);
        drop(one);
        settle().await;
        assert_eq!(tasks(), 1);
        sleep(2 * TTL).await;
        assert!(two.is_valid());
        drop(two);
        settle().await;
    }
    assert_eq!(Duration::ZERO, client.snapshot().lateness.saturating_sub(2 * MS));
}

/// The limit of the shutdown has passed, and there is no task any more.
#[tokio::test(start_paused = true)]
async fn a_release_after_a_shutdown_that_was_cut_short_is_answered() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.silence(&name());
    assert!(!client.shutdown(3 * SEC).await);
    let answer = tokio::time::timeout(100 * TTL, lease.release()).await;
    let error = answer.expect("it does not wait for ever").unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe);
}

#[test]
fn a_release_outside_of_a_runtime_after_the_task_has_gone_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let client = LeaseClient::new(LeaseClientConfig::new(), store).unwrap();
    let lease = runtime.block_on(client.try_acquire(&name())).unwrap();
    drop(runtime);
    let released = futures::FutureExt::now_or_never(lease.release());
    let error = released.expect("no task will ever answer").unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe);
}
