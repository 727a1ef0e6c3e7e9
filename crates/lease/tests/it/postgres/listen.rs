//! Releases that are told by NOTIFY, and what becomes of those that wait when nothing is told.

use std::sync::atomic::{AtomicU32, Ordering};

use steadfast_lease::{LeaseClient, LeaseClientConfig, LeaseName, Store, View};
use steadfast_testkit::servers::{PgBouncer, PostgresServer};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::NoTls;

use super::*;
use crate::servers::{granted, some_name, terms};

const SEC: Duration = Duration::from_secs(1);
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(60);

/// The listener's session, by a name of its own.
fn direct(url: &str) -> (tokio_postgres::Config, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("listener {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    config.application_name(&name);
    (config, name)
}

fn slow() -> PostgresConfig {
    config().notifying().look_every(NEVER)
}

/// A store that listens, and the name of its session.
pub(super) async fn listening(config: PostgresConfig) -> (PostgresStore<Pool>, String) {
    let (direct, session) = direct(&servers::postgres().url());
    (store(config, pool().await).await.listening(direct, NoTls), session)
}

async fn count(session: &str) -> i64 {
    let text = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = $1 AND query LIKE 'LISTEN%' AND state = 'idle'";
    run(pool().await, text, &[Value::Text(session)]).await.unwrap().int(0).unwrap()
}

/// Waits until so many sessions listen under this name.
async fn until(session: &str, sessions: i64) {
    let began = Instant::now();
    while count(session).await != sessions {
        assert!(Instant::now() - began < 20 * SEC, "never {sessions} of {session}");
        sleep(20 * MS).await;
    }
}

/// Waits for the next view, for the time that is given to no look at intervals.
fn follow(
    store: &PostgresStore<Pool>,
    name: &LeaseName,
    seen: &View,
) -> JoinHandle<(View, Duration)> {
    let (store, name, seen) = (store.clone(), name.clone(), seen.clone());
    tokio::spawn(async move {
        let began = Instant::now();
        let view = timeout(NEVER / 2, store.observe(&name, Some(&seen))).await;
        (view.expect("it is told").unwrap(), Instant::now() - began)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_wakes_those_that_wait_and_without_a_listener_they_would_look_later() {
    let (store, session) = listening(slow()).await;
    let deaf = super::store(slow(), pool().await).await;
    // What no text can hold, what ends a literal, and the longest.
    let odd = |text: String| LeaseName::new(text).unwrap();
    let unlike = some_name();
    let longest = format!("{unlike}{}", "n".repeat(255 - unlike.as_str().len()));
    for name in [unlike.clone(), odd(format!("{unlike}\0'\"\\é{{}}")), odd(longest)] {
        let owner = terms();
        let token = granted(&store, &name, &owner).await;
        let held = store.observe(&name, None).await.unwrap();
        let waits = [follow(&store, &name, &held), follow(&store, &name, &held)];
        let unheard = follow(&deaf, &name, &held);
        until(&session, 1).await;
        sleep(200 * MS).await;
        assert!(waits.iter().all(|wait| !wait.is_finished()));
        assert!(store.release(&name, owner.nonce).await.unwrap());
        for wait in waits {
            let (view, _) = timeout(10 * SEC, wait).await.expect("it is woken").unwrap();
            assert!(view.held.is_none() && view.token == Some(token));
        }
        assert!(!unheard.is_finished(), "by a look it would be seen after a minute");
        unheard.abort();
    }
}

/// Also one that does not listen must tell, and one that tells nothing frees the lease all the
/// same.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_is_granted_the_lease_at_its_release_and_others_are_not_woken() {
    let (store, session) = listening(slow()).await;
    let teller = super::store(slow(), sqlx_pool().await).await;
    let [name, other] = [some_name(), some_name()];
    let (owner, unrelated) = (terms(), terms());
    granted(&teller, &name, &owner).await;
    granted(&teller, &other, &unrelated).await;
    let held = store.observe(&other, None).await.unwrap();
    let quiet = follow(&store, &other, &held);
    let client = LeaseClient::new(LeaseClientConfig::new(), store).unwrap();
    let waits = tokio::spawn({
        let (client, name) = (client.clone(), name.clone());
        async move { client.acquire(&name, None).await.unwrap() }
    });
    until(&session, 1).await;
    sleep(200 * MS).await;
    assert!(!waits.is_finished());
    assert!(teller.release(&name, owner.nonce).await.unwrap());
    let lease = timeout(10 * SEC, waits).await.expect("it is woken").unwrap();
    assert!(lease.is_valid() && !quiet.is_finished());
    quiet.abort();
    client.shutdown(5 * SEC).await;
}

/// What was told while there was no connection is looked for when there is one again.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_killed_comes_back_and_misses_nothing() {
    let (store, session) = listening(slow()).await;
    for _ in 0..3 {
        let (name, owner) = (some_name(), terms());
        granted(&store, &name, &owner).await;
        let held = store.observe(&name, None).await.unwrap();
        let waits = follow(&store, &name, &held);
        until(&session, 1).await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = $1";
        let killed = run(pool().await, kill, &[Value::Text(&session)]).await.unwrap();
        assert_eq!(killed.int(0).unwrap(), 1);
        assert!(store.release(&name, owner.nonce).await.unwrap());
        let (view, _) = timeout(15 * SEC, waits).await.expect("it comes back").unwrap();
        assert!(view.held.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_cannot_connect_or_is_stopped_leaves_the_looks() {
    let server = PostgresServer::start();
    let closed = steadfast_testkit::loopback().unwrap().1.port();
    let nowhere = format!("postgres://postgres@127.0.0.1:{closed}/postgres");
    // A server that takes connections and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("postgres://postgres@{}/postgres", silent.local_addr().unwrap());
    for url in [nowhere, silent, server.url()] {
        let looks = config().notifying().look_every(200 * MS);
        let (direct, _) = direct(&url);
        let store = super::store(looks, pool().await).await.listening(direct, NoTls);
        let (name, owner) = (some_name(), terms());
        granted(&store, &name, &owner).await;
        let held = store.observe(&name, None).await.unwrap();
        let waits = follow(&store, &name, &held);
        sleep(300 * MS).await;
        // Another server's: it hears nothing there, and less when that is stopped.
        server.stop();
        assert!(!waits.is_finished());
        assert!(store.release(&name, owner.nonce).await.unwrap());
        let (view, _) = timeout(10 * SEC, waits).await.expect("it looks").unwrap();
        assert!(view.held.is_none());
        server.resume();
    }
}

#[tokio::test]
async fn the_connection_and_its_task_end_with_the_last_that_waits() {
    let (store, session) = listening(slow()).await;
    let (names, owner) = ([some_name(), some_name()], terms());
    for name in &names {
        granted(&store, name, &owner).await;
    }
    // All connections of its pool are there, each with a task.
    let sleepers = store.clone();
    let looks = (0..64).map(|n| sleepers.observe(&names[n % 2], None));
    futures::future::join_all(looks).await.into_iter().for_each(|view| drop(view.unwrap()));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..2 {
        assert_eq!(count(&session).await, 0, "none waits");
        let mut waits = Vec::new();
        for name in names.iter().chain(&names) {
            let held = store.observe(name, None).await.unwrap();
            waits.push(follow(&store, name, &held));
        }
        until(&session, 1).await;
        assert!(tasks() > before + 4, "those that wait, and the listener");
        // One that is left keeps it.
        let last = waits.pop().unwrap();
        for wait in waits {
            wait.abort();
        }
        sleep(2 * SEC).await;
        assert_eq!(count(&session).await, 1, "one for all");
        last.abort();
        until(&session, 0).await;
        let began = Instant::now();
        while tasks() > before {
            assert!(Instant::now() - began < 5 * SEC, "{} of {before}", tasks());
            sleep(20 * MS).await;
        }
    }
}

/// Each view is asked for by a call of its own.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_follows_a_lease_keeps_one_connection() {
    let (store, session) = listening(config().notifying()).await;
    let (name, started) = (some_name(), Instant::now());
    let client = LeaseClient::new(LeaseClientConfig::new(), store.clone()).unwrap();
    let mut observer = client.observe(name.clone());
    observer.next().await.unwrap();
    let pid = async || {
        let text = "SELECT min(pid)::bigint FROM pg_stat_activity WHERE application_name = $1";
        run(pool().await, text, &[Value::Text(&session)]).await.unwrap().int(0)
    };
    let mut first = None;
    for _ in 0..5 {
        let owner = terms();
        granted(&store, &name, &owner).await;
        assert!(observer.next().await.unwrap().held.is_some());
        let next = tokio::spawn(async move { (observer.next().await.unwrap(), observer) });
        until(&session, 1).await;
        assert!(store.release(&name, owner.nonce).await.unwrap());
        let (view, back) = next.await.unwrap();
        observer = back;
        assert!(view.held.is_none());
        let now = pid().await.unwrap();
        assert_eq!(*first.get_or_insert(now), now, "after {:?}", Instant::now() - started);
    }
}

/// The server tells a connection of the pooler's, and no client's.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_behind_a_pooler_hears_nothing_and_looks() {
    let pooler = PgBouncer::start(servers::postgres(), &[]);
    let (direct, _) = direct(&pooler.url());
    let behind = steadfast_store::connect(&pooler.url()).await.unwrap();
    let config = config().unnamed_statements().notifying().look_every(300 * MS);
    let store = super::store(config, behind).await.listening(direct, NoTls);
    for _ in 0..3 {
        let (name, owner) = (some_name(), terms());
        granted(&store, &name, &owner).await;
        let held = store.observe(&name, None).await.unwrap();
        let waits = follow(&store, &name, &held);
        sleep(200 * MS).await;
        assert!(store.release(&name, owner.nonce).await.unwrap());
        let (view, _) = timeout(10 * SEC, waits).await.expect("it looks").unwrap();
        assert!(view.held.is_none());
    }
}

/// Statements go through the pooler, and the listener past it.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_through_a_pooler_is_told_to_a_listener_of_the_server() {
    let pooler = PgBouncer::start(servers::postgres(), &[]);
    let (direct, session) = direct(&servers::postgres().url());
    let behind = steadfast_store::connect(&pooler.url()).await.unwrap();
    let store = super::store(slow().unnamed_statements(), behind).await.listening(direct, NoTls);
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    let held = store.observe(&name, None).await.unwrap();
    let waits = follow(&store, &name, &held);
    until(&session, 1).await;
    assert!(store.release(&name, owner.nonce).await.unwrap());
    let (view, _) = timeout(10 * SEC, waits).await.expect("it is told").unwrap();
    assert!(view.held.is_none());
}
