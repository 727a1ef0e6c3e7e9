//! Servers that die, forget, stand still or lose an answer.

use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use steadfast_core::Executed;
use steadfast_lease::{
    AcquireError, AcquireTerms, LeaseClient, LeaseClientConfig, Loss, RenewReply, Store,
};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::servers::{LONG, granted, is_held, some_name, terms};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

async fn client(server: &RedisServer, ttl: Duration) -> LeaseClient {
    LeaseClient::new(LeaseClientConfig::new().ttl(ttl), connect(server).await).unwrap()
}

#[tokio::test]
async fn a_server_that_always_syncs_keeps_its_leases_when_it_is_killed() {
    let server = RedisServer::start(&["--appendfsync", "always"]);
    let (name, owner) = (some_name(), terms());
    let token = granted(&connect(&server).await, &name, &owner).await;
    server.restart();
    let store = connect(&server).await;
    assert!(is_held(&store, &name).await);
    assert_eq!(granted(&store, &name, &owner).await, token, "by its nonce it is the same grant");
    assert!(store.release(&name, owner.nonce).await.unwrap());
    server.restart();
    let store = connect(&server).await;
    assert!(granted(&store, &name, &terms()).await > token);
}

/// A plain counter would begin again at 1.
#[tokio::test]
async fn a_server_that_has_forgotten_everything_grants_to_another_and_its_token_is_greater() {
    let server = RedisServer::start(&["--appendonly", "no"]);
    let (name, mut last) = (some_name(), None);
    for _ in 0..3 {
        let (store, owner) = (connect(&server).await, terms());
        let token = granted(&store, &name, &owner).await;
        assert!(last < Some(token), "{token} after {last:?}");
        last = Some(token);
        server.restart();
        // The holder is told, and frees no successor.
        let store = connect(&server).await;
        assert_eq!(store.renew(&name, owner.nonce).await.unwrap(), RenewReply::Gone);
        assert!(!store.release(&name, owner.nonce).await.unwrap());
    }
}

/// The record is lost, and the clock is behind: as after the promotion of a replica that was slow.
#[tokio::test]
async fn a_floor_heals_a_server_that_has_lost_its_record_and_whose_clock_is_behind() {
    let server = RedisServer::start(&["--appendonly", "no"]);
    let (name, owner) = (some_name(), terms());
    // What the fence has seen: from a clock that was an hour ahead.
    let ahead = granted(&connect(&server).await, &name, &owner).await.get() + 3_600_000_000;
    let ahead = crate::servers::token(ahead);
    server.restart();
    let store = connect(&server).await;
    let behind = terms();
    assert!(granted(&store, &name, &behind).await < ahead, "the fence refuses it");
    assert!(store.release(&name, behind.nonce).await.unwrap());
    let healed = AcquireTerms { floor: Some(ahead), ..terms() };
    assert!(granted(&store, &name, &healed).await > ahead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_loses_a_lease_at_its_deadline_and_nothing_revives_it() {
    let server = RedisServer::start(&[]);
    let client = client(&server, 2 * SEC).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquisition_that_a_standing_server_received_is_undone_when_it_goes_on() {
    let server = RedisServer::start(&[]);
    let (client, name) = (client(&server, 3 * SEC).await, some_name());
    drop(client.try_acquire(some_name()).await.unwrap());
    server.stop();
    let unanswered = client.try_acquire(&name).await.unwrap_err();
    assert!(matches!(unanswered, AcquireError::Store(_)), "{unanswered:?}");
    server.resume();
    // It was applied after its caller had gone; the release by its nonce is behind it.
    let beside = connect(&server).await;
    let before = Instant::now();
    while is_held(&beside, &name).await {
        assert!(Instant::now() - before < 2 * SEC, "it lasts for its TTL");
        sleep(20 * MS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_a_server_that_is_killed_and_is_back_within_its_ttl() {
    let server = RedisServer::start(&["--appendfsync", "always"]);
    let (client, name) = (client(&server, 6 * SEC).await, some_name());
    let lease = client.try_acquire(&name).await.unwrap();
    server.kill();
    sleep(2500 * MS).await;
    assert!(lease.is_valid(), "renewals that fail keep the deadline");
    server.restart();
    sleep(4 * SEC).await;
    assert!(lease.is_valid(), "a later one was granted");
    assert!(is_held(&connect(&server).await, &name).await);
    assert!(lease.release().await.unwrap());
}

/// The server did it, and could not say so: by its nonce it is the same.
#[tokio::test]
async fn an_operation_whose_answer_was_lost_is_the_same_operation_when_it_is_repeated() {
    let server = servers::redis();
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::bind(ProxyConfig::new(upstream)).unwrap();
    let url = format!("redis://{}/", proxy.address());
    let store = RedisStore::connect(config().call_limit(300 * MS), &url).await.unwrap();
    let (beside, name, owner) = (connect(server).await, some_name(), terms());
    proxy.black_hole(Direction::Downstream);
    let lost = store.acquire(&name, &owner).await.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe);
    assert!(is_held(&beside, &name).await, "it was granted");
    let token = beside.observe(&name, None).await.unwrap().token;
    let lost = store.renew(&name, owner.nonce).await.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe);
    proxy.heal().await;
    let again = granted(&beside, &name, &owner).await;
    assert_eq!(Some(again), token);
    proxy.black_hole(Direction::Downstream);
    let lost = store.release(&name, owner.nonce).await.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe);
    proxy.heal().await;
    assert!(!beside.release(&name, owner.nonce).await.unwrap(), "it was released");
    assert!(granted(&beside, &name, &terms()).await > again);
}

#[tokio::test]
async fn a_server_that_is_down_is_refused_at_once_and_was_told_nothing() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    server.kill();
    for _ in 0..5 {
        let _ = store.observe(&some_name(), None).await;
    }
    let error = store.acquire(&some_name(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
}

/// One that waits is woken by the release, long before the grant would have expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_wakes_one_that_waits() {
    let server = servers::redis();
    let (holder, waiter) = (client(server, LONG).await, client(server, LONG).await);
    crate::servers::a_release_wakes_one_that_waits(&holder, waiter, 300 * MS).await;
}
