//! Behind PgBouncer in transaction mode, where each statement may meet another session.

use std::sync::OnceLock;

use futures::future::join_all;
use steadfast_core::Executed;
use steadfast_lease::{
    LeaseClient, LeaseClientConfig, RenewReply, Store, StoreErrorKind,
    postgres::{FenceError, FenceTable},
};
use steadfast_testkit::servers::{PgBouncer, PostgresServer};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::servers::{granted, is_held, some_name, terms, token};

const SEC: Duration = Duration::from_secs(1);

pub(super) fn shared() -> &'static PgBouncer {
    static POOLER: OnceLock<PgBouncer> = OnceLock::new();
    POOLER.get_or_init(|| PgBouncer::start(servers::postgres(), &[]))
}

pub(super) async fn pool(pooler: &PgBouncer) -> Pool {
    steadfast_store::connect(&pooler.url()).await.unwrap()
}

pub(super) async fn sqlx_pool(pooler: &PgBouncer) -> sqlx::PgPool {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4);
    pool.connect(&pooler.url()).await.unwrap()
}

async fn behind(pooler: &PgBouncer) -> PostgresStore<Pool> {
    store(config().unnamed_statements(), pool(pooler).await).await
}

/// What each of the pooler's sessions has set: asked so often that every one is met.
async fn settings(pooler: &PgBouncer, setting: &str) -> Vec<String> {
    let text = format!("SELECT current_setting('{setting}') FROM (SELECT pg_sleep(0.05)) AS slept");
    let asks = (0..8).map(|_| async {
        run(pool(pooler).await, &text, &[]).await.unwrap().text(0).unwrap().to_owned()
    });
    let mut told = join_all(asks).await;
    told.sort();
    told.dedup();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn two_holders_take_turns_and_their_statements_meet_many_sessions() {
    let pooler = PgBouncer::start(servers::postgres(), &[]);
    let client = async || {
        let config = LeaseClientConfig::new().ttl(6 * SEC);
        LeaseClient::new(config, behind(&pooler).await).unwrap()
    };
    let (clients, name) = ([client().await, client().await], some_name());
    // Others keep the sessions changing.
    let busy = tokio::spawn({
        let pool = pool(&pooler).await;
        async move {
            loop {
                join_all((0..3).map(|_| run(pool.clone(), "SELECT 1 FROM pg_sleep(0.003)", &[])))
                    .await;
            }
        }
    });
    let (mut last, mut sessions) = (token(1), std::collections::HashSet::new());
    for round in 0..10 {
        let lease = clients[round % 2].acquire(&name, None).await.unwrap();
        assert!(lease.token() > last);
        last = lease.token();
        clients[(round + 1) % 2].try_acquire(&name).await.unwrap_err();
        assert!(lease.renew().await.unwrap().unwrap() > SEC);
        let pid = run(pool(&pooler).await, "SELECT pg_backend_pid()", &[]).await.unwrap();
        sessions.insert(pid.int(0).unwrap());
        assert!(lease.release().await.unwrap());
    }
    busy.abort();
    assert!(sessions.len() > 1, "{sessions:?}");
    assert_eq!(settings(&pooler, "lock_timeout").await, ["0"], "none was left in a session");
}

/// Each statement sets it for itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_through_a_pooler_is_on_the_disk_where_commits_are_not_synchronous() {
    let server = PostgresServer::start();
    let admin = steadfast_store::connect(&server.url()).await.unwrap();
    for text in [
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "SELECT pg_reload_conf()",
    ] {
        run(admin.clone(), text, &[]).await;
    }
    let pooler = PgBouncer::start(&server, &[]);
    assert_eq!(settings(&pooler, "synchronous_commit").await, ["off"]);
    let store = behind(&pooler).await;
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    assert_eq!(settings(&pooler, "synchronous_commit").await, ["off"], "of the session it is not");
    let last = granted(&store, &some_name(), &owner).await;
    server.restart();
    // The pooler finds its server again.
    let mut held = None;
    for _ in 0..100 {
        held = store.observe(&name, None).await.ok();
        if held.is_some() {
            break;
        }
        sleep(100 * MS).await;
    }
    assert!(held.unwrap().held.is_some());
    assert!(is_held(&store, &name).await);
    assert!(granted(&store, &some_name(), &terms()).await > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_lock_of_one_session_holds_up_its_own_lease_alone_and_not_for_long() {
    let pooler = PgBouncer::start(servers::postgres(), &[]);
    let short = config().unnamed_statements().lock_wait(300 * MS);
    let store = store(short, pool(&pooler).await).await;
    let ([locked, other], owner) = ([some_name(), some_name()], terms());
    granted(&store, &locked, &owner).await;
    granted(&store, &other, &owner).await;
    let pool = super::pool().await;
    let mut locker = pool.get().await.unwrap();
    let tx = locker.transaction().await.unwrap();
    let lock = "SELECT 1 FROM leases WHERE name = $1 FOR UPDATE";
    tx.query(lock, &[&locked.as_str().as_bytes()]).await.unwrap();
    let began = Instant::now();
    let (held_up, renewed) =
        tokio::join!(store.renew(&locked, owner.nonce), store.renew(&other, owner.nonce));
    let error = held_up.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::No));
    assert!(matches!(renewed.unwrap(), RenewReply::Renewed { .. }));
    assert!(Instant::now() - began < 5 * SEC);
    tx.rollback().await.unwrap();
    let renewed = store.renew(&locked, owner.nonce).await.unwrap();
    assert!(matches!(renewed, RenewReply::Renewed { .. }));
    assert_eq!(settings(&pooler, "lock_timeout").await, ["0"]);
}

