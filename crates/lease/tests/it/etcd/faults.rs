//! A server that dies, stands still or loses an answer.

use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use steadfast_core::Executed;
use steadfast_lease::{AcquireError, AcquireReply, AcquireTerms, Loss, RenewReply};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::servers::{LONG, granted, is_held, some_name, terms};

fn proxy(server: &EtcdServer) -> FaultProxy {
    let upstream = ([127, 0, 0, 1], server.port()).into();
    FaultProxy::bind(ProxyConfig::new(upstream)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_leases_when_it_is_killed() {
    let server = EtcdServer::start(&[]);
    let (name, owner) = (some_name(), terms());
    let store = connect(&server.url()).await;
    let token = granted(&store, &name, &owner).await;
    server.restart();
    assert!(is_held(&connect(&server.url()).await, &name).await);
    // By its nonce it is the same grant, of the store that had it and of another.
    assert_eq!(granted(&store, &name, &owner).await, token);
    let beside = connect(&server.url()).await;
    assert_eq!(granted(&beside, &name, &owner).await, token);
    assert!(matches!(store.renew(&name, owner.nonce).await.unwrap(), RenewReply::Renewed { .. }));
    assert!(store.release(&name, owner.nonce).await.unwrap());
    server.restart();
    assert!(granted(&connect(&server.url()).await, &name, &terms()).await > token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_a_server_that_is_killed_and_is_back_within_its_ttl() {
    let server = EtcdServer::start(&[]);
    let (client, name) = (client(&server.url(), 8 * SEC).await, some_name());
    let lease = client.try_acquire(&name).await.unwrap();
    server.kill();
    sleep(3 * SEC).await;
    assert!(lease.is_valid(), "renewals that fail keep the deadline");
    server.restart();
    sleep(6 * SEC).await;
    assert!(lease.is_valid(), "a later one was granted");
    assert!(is_held(&connect(&server.url()).await, &name).await);
    assert!(lease.release().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_loses_a_lease_at_its_deadline_and_nothing_revives_it() {
    let server = EtcdServer::start(&[]);
    let client = client(&server.url(), 2 * SEC).await;
    let lease = client.acquire(some_name(), None).await.unwrap();
    sleep(SEC).await;
    server.stop();
    let before = Instant::now();
    assert_eq!(timeout(5 * SEC, lease.lost()).await.unwrap(), Some(Loss::Unanswered));
    // The renewal under way may have been answered just before the stop.
    let waited = Instant::now() - before;
    assert!(waited <= 2 * SEC + 200 * MS, "{waited:?}");
    assert!(!lease.is_valid());
    server.resume();
    // Renewals that the server had received are applied now.
    sleep(300 * MS).await;
    assert!(!lease.is_valid() && lease.remaining().is_zero());
    drop(lease);
    client.shutdown(5 * SEC).await;
}

/// As long as a client waits, and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquisition_that_a_standing_server_received_is_undone_when_it_goes_on() {
    let server = EtcdServer::start(&[]);
    let (client, name) = (client(&server.url(), 4 * SEC).await, some_name());
    drop(client.try_acquire(some_name()).await.unwrap());
    server.stop();
    let unanswered = client.try_acquire(&name).await.unwrap_err();
    assert!(matches!(unanswered, AcquireError::Store(_)), "{unanswered:?}");
    server.resume();
    let beside = connect(&server.url()).await;
    let before = Instant::now();
    while is_held(&beside, &name).await {
        assert!(Instant::now() - before < 3 * SEC, "it lasts for its TTL");
        sleep(20 * MS).await;
    }
}

/// A dropped acquisition has no token and no answer: its release ends what may still come.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_comes_behind_the_release_of_its_nonce_finds_no_lease() {
    let server = servers::etcd();
    let proxy = proxy(server);
    let store = connect(&format!("etcd://{}", proxy.address())).await;
    let (beside, name) = (connect(&server.url()).await, some_name());
    for patience in (0..40).map(|n| Duration::from_micros(n * 100)) {
        let owner = terms();
        let _ = timeout(patience, store.acquire(&name, &owner)).await;
        store.release(&name, owner.nonce).await.unwrap();
        assert!(!is_granted_to(&beside, &name, &owner).await, "after {patience:?}");
    }
}

async fn is_granted_to(store: &EtcdStore, name: &LeaseName, owner: &AcquireTerms) -> bool {
    let held = store.observe(name, None).await.unwrap().held;
    held.is_some_and(|held| held.holder == owner.holder)
}

/// The server did it, and could not say so: by its nonce it is the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_answer_was_lost_is_the_same_operation_when_it_is_repeated() {
    let server = servers::etcd();
    let proxy = proxy(server);
    let url = format!("etcd://{}", proxy.address());
    let limited = EtcdConfig::new().call_limit(500 * MS);
    let store = EtcdStore::connect(limited, &url).await.unwrap();
    let (beside, name, owner) = (connect(&server.url()).await, some_name(), terms());
    // Its lease of etcd's is there: what is lost is the answer to the transaction.
    let spare = terms();
    let some = some_name();
    granted(&store, &some, &spare).await;
    assert!(store.release(&some, spare.nonce).await.unwrap());
    let token = granted(&store, &name, &owner).await;
    proxy.black_hole(Direction::Downstream);
    let lost = store.renew(&name, owner.nonce).await.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe);
    let lost = store.release(&name, owner.nonce).await.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe);
    proxy.heal().await;
    assert!(!store.release(&name, owner.nonce).await.unwrap(), "it was released");
    assert!(granted(&beside, &name, &terms()).await > token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_refused_at_once_and_was_told_nothing() {
    let server = EtcdServer::start(&[]);
    let store = connect(&server.url()).await;
    server.kill();
    for _ in 0..5 {
        let _ = store.observe(&some_name(), None).await;
    }
    let before = Instant::now();
    let error = store.acquire(&some_name(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
    let error = store.renew(&some_name(), terms().nonce).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(Instant::now() - before < 2 * SEC);
    server.restart();
    granted(&store, &some_name(), &terms()).await;
}

/// A keep-alive through a node that stands still never answers: the next server is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_swallows_everything_is_left_for_the_next_before_the_lease_ends() {
    let server = servers::etcd();
    let (hole, way) = (proxy(server), proxy(server));
    let url = format!("etcd://{},{}", hole.address(), way.address());
    let client = client(&url, 3 * SEC).await;
    let lease = client.try_acquire(some_name()).await.unwrap();
    hole.black_hole(Direction::Downstream);
    sleep(6 * SEC).await;
    assert!(lease.is_valid(), "{:?}", lease.status());
    hole.heal().await;
    way.black_hole(Direction::Downstream);
    sleep(6 * SEC).await;
    assert!(lease.is_valid(), "{:?}", lease.status());
    way.heal().await;
    assert!(lease.release().await.unwrap());
}

/// One stream, and one task that reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_leases_are_kept_alive_side_by_side() {
    let server = EtcdServer::start(&[]);
    let client = client(&server.url(), 6 * SEC).await;
    let mut leases = Vec::new();
    for _ in 0..200 {
        leases.push(client.try_acquire(some_name()).await.unwrap());
    }
    sleep(10 * SEC).await;
    assert_eq!(leases.iter().filter(|lease| lease.is_valid()).count(), 200);
    assert!(client.shutdown(20 * SEC).await);
}

/// The taker obeys the clock of the cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_one_second_is_granted_for_what_the_server_can_keep() {
    let server = servers::etcd();
    let store = connect(&server.url()).await;
    for (asked, least) in [(10 * MS, SEC), (SEC, SEC), (1001 * MS, 2 * SEC), (LONG, LONG)] {
        let terms = AcquireTerms { ttl: asked, ..terms() };
        match store.acquire(&some_name(), &terms).await.unwrap() {
            AcquireReply::Granted { ttl, .. } => assert_eq!(ttl, least, "{asked:?}"),
            held => panic!("{held:?}"),
        }
    }
}

/// One that waits is woken by the release, long before the grant would have expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_wakes_one_that_waits_by_its_watch() {
    let url = servers::etcd().url();
    let (holder, waiter) = (client(&url, LONG).await, client(&url, LONG).await);
    let woken_after =
        crate::servers::a_release_wakes_one_that_waits(&holder, waiter, 500 * MS).await;
    // A look would come after five seconds.
    assert!(woken_after < 2 * SEC, "{woken_after:?}");
}
