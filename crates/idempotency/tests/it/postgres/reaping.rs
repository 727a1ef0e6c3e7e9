//! Records that have expired.

use steadfast_idempotency::Store;

use super::*;

/// A table of its own, with so many records that have expired.
async fn table(name: &str, expired: i64) -> (Pool, PostgresStore<Pool>) {
    let pool = pool().await;
    let store = store(PostgresConfig::new().table(name), pool.clone()).await;
    let fill = format!(
        "INSERT INTO {name} SELECT int8send(n), '', '', 1, 2, now(), now(),
            now() - n * interval '1 second', '' FROM generate_series(1, $1) AS n"
    );
    pool.clone().run_statement(&Statement::unnamed(fill), &[Value::Int(expired)]).await.unwrap();
    (pool, store)
}

async fn count(pool: &Pool, name: &str) -> i64 {
    let count = Statement::unnamed(format!("SELECT count(*) FROM {name}"));
    pool.clone().run_statement(&count, &[]).await.unwrap().unwrap().int(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_what_has_expired_up_to_its_bound_and_spares_the_living() {
    let (pool, store) = table("purged", 2500).await;
    let (id, owner) = (id(), terms());
    store.claim(&id, &owner).await.unwrap();
    for (most, expected) in [(0, 0), (1, 1), (1499, 1499), (usize::MAX, 1000), (5, 0)] {
        assert_eq!(store.purge_expired(most).await.unwrap(), expected);
    }
    assert_eq!(count(&pool, "purged").await, 1);
    assert!(store.look(&id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_passes_by_what_others_hold() {
    let (pool, store) = table("held", 10).await;
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let hold = Statement::unnamed("SELECT 1 FROM held WHERE id = int8send(3) FOR UPDATE");
    tx.run_statement(&hold, &[]).await.unwrap();
    assert_eq!(store.purge_expired(usize::MAX).await.unwrap(), 9);
    tx.rollback().await.unwrap();
    assert_eq!(store.purge_expired(usize::MAX).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_reapers_remove_each_record_once_while_claims_go_on() {
    let (pool, store) = table("reaped", 5000).await;
    let reapers: Vec<_> = (0..3)
        .map(|_| {
            let reaper = store.clone();
            tokio::spawn(async move { reaper.reap(10 * MS).await })
        })
        .collect();
    // Claims of keys that have expired and are reaped in the same moment.
    let mut claimed = Vec::new();
    for n in 1..=300_i64 {
        let id = RecordId::new("", n.to_be_bytes()).unwrap();
        let owner =
            ClaimTerms { retention: if n % 2 == 0 { LONG } else { MS }, lease: MS, ..terms() };
        let reply = store.claim(&id, &owner).await.unwrap();
        assert!(matches!(reply, ClaimReply::Claimed { .. }));
        if n % 2 == 0 {
            claimed.push(id);
        }
    }
    while count(&pool, "reaped").await > 150 {
        tokio::time::sleep(10 * MS).await;
    }
    tokio::time::sleep(50 * MS).await;
    for id in claimed {
        assert!(store.look(&id).await.unwrap().is_some(), "it lives");
    }
    for reaper in reapers {
        assert!(!reaper.is_finished(), "it goes on");
        reaper.abort();
    }
}
