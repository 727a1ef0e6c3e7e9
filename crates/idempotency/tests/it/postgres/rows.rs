//! What stands in rows, and what does not.

use steadfast_core::Executed;
use steadfast_idempotency::{
    AsBytes, Idempotency, IdempotencyConfig, Reason, Refused, Store, StoreErrorKind,
};

use super::*;
use crate::support::{Failed, refused};

/// What shows whether a row was written or locked.
async fn versions(pool: &Pool, id: &RecordId) -> String {
    let text = "SELECT concat_ws(' ', ctid, xmin, xmax) FROM idempotency_records WHERE id = $1";
    let mut db = pool.clone();
    let row = db.run_statement(&Statement::named(text), &[Value::Bytes(id.as_bytes())]).await;
    row.unwrap().unwrap().text(0).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_writes_nothing_in_any_state() {
    // Alone on a server, so that each transaction that writes anything shows in its counter.
    let server = Box::leak(Box::new(servers::PostgresServer::start()));
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    let store = store(PostgresConfig::new(), pool.clone()).await;
    let next = Statement::named("SELECT pg_snapshot_xmax(pg_current_snapshot())::text");
    let next = async || {
        let row = pool.clone().run_statement(&next, &[]).await.unwrap().unwrap();
        row.text(0).unwrap().to_owned()
    };
    let (id, owner) = (id(), terms());
    let mismatch = ClaimTerms { fingerprint: Fingerprint::of(["other"]), ..taker() };
    assert!(matches!(store.claim(&id, &owner).await.unwrap(), ClaimReply::Claimed { .. }));
    for state in ["in flight", "abandoned", "done"] {
        match state {
            "abandoned" => {
                let change = store.abandon(&id, owner.token, LONG).await.unwrap();
                assert_eq!(change, Change::Applied);
            }
            "done" => {
                let change = store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap();
                assert_eq!(change, Change::Applied);
            }
            _ => {}
        }
        let before = (next().await, versions(&pool, &id).await);
        for duplicate in [terms(), taker(), mismatch] {
            let reply = store.claim(&id, &duplicate).await.unwrap();
            assert!(!matches!(reply, ClaimReply::Claimed { .. }), "{state}: {reply:?}");
        }
        assert!(store.look(&id).await.unwrap().is_some());
        assert_eq!((next().await, versions(&pool, &id).await), before, "{state}");
    }
}

/// Each is what this store never writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_no_record_is_a_typed_error_and_is_left_as_it_is() {
    let pool = pool().await;
    let store = store(PostgresConfig::new(), pool.clone()).await;
    for (damage, is_seen) in [
        ("token = '\\x0102'", true),
        ("fingerprint = fingerprint || '\\x00'", true),
        ("attempt = 0", true),
        ("attempt = -7", true),
        ("attempt = 4294967296", true),
        ("state = 3", true),
        ("state = -1", true),
        ("state = 2, reply = NULL", true),
        ("lease_until = 'infinity'", true),
        // As long as it is in flight nothing is wrong with it.
        ("reply = 'x'", false),
    ] {
        let (id, owner) = (id(), terms());
        store.claim(&id, &owner).await.unwrap();
        let damage =
            Statement::unnamed(format!("UPDATE idempotency_records SET {damage} WHERE id = $1"));
        pool.clone().run_statement(&damage, &[Value::Bytes(id.as_bytes())]).await.unwrap();
        let before = versions(&pool, &id).await;
        let answers = [
            store.claim(&id, &terms()).await.map(drop),
            store.claim(&id, &taker()).await.map(drop),
            store.look(&id).await.map(drop),
        ];
        for answer in answers {
            match answer {
                Ok(()) => assert!(!is_seen, "{damage:?}"),
                Err(error) => {
                    assert!(is_seen, "{damage:?}: {error:?}");
                    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage:?}");
                    assert_eq!(error.executed(), Executed::No);
                }
            }
        }
        assert_eq!(versions(&pool, &id).await, before, "{damage:?}");
        assert!(store.forget(&id).await.unwrap(), "an operator can remove it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_record_is_damaged_is_refused_and_not_run() {
    let pool = pool().await;
    let store = store(PostgresConfig::new(), pool.clone()).await;
    let id = id();
    store.claim(&id, &terms()).await.unwrap();
    let damage = Statement::unnamed("UPDATE idempotency_records SET state = 9 WHERE id = $1");
    pool.clone().run_statement(&damage, &[Value::Bytes(id.as_bytes())]).await.unwrap();
    let handle = Idempotency::new(IdempotencyConfig::new(), store).unwrap();
    let operation = |_| async { unreachable!("it may have been executed") };
    let answer = handle.run::<_, Failed, _, _, _>(id, print(), AsBytes, operation).await;
    assert_eq!(refused(answer), Refused::unreadable());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_name_and_a_long_reply_are_kept() {
    let store = store(PostgresConfig::new(), pool().await).await;
    let key: Vec<u8> =
        (0..1024_u32).map(|n| n.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
    let id = RecordId::new("", key).unwrap();
    store.forget(&id).await.unwrap();
    let owner = terms();
    assert!(matches!(store.claim(&id, &owner).await.unwrap(), ClaimReply::Claimed { .. }));
    let reply = bytes::Bytes::from(vec![7; 4 << 20]);
    let change = store.complete(&id, owner.token, reply.clone(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    assert_eq!(store.claim(&id, &terms()).await.unwrap(), ClaimReply::Done { reply });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_or_a_retention_of_any_length_is_kept() {
    let store = store(PostgresConfig::new(), pool().await).await;
    for span in [Duration::MAX, Duration::from_secs(u32::MAX.into()), Duration::from_nanos(1)] {
        let (id, owner) = (id(), ClaimTerms { lease: span, retention: LONG, ..terms() });
        assert!(matches!(store.claim(&id, &owner).await.unwrap(), ClaimReply::Claimed { .. }));
        let change = store.renew(&id, owner.token, span, span).await.unwrap();
        assert_eq!(change, Change::Applied);
        assert_eq!(store.abandon(&id, owner.token, span).await.unwrap(), Change::Applied);
        let kept = span.max(LONG);
        let change = store.complete(&id, owner.token, "ok".into(), kept).await.unwrap();
        assert_eq!(change, Change::Applied);
        assert!(store.look(&id).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_a_column_or_a_right_is_a_misconfigured_store() {
    let pool = pool().await;
    let run = async |text: &str| {
        pool.clone().run_statement(&Statement::unnamed(text), &[]).await.unwrap();
    };
    run("CREATE TABLE not_ours (id bytea PRIMARY KEY)").await;
    run("CREATE ROLE stranger LOGIN").await;
    store(PostgresConfig::new(), pool.clone()).await;
    let url = servers::postgres().url().replace("postgres@", "stranger@");
    let stranger = steadfast_store::connect(&url).await.unwrap();
    for (table, db) in [
        ("nowhere", pool.clone()),
        ("no_schema.records", pool.clone()),
        ("not_ours", pool.clone()),
        ("idempotency_records", stranger.clone()),
    ] {
        let store = PostgresStore::new(PostgresConfig::new().table(table), db).unwrap();
        let (id, owner) = (id(), terms());
        let errors = [
            store.claim(&id, &owner).await.map(drop).unwrap_err(),
            store.renew(&id, owner.token, LONG, LONG).await.map(drop).unwrap_err(),
            store.complete(&id, owner.token, "".into(), LONG).await.map(drop).unwrap_err(),
            store.release(&id, owner.token).await.map(drop).unwrap_err(),
            store.abandon(&id, owner.token, LONG).await.map(drop).unwrap_err(),
            store.look(&id).await.map(drop).unwrap_err(),
            store.forget(&id).await.map(drop).unwrap_err(),
            store.purge_expired(1).await.map(drop).unwrap_err(),
            store.reap(MS).await,
        ];
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{table}: {error:?}");
            assert_eq!(error.executed(), Executed::No);
        }
        let handle = Idempotency::new(IdempotencyConfig::new(), store).unwrap();
        let operation = |_| async { unreachable!("its key was not claimed") };
        let answer = handle.run::<_, Failed, _, _, _>(id, print(), AsBytes, operation).await;
        assert_eq!(refused(answer).reason, Reason::Store);
    }
    let store = PostgresStore::new(PostgresConfig::new().table("anew"), stranger).unwrap();
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_a_key_or_a_token() {
    let pool = pool().await;
    store(PostgresConfig::new(), pool.clone()).await;
    // The server's detail of a broken constraint quotes the row.
    let text = "CREATE TABLE quoting (LIKE idempotency_records INCLUDING ALL, CHECK (attempt > 9))";
    pool.clone().run_statement(&Statement::unnamed(text), &[]).await.unwrap();
    let store = PostgresStore::new(PostgresConfig::new().table("quoting"), pool).unwrap();
    let id = RecordId::new("alice", "a secret key").unwrap();
    let error = store.claim(&id, &terms()).await.unwrap_err();
    let shown = format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap());
    assert!(shown.contains("23514"), "{shown}");
    let hex: String = b"a secret key".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!shown.contains(&hex) && !shown.contains("secret"), "{shown}");
}
