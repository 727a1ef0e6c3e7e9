//! How a store is set up: its table, its statements, its session.

use steadfast_core::Executed;
use steadfast_lease::{RenewReply, Store, StoreErrorKind};

use super::*;
use crate::servers::{granted, some_name, terms};

async fn works(store: &PostgresStore<Pool>) -> bool {
    let (name, owner) = (some_name(), terms());
    granted(store, &name, &owner).await;
    let renewed = store.renew(&name, owner.nonce).await.unwrap();
    let released = store.release(&name, owner.nonce).await.unwrap();
    let purged = store.purge_idle(10).await.unwrap();
    matches!(renewed, RenewReply::Renewed { .. }) && released && purged == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_be_in_a_schema_and_be_called_by_a_word_of_sql() {
    let pool = pool().await;
    run(pool.clone(), "CREATE SCHEMA \"select\"", &[]).await;
    let longest = "t".repeat(52);
    for table in ["user", "select.from", &longest] {
        let store = PostgresStore::new(config().table(table), pool.clone()).unwrap();
        for _ in 0..2 {
            store.migrate().await.unwrap();
        }
        assert!(works(&store).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_migrate_at_once() {
    let migrations = (0..8).map(|_| async {
        let config = config().table("made_at_once");
        PostgresStore::new(config, pool().await).unwrap().migrate().await
    });
    for migrated in futures::future::join_all(migrations).await {
        migrated.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_that_is_documented_makes_the_table() {
    let pool = pool().await;
    let store = PostgresStore::new(config().table("by_hand"), pool.clone()).unwrap();
    let schema = store.schema();
    assert_eq!(schema.replace('"', "").replace("by_hand", "leases"), PostgresConfig::SCHEMA);
    // As a tool for migrations runs it.
    pool.get().await.unwrap().batch_execute(&schema).await.unwrap();
    assert!(works(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_table_a_store_is_misconfigured() {
    let store = PostgresStore::new(config().table("not_there"), pool().await).unwrap();
    let error = store.acquire(&some_name(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Misconfigured, Executed::No));
    let error = store.reap(MS).await;
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}

/// How many prepared statements a connection has.
async fn prepared(client: &SharedClient) -> i64 {
    let count = "SELECT count(*) FROM pg_prepared_statements";
    run(client.clone(), count, &[]).await.unwrap().int(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unnamed_statements_leave_nothing_in_their_connection() {
    for (config, is_unnamed) in [(config(), false), (config().unnamed_statements(), true)] {
        let client = client().await;
        let store = store(config, client.clone()).await;
        let (name, owner) = (some_name(), terms());
        for _ in 0..3 {
            granted(&store, &name, &owner).await;
            store.renew(&name, owner.nonce).await.unwrap();
        }
        assert_eq!(prepared(&client).await, if is_unnamed { 0 } else { 2 });
    }
}

/// As behind a pooler, each statement meets another session.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_changes_nothing_of_its_session() {
    let client = client().await;
    let store = store(config(), client.clone()).await;
    run(client.clone(), "SET synchronous_commit = off", &[]).await;
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    store.renew(&name, owner.nonce).await.unwrap();
    store.release(&name, owner.nonce).await.unwrap();
    let text = "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit')";
    let row = run(client, text, &[]).await.unwrap();
    assert_eq!((row.text(0).unwrap(), row.text(1).unwrap()), ("0", "off"));
}

/// Such as a standby that a pool still leads to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_grants_nothing() {
    let url = servers::postgres().url() + "?options=-c%20default_transaction_read_only%3Don";
    let standby = steadfast_store::connect(&url).await.unwrap();
    let standby = PostgresStore::new(config(), standby).unwrap();
    let primary = store(config(), pool().await).await;
    let (name, owner) = (some_name(), terms());
    let refused = |error: Option<steadfast_lease::StoreError>| {
        let error = error.unwrap();
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
    };
    refused(standby.acquire(&name, &owner).await.err());
    granted(&primary, &name, &owner).await;
    refused(standby.acquire(&name, &terms()).await.err());
    refused(standby.renew(&name, owner.nonce).await.err());
    refused(standby.release(&name, owner.nonce).await.err());
    assert!(standby.observe(&name, None).await.unwrap().held.is_some(), "what it has heard of");
}
