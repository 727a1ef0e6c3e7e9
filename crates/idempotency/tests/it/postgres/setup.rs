//! How a store is set up: its table, its statements, its session.

use steadfast_core::Executed;
use steadfast_idempotency::{Store, StoreErrorKind};

use super::*;

async fn claims(store: &PostgresStore<Pool>) -> bool {
    let (id, owner) = (id(), terms());
    let claimed = store.claim(&id, &owner).await.unwrap();
    let change = store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap();
    let purged = store.purge_expired(1).await.unwrap();
    matches!(claimed, ClaimReply::Claimed { .. }) && change == Change::Applied && purged == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_be_in_a_schema_and_be_called_by_a_word_of_sql() {
    let pool = pool().await;
    let schema = Statement::unnamed("CREATE SCHEMA \"select\"");
    pool.clone().run_statement(&schema, &[]).await.unwrap();
    let longest = "t".repeat(52);
    for table in ["user", "select.from", &longest] {
        let config = PostgresConfig::new().table(table);
        let store = PostgresStore::new(config, pool.clone()).unwrap();
        for _ in 0..2 {
            store.migrate().await.unwrap();
        }
        assert!(claims(&store).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_migrate_at_once() {
    let migrations = (0..8).map(|_| async {
        let config = PostgresConfig::new().table("made_at_once");
        PostgresStore::new(config, pool().await).unwrap().migrate().await
    });
    for migrated in futures::future::join_all(migrations).await {
        migrated.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_that_is_documented_makes_the_table() {
    let pool = pool().await;
    let store = PostgresStore::new(PostgresConfig::new().table("by_hand"), pool.clone()).unwrap();
    let schema = store.schema();
    assert_eq!(
        schema.replace('"', "").replace("by_hand", "idempotency_records"),
        PostgresConfig::SCHEMA
    );
    assert!(
        schema.contains("INDEX \"by_hand_expires_at\" ON \"by_hand\" (expires_at)"),
        "{schema}"
    );
    // As a tool for migrations runs it.
    let client = pool.get().await.unwrap();
    client.batch_execute(&schema).await.unwrap();
    assert!(claims(&store).await);
}

/// How many prepared statements a connection has.
async fn prepared(client: &SharedClient) -> i64 {
    let count = Statement::unnamed("SELECT count(*) FROM pg_prepared_statements");
    client.clone().run_statement(&count, &[]).await.unwrap().unwrap().int(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unnamed_statements_leave_nothing_in_their_connection() {
    for (config, is_unnamed) in
        [(PostgresConfig::new(), false), (PostgresConfig::new().unnamed_statements(), true)]
    {
        let client = client().await;
        let store = store(config, client.clone()).await;
        let (id, owner) = (id(), terms());
        for _ in 0..3 {
            store.claim(&id, &owner).await.unwrap();
            let change = store.renew(&id, owner.token, LONG, LONG).await.unwrap();
            assert_eq!(change, Change::Applied);
        }
        assert_eq!(prepared(&client).await, if is_unnamed { 0 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_changes_nothing_of_its_session() {
    let client = client().await;
    let store = store(PostgresConfig::new(), client.clone()).await;
    let set = Statement::unnamed("SET synchronous_commit = off");
    client.clone().run_statement(&set, &[]).await.unwrap();
    let (id, owner) = (id(), terms());
    store.claim(&id, &owner).await.unwrap();
    assert_eq!(store.abandon(&id, owner.token, LONG).await.unwrap(), Change::Applied);
    let text = "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit')";
    let row = client.clone().run_statement(&Statement::unnamed(text), &[]).await;
    let row = row.unwrap().unwrap();
    assert_eq!((row.text(0).unwrap(), row.text(1).unwrap()), ("0", "off"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_a_transaction_changes_nothing_of_its_settings() {
    let pool = pool().await;
    let store = store(PostgresConfig::new(), pool.clone()).await;
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let (id, owner) = (id(), terms());
    store.claim_in(&mut tx, &id, &owner).await.unwrap();
    let change = store.complete_in(&mut tx, &id, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    let change = store.complete_in(&mut tx, &id, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Lost, "a second effect must not come with it");
    let wait = Statement::unnamed("SELECT current_setting('lock_timeout')");
    let row = tx.run_statement(&wait, &[]).await.unwrap().unwrap();
    assert_eq!(row.text(0).unwrap(), "0");
}

/// Such as a standby that a pool still leads to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_claims_nothing() {
    let url = servers::postgres().url() + "?options=-c%20default_transaction_read_only%3Don";
    let standby = steadfast_store::connect(&url).await.unwrap();
    let standby = PostgresStore::new(PostgresConfig::new(), standby).unwrap();
    store(PostgresConfig::new(), pool().await).await;
    let id = id();
    assert_eq!(standby.look(&id).await.unwrap(), None);
    let error = standby.claim(&id, &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_nowhere_says_why() {
    use StoreErrorKind::{Misconfigured, Unavailable};
    let url = servers::postgres().url();
    let closed = steadfast_testkit::loopback().unwrap().1;
    for (url, kind) in [
        ("not a url".to_owned(), Misconfigured),
        ("postgres://localhost?unknown=1".to_owned(), Misconfigured),
        (format!("{url}_no_such_database"), Misconfigured),
        (url.replace("postgres@", "nobody@"), Misconfigured),
        // The server speaks no TLS, or this build does not.
        (
            format!("{url}?sslmode=require"),
            if cfg!(feature = "tls") { Unavailable } else { Misconfigured },
        ),
        (format!("postgres://postgres:secret@127.0.0.1:{}/postgres", closed.port()), Unavailable),
    ] {
        let error = steadfast_store::connect(&url).await.unwrap_err();
        assert_eq!((error.kind(), error.executed()), (kind, Executed::No), "{url}: {error:?}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

/// A transaction's own `now()` is when it began.
#[tokio::test(flavor = "multi_thread")]
async fn time_is_the_clocks_and_not_the_transactions() {
    let pool = pool().await;
    let store = store(PostgresConfig::new(), pool.clone()).await;
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let began = Statement::unnamed("SELECT 1 FROM now()");
    tx.run_statement(&began, &[]).await.unwrap();
    tokio::time::sleep(1500 * MS).await;
    let (id, owner) = (id(), ClaimTerms { lease: 1200 * MS, ..terms() });
    store.claim_in(&mut tx, &id, &owner).await.unwrap();
    tx.commit().await.unwrap();
    let view = store.look(&id).await.unwrap().unwrap();
    assert!(view.age < 1200 * MS, "{:?}", view.age);
    assert!(matches!(view.state, steadfast_idempotency::ViewState::InFlight { .. }));
}
