//! Files and rows that are damaged.

use std::fs;

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use rusqlite::{Connection, params, types::Value};
use steadfast_core::Executed;
use steadfast_idempotency::{
    Change, RecordId, SqliteConfig, SqliteStore, Store, StoreError, StoreErrorKind,
};

use super::{Directory, claimed, open};
use crate::rivals::{LONG, some_id, taker, terms};

/// Of every operation but the one that heals.
async fn errors(store: &SqliteStore, id: &RecordId) -> Vec<StoreError> {
    let other = terms().token;
    let errors = [
        store.claim(id, &terms()).await.err(),
        store.claim(id, &taker()).await.err(),
        store.renew(id, other, LONG, LONG).await.err(),
        store.complete(id, other, "reply".into(), LONG).await.err(),
        store.release(id, other).await.err(),
        store.abandon(id, other, LONG).await.err(),
        store.look(id).await.err(),
    ];
    errors.into_iter().flatten().collect()
}

async fn record(store: &SqliteStore, is_done: bool) -> RecordId {
    let (id, terms) = (some_id(), terms());
    store.claim(&id, &terms).await.unwrap();
    if is_done {
        let change = store.complete(&id, terms.token, "ok".into(), LONG).await.unwrap();
        assert_eq!(change, Change::Applied);
    }
    id
}

#[tokio::test]
async fn a_row_with_a_part_that_is_wrong_is_corrupt_to_every_operation() {
    let directory = Directory::new();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let db = Connection::open(directory.file()).unwrap();
    let blob = |length| Value::Blob(vec![7; length]);
    let wrong = [
        ("fingerprint", vec![blob(0), blob(31), blob(33)]),
        ("token", vec![blob(0), blob(15), blob(17)]),
        ("attempt", vec![Value::Integer(0), Value::Integer(-1), Value::Integer(1 << 32)]),
        ("state", vec![Value::Integer(-1), Value::Integer(3), Value::Integer(i64::MAX)]),
        ("claimed_at", vec![Value::Integer(-1)]),
        ("lease_until", vec![Value::Integer(i64::MIN)]),
        ("expires_at", vec![Value::Integer(-7)]),
    ];
    let cases = wrong
        .into_iter()
        .flat_map(|(part, values)| values.into_iter().map(move |value| (part, value)));
    for (part, value) in cases {
        for is_done in [false, true] {
            let id = record(&store, is_done).await;
            let set = format!("UPDATE idempotency_records SET {part} = ?2 WHERE id = ?1");
            assert_eq!(db.execute(&set, params![id.as_bytes(), value]).unwrap(), 1);
            assert_corrupt(&store, &id).await;
        }
    }
    // Done without a reply.
    let id = record(&store, true).await;
    let set = "UPDATE idempotency_records SET reply = NULL WHERE id = ?1";
    assert_eq!(db.execute(set, [id.as_bytes()]).unwrap(), 1);
    assert_corrupt(&store, &id).await;
}

async fn assert_corrupt(store: &SqliteStore, id: &RecordId) {
    let errors = errors(store, id).await;
    assert_eq!(errors.len(), 7, "{errors:?}");
    for error in errors {
        let found = (error.kind(), error.executed());
        assert_eq!(found, (StoreErrorKind::Corrupt, Executed::No), "{error:?}");
    }
    // Nothing heals it but an operator's word.
    store.forget(id).await.unwrap();
    assert_eq!(store.look(id).await.unwrap(), None);
    assert_eq!(store.claim(id, &terms()).await.unwrap(), claimed(1));
    assert!(store.forget(id).await.unwrap());
}

/// A table without strict types, such as one that was made by hand.
#[tokio::test]
async fn a_value_of_another_type_is_corrupt() {
    let directory = Directory::new();
    let db = Connection::open(directory.file()).unwrap();
    let schema = SqliteConfig::SCHEMA.replace("STRICT", "").replace("NOT NULL,", ",");
    db.execute_batch(&schema).unwrap();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let text = || Value::Text("never".into());
    for (part, value) in [
        ("fingerprint", text()),
        ("token", Value::Null),
        ("attempt", text()),
        ("state", Value::Real(0.5)),
        ("claimed_at", Value::Null),
        ("lease_until", text()),
        ("expires_at", text()),
        ("reply", Value::Integer(7)),
    ] {
        let id = record(&store, true).await;
        let set = format!("UPDATE idempotency_records SET {part} = ?2 WHERE id = ?1");
        assert_eq!(db.execute(&set, params![id.as_bytes(), value]).unwrap(), 1);
        let error = store.claim(&id, &terms()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{part}: {error:?}");
        // Also where its end cannot be read.
        store.forget(&id).await.unwrap();
        assert_eq!(store.claim(&id, &terms()).await.unwrap(), claimed(1));
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let directory = Directory::new();
    fs::write(directory.file(), "this is a letter to my aunt. ".repeat(999)).unwrap();
    let error = SqliteStore::open(SqliteConfig::new(), directory.file()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::No));
}

/// Bytes of the file that are damaged anywhere but in its first page are found by some operations,
/// which say so, and by others not; none panics, and the processes go on.
#[tokio::test]
async fn whatever_is_damaged_in_a_file_is_an_error_of_a_kind() {
    let mut rng = SmallRng::seed_from_u64(13);
    let (mut corrupt, mut sound) = (0, 0);
    for _ in 0..60 {
        let directory = Directory::new();
        let mut ids = Vec::new();
        {
            let store = open(SqliteConfig::new(), &directory.file()).await;
            for n in 0..40 {
                ids.push(record(&store, n % 2 == 0).await);
            }
        }
        // The last connection has moved the log into the file.
        let mut bytes = fs::read(directory.file()).unwrap();
        for _ in 0..rng.random_range(1..60) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.next_u32().to_le_bytes()[0];
        }
        if rng.random_bool(0.2) {
            bytes.truncate(rng.random_range(0..bytes.len()));
        }
        fs::write(directory.file(), bytes).unwrap();
        match SqliteStore::open(SqliteConfig::new(), directory.file()).await {
            Ok(store) => {
                for id in &ids {
                    let found = errors(&store, id).await;
                    sound += 7 - found.len();
                    for error in found {
                        assert_ne!(error.executed(), Executed::Maybe, "{error:?}");
                        corrupt += usize::from(error.kind() == StoreErrorKind::Corrupt);
                    }
                    let _ = store.forget(id).await;
                }
                let _ = store.purge_expired(usize::MAX).await;
                let _ = store.census().await;
            }
            Err(error) => corrupt += usize::from(error.kind() == StoreErrorKind::Corrupt),
        }
    }
    assert!(corrupt > 100 && sound > 100, "{corrupt} {sound}: both are reached");
}
