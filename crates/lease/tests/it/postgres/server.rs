//! Servers that die, stand still, lose an answer, or are busy with something else.

use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use steadfast_core::Executed;
use steadfast_lease::{
    AcquireError, LeaseClient, LeaseClientConfig, Loss, RenewReply, Store, StoreErrorKind,
};
use steadfast_testkit::servers::PostgresServer;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::servers::{LONG, granted, is_held, some_name, terms};

const SEC: Duration = Duration::from_secs(1);

async fn over(server: &PostgresServer) -> PostgresStore<Pool> {
    store(config(), steadfast_store::connect(&server.url()).await.unwrap()).await
}

async fn leases(server: &PostgresServer, ttl: Duration) -> LeaseClient {
    LeaseClient::new(LeaseClientConfig::new().ttl(ttl), over(server).await).unwrap()
}

/// A server that is set up to lose the last moments loses no grant: each sets what holds for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_outlives_a_server_that_is_killed_also_where_commits_are_not_synchronous()
{
    let server = PostgresServer::start();
    let admin = steadfast_store::connect(&server.url()).await.unwrap();
    for text in [
        "ALTER SYSTEM SET synchronous_commit = off",
        // Nothing is flushed by the way.
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "SELECT pg_reload_conf()",
    ] {
        run(admin.clone(), text, &[]).await;
    }
    sleep(200 * MS).await;
    for _ in 0..3 {
        let store = over(&server).await;
        let (name, owner) = (some_name(), terms());
        let pool = steadfast_store::connect(&server.url()).await.unwrap();
        let setting = run(pool, "SELECT current_setting('synchronous_commit')", &[]).await;
        assert_eq!(setting.unwrap().text(0).unwrap(), "off");
        let token = granted(&store, &name, &owner).await;
        server.restart();
        let store = over(&server).await;
        assert!(is_held(&store, &name).await);
        assert_eq!(granted(&store, &name, &owner).await, token);
        assert!(store.release(&name, owner.nonce).await.unwrap());
        server.restart();
        assert!(granted(&over(&server).await, &name, &terms()).await > token);
    }
}

/// A row lock on one lease, and behind it on the same connection another.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_another_holds_holds_up_its_own_lease_alone() {
    let pool = pool().await;
    let one = store(config().lock_wait(300 * MS), client().await).await;
    let [locked, other] = [some_name(), some_name()];
    let owner = terms();
    granted(&one, &locked, &owner).await;
    granted(&one, &other, &owner).await;
    let mut locker = pool.get().await.unwrap();
    let tx = locker.transaction().await.unwrap();
    let lock = "SELECT 1 FROM leases WHERE name = $1 FOR UPDATE";
    tx.query(lock, &[&locked.as_str().as_bytes()]).await.unwrap();
    let began = Instant::now();
    let (held_up, renewed) =
        tokio::join!(one.renew(&locked, owner.nonce), one.renew(&other, owner.nonce));
    let error = held_up.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::No));
    assert!(matches!(renewed.unwrap(), RenewReply::Renewed { .. }));
    let waited = Instant::now() - began;
    assert!(waited >= 250 * MS && waited < 3 * SEC, "{waited:?}");
    tx.rollback().await.unwrap();
    let renewed = one.renew(&locked, owner.nonce).await.unwrap();
    assert!(matches!(renewed, RenewReply::Renewed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_database_is_stricter_racers_are_answered_all_the_same() {
    let url =
        servers::postgres().url() + "?options=-c%20default_transaction_isolation%3Dserializable";
    let store = store(config(), steadfast_store::connect(&url).await.unwrap()).await;
    for _ in 0..10 {
        let name = some_name();
        let racers = (0..8).map(|_| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move { store.acquire(&name, &terms()).await.unwrap() })
        });
        let replies = futures::future::join_all(racers.collect::<Vec<_>>()).await;
        let granted = replies.into_iter().filter(|reply| {
            let reply = reply.as_ref().unwrap();
            matches!(reply, steadfast_lease::AcquireReply::Granted { .. })
        });
        assert_eq!(granted.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_loses_a_lease_at_its_deadline_and_nothing_revives_it() {
    let server = PostgresServer::start();
    let client = leases(&server, 2 * SEC).await;
    let lease = client.acquire(some_name(), None).await.unwrap();
    sleep(SEC).await;
    server.stop();
    let before = Instant::now();
    assert_eq!(timeout(5 * SEC, lease.lost()).await.unwrap(), Some(Loss::Unanswered));
    assert!(Instant::now() - before <= 2 * SEC + 200 * MS);
    server.resume();
    sleep(300 * MS).await;
    assert!(!lease.is_valid() && lease.remaining().is_zero());
    drop(lease);
    client.shutdown(5 * SEC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_a_standing_server_received_is_undone_when_it_goes_on() {
    let server = PostgresServer::start();
    let (client, name) = (leases(&server, 3 * SEC).await, some_name());
    drop(client.try_acquire(some_name()).await.unwrap());
    server.stop();
    let unanswered = client.try_acquire(&name).await.unwrap_err();
    assert!(matches!(unanswered, AcquireError::Store(_)), "{unanswered:?}");
    server.resume();
    let (beside, before) = (over(&server).await, Instant::now());
    while is_held(&beside, &name).await {
        assert!(Instant::now() - before < 2 * SEC, "it lasts for its TTL");
        sleep(20 * MS).await;
    }
}

/// The server did it, and could not say so: by its nonce it is the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_answer_was_lost_is_the_same_operation_when_it_is_repeated() {
    let server = servers::postgres();
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::bind(ProxyConfig::new(upstream)).unwrap();
    let url = server.url().replace(&server.port().to_string(), &proxy.address().port().to_string());
    let behind = steadfast_store::connect(&url).await.unwrap();
    let behind = store(config().call_limit(500 * MS).lock_wait(100 * MS), behind).await;
    let (beside, name, owner) = (over(server).await, some_name(), terms());
    // The statement is prepared.
    granted(&behind, &some_name(), &terms()).await;
    proxy.black_hole(Direction::Downstream);
    let lost = behind.acquire(&name, &owner).await.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe);
    assert!(is_held(&beside, &name).await, "it was granted");
    let token = beside.observe(&name, None).await.unwrap().token;
    proxy.heal().await;
    assert_eq!(Some(granted(&beside, &name, &owner).await), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_wakes_one_that_waits() {
    let server = servers::postgres();
    let (holder, waiter) = (leases(server, LONG).await, leases(server, LONG).await);
    crate::servers::a_release_wakes_one_that_waits(&holder, waiter, 300 * MS).await;
}