/// A holder that is stopped within its transaction keeps a session of the pooler's, and the mark's
/// row, until its idle limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_stands_still_in_its_transaction_holds_up_the_next_for_the_idle_limit() {
    let pooler = PgBouncer::start(servers::postgres(), &[]);
    let table = FenceTable::new("fence_marks", 500 * MS).unwrap();
    table.migrate(&mut super::pool().await).await.unwrap();
    let name = some_name();
    let pass = async |number: u64| -> Result<(), FenceError> {
        let mut client = pool(&pooler).await.get().await.unwrap();
        let mut tx = client.transaction().await.unwrap();
        table.pass(&mut tx, name.as_str(), token(1_790_000_000_000_000 + number)).await?;
        tx.commit().await.unwrap();
        Ok(())
    };
    pass(1).await.unwrap();
    let stopped = pool(&pooler).await;
    let mut stopped = stopped.get().await.unwrap();
    let mut tx = stopped.transaction().await.unwrap();
    table.pass(&mut tx, name.as_str(), token(1_790_000_000_000_001)).await.unwrap();
    let began = Instant::now();
    timeout(20 * SEC, pass(2)).await.expect("its row is free").unwrap();
    assert!(Instant::now() - began >= 300 * MS, "it was held up");
    // The one that was stopped wakes: its transaction is gone.
    tx.commit().await.unwrap_err();
    assert!(matches!(pass(1).await.unwrap_err(), FenceError::Fenced(_)));
    assert_eq!(settings(&pooler, "idle_in_transaction_session_timeout").await, ["0"]);
}

/// A pooler that keeps no prepared statements for its clients: PgBouncer before 1.21, or one whose
/// `max_prepared_statements` is 0.
#[tokio::test(flavor = "multi_thread")]
async fn named_statements_fail_in_sessions_that_have_not_prepared_them_and_grant_nothing() {
    let pooler = PgBouncer::start(servers::postgres(), &[]);
    let named = store(config(), pool(&pooler).await).await;
    let beside = super::store(config(), super::pool().await).await;
    let mut errors = Vec::new();
    for _ in 0..20 {
        let calls = (0..8).map(|_| async {
            let name = some_name();
            (named.acquire(&name, &terms()).await, name)
        });
        for (reply, name) in join_all(calls).await {
            if let Err(error) = reply {
                assert!(!is_held(&beside, &name).await);
                errors.push(error);
            }
        }
        if !errors.is_empty() {
            break;
        }
    }
    assert!(!errors.is_empty(), "each statement has met the session that had prepared it");
    for error in errors {
        let told = (error.kind(), error.executed());
        assert_eq!(told, (StoreErrorKind::Misconfigured, Executed::No), "{error:?}");
    }
}
