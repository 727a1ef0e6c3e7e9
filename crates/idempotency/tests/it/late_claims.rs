//! Claims that a store holds up for longer than their handle waits: they come through later, when
//! the request was refused long ago, and must leave the key free. Over Redis a server that stands
//! still does so, in `redis/faults.rs`; in what order they may come at worst is in `hostile.rs`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use steadfast_idempotency::{AsBytes, Claim, Idempotency, IdempotencyConfig, Reason, Store};

use crate::rivals::{Failed, print, refusal, some_id};

const MS: Duration = Duration::from_millis(1);

/// `hold` holds up what writes until its value is let go by `let_go`.
async fn strand_no_key<S: Store + Clone, H>(
    store: S,
    hold: impl AsyncFn() -> H,
    let_go: impl AsyncFn(H),
) {
    let config = IdempotencyConfig::new().lease(60_000 * MS).store_limit(200 * MS);
    let handle = Idempotency::new(config, store.clone()).unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let id = some_id();
    let pay = async || {
        let runs = Arc::clone(&runs);
        let operation = move |_: Claim| async move {
            Ok::<_, Failed>(Bytes::from((runs.fetch_add(1, Ordering::Relaxed) + 1).to_string()))
        };
        handle.run(id.clone(), print(), AsBytes, operation).await
    };
    let held = hold().await;
    assert_eq!(refusal(pay().await).reason, Reason::Store);
    let_go(held).await;
    // The claims arrive, and are released; that may take as long as the handle waits, twice.
    for _ in 0..200 {
        tokio::time::sleep(50 * MS).await;
        let is_free = store.look(&id).await.is_ok_and(|view| view.is_none());
        if is_free && handle.snapshot().in_flight == 0 {
            break;
        }
    }
    assert_eq!(store.look(&id).await.unwrap(), None, "the key is free long before its lease ends");
    for _ in 0..2 {
        assert_eq!(pay().await.unwrap(), "1");
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_another_writer_of_the_file_holds_up_strand_no_key() {
    let directory = crate::sqlite::Directory::new();
    let config = steadfast_idempotency::SqliteConfig::new();
    let store = crate::sqlite::open(config, &directory.file()).await;
    let hold = async || {
        let beside = rusqlite::Connection::open(directory.file()).unwrap();
        beside.execute_batch("BEGIN IMMEDIATE").unwrap();
        beside
    };
    let let_go = async |beside: rusqlite::Connection| beside.execute_batch("COMMIT").unwrap();
    strand_no_key(store, hold, let_go).await;
}

#[cfg(all(feature = "deadpool", feature = "sqlx"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_a_locked_table_holds_up_strand_no_key() {
    let pool = crate::postgres::pool().await;
    // Unnamed ones are sent whole. One that is prepared first waits there, and is never sent.
    let config = steadfast_idempotency::PostgresConfig::new().unnamed_statements();
    let store = crate::postgres::store(config.table("late_claims"), pool.clone()).await;
    let hold = async || {
        let client = pool.get().await.unwrap();
        client.batch_execute("BEGIN; LOCK TABLE late_claims IN EXCLUSIVE MODE").await.unwrap();
        client
    };
    let let_go = async |client: deadpool_postgres::Object| {
        client.batch_execute("COMMIT").await.unwrap();
    };
    strand_no_key(store, hold, let_go).await;
}
