//! What is kept, for how long, and what costs nothing.

use steadfast_core::Executed;
use steadfast_lease::{AcquireTerms, FencingToken, LeaseName, RenewReply, Store, StoreErrorKind};

use super::*;
use crate::servers::{LONG, granted, is_held, some_name, terms, token};

async fn set(pool: &Pool, name: &LeaseName, change: &str) {
    let text = format!("UPDATE leases SET {change} WHERE name = $1 RETURNING 1");
    let row = run(pool.clone(), &text, &[Value::Bytes(name.as_str().as_bytes())]).await;
    assert!(row.is_some(), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_the_microseconds_of_the_servers_clock() {
    let (pool, name) = (pool().await, some_name());
    let store = store(config(), pool.clone()).await;
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let before = run(pool.clone(), clock, &[]).await.unwrap().int(0).unwrap();
    let token = i64::from(granted(&store, &name, &terms()).await);
    let after = run(pool, clock, &[]).await.unwrap().int(0).unwrap();
    assert!((before..=after).contains(&token), "{before} {token} {after}");
}

/// A release that deleted the row would begin again.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_clock_that_was_ahead_is_kept_over_the_release_and_surpassed() {
    let (store, name, owner) = (store(config(), pool().await).await, some_name(), terms());
    let ahead = token(7_000_000_000_000_000_000);
    let above = granted(&store, &name, &AcquireTerms { floor: Some(ahead), ..owner.clone() }).await;
    assert_eq!(above.get(), ahead.get() + 1);
    assert!(store.release(&name, owner.nonce).await.unwrap());
    assert_eq!(granted(&store, &name, &terms()).await.get(), ahead.get() + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_token_nothing_is_granted() {
    let (store, name) = (store(config(), pool().await).await, some_name());
    let above = |floor: u64| AcquireTerms { floor: Some(token(floor)), ..terms() };
    let last = above(FencingToken::MAX.get() - 1);
    assert_eq!(granted(&store, &name, &last).await, FencingToken::MAX);
    assert!(store.release(&name, last.nonce).await.unwrap());
    for terms in [terms(), above(FencingToken::MAX.get())] {
        let refused = store.acquire(&name, &terms).await.unwrap_err();
        let found = (refused.kind(), refused.executed());
        assert_eq!(found, (StoreErrorKind::Full, Executed::No), "{refused:?}");
    }
}

/// The transaction numbers that the server has given out: only what writes takes one.
async fn written(pool: &Pool) -> i64 {
    let text = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    run(pool.clone(), text, &[]).await.unwrap().int(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_is_not_granted_writes_nothing() {
    // Of its own, since all that is written is counted.
    let server = steadfast_testkit::servers::PostgresServer::start();
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    let store = store(config(), pool.clone()).await;
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    let before = written(&pool).await;
    for _ in 0..10 {
        assert!(is_held(&store, &name).await);
        assert_eq!(store.renew(&name, terms().nonce).await.unwrap(), RenewReply::Taken);
        assert!(!store.release(&name, terms().nonce).await.unwrap());
        store.observe(&name, None).await.unwrap();
    }
    assert_eq!(written(&pool).await, before);
    assert!(matches!(store.renew(&name, owner.nonce).await, Ok(RenewReply::Renewed { .. })));
    assert!(written(&pool).await > before, "a change is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_not_held_for_the_retention_are_purged_and_no_others() {
    let pool = pool().await;
    let table = "purged_leases";
    let store = store(config().table(table).retention(LONG), pool.clone()).await;
    let [idle, expired, fresh, held] = [(); 4].map(|()| some_name());
    for (name, is_released) in [(&idle, true), (&expired, false), (&fresh, true), (&held, false)] {
        let owner = terms();
        granted(&store, name, &owner).await;
        if is_released {
            assert!(store.release(name, owner.nonce).await.unwrap());
        }
    }
    for name in [&idle, &expired] {
        let text = format!(
            "UPDATE {table} SET expires_at = clock_timestamp() - interval '61 min'
             WHERE name = $1 RETURNING 1"
        );
        run(pool.clone(), &text, &[Value::Bytes(name.as_str().as_bytes())]).await.unwrap();
    }
    assert_eq!(store.purge_idle(1).await.unwrap(), 1);
    assert_eq!(store.purge_idle(100).await.unwrap(), 1);
    assert_eq!(store.purge_idle(100).await.unwrap(), 0);
    for (name, is_there) in [(&idle, false), (&expired, false), (&fresh, true), (&held, true)] {
        let view = store.observe(name, None).await.unwrap();
        assert_eq!(view.token.is_some(), is_there);
    }
    assert!(is_held(&store, &held).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_store_has_written_is_corrupt_and_nothing_is_granted_by_it() {
    let pool = pool().await;
    let store = store(config(), pool.clone()).await;
    for (change, errors) in [
        ("holder = '\\xff'", 2),
        ("holder = decode(repeat('78', 256), 'hex')", 2),
        // The other is told who holds it, which needs no token.
        ("token = -1", 1),
    ] {
        let name = some_name();
        granted(&store, &name, &terms()).await;
        set(&pool, &name, change).await;
        let found =
            [store.acquire(&name, &terms()).await.err(), store.observe(&name, None).await.err()];
        let found: Vec<_> = found.into_iter().flatten().collect();
        assert_eq!(found.len(), errors, "{change}: {found:?}");
        for error in found {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{change}: {error:?}");
        }
    }
}

/// A holder counts from before its request, the server from when it has the row.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lasts_for_as_long_as_it_says_also_where_its_row_was_waited_for() {
    let pool = pool().await;
    let store = store(config(), pool.clone()).await;
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    store.release(&name, owner.nonce).await.unwrap();
    let mut locker = pool.get().await.unwrap();
    let tx = locker.transaction().await.unwrap();
    let lock = "SELECT 1 FROM leases WHERE name = $1 FOR UPDATE";
    tx.query(lock, &[&name.as_str().as_bytes()]).await.unwrap();
    let next = AcquireTerms { ttl: 3000 * MS, ..terms() };
    let (granted, ()) = tokio::join!(granted(&store, &name, &next), async {
        tokio::time::sleep(400 * MS).await;
        tx.commit().await.unwrap();
    });
    let left = store.observe(&name, None).await.unwrap().held.unwrap().left;
    assert!(left <= 3000 * MS, "{granted}: {left:?}");
    assert!(is_held(&store, &name).await);
}
