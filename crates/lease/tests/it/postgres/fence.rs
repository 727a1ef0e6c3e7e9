//! The fence of what is kept in PostgreSQL, in transactions of each driver.

use steadfast_lease::{
    FenceMark, FencedReason, FencingToken,
    postgres::{FenceError, FenceTable, fence},
};
use steadfast_testkit::servers::PostgresServer;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::servers::{some_name, token};

/// Microseconds of a clock, as the tokens of stores are.
const NOW: u64 = 1_790_000_000_000_000;

fn at(number: u64) -> FencingToken {
    token(NOW + number)
}

async fn marks(pool: &Pool) {
    let table = FenceTable::new("fence_marks", 5000 * MS).unwrap();
    table.migrate(&mut pool.clone()).await.unwrap();
}

/// A transaction of its own that passes, or does not.
async fn pass(pool: &Pool, resource: &str, mark: impl Into<FenceMark>) -> Result<(), FenceError> {
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    fence(&mut tx, resource, mark).await?;
    tx.commit().await.unwrap();
    Ok(())
}

fn reason(result: Result<(), FenceError>) -> FencedReason {
    match result {
        Err(FenceError::Fenced(fenced)) => fenced.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_refused_and_an_equal_or_newer_one_passes() {
    let (pool, name) = (pool().await, some_name());
    marks(&pool).await;
    for number in [5, 5, 7] {
        pass(&pool, name.as_str(), at(number)).await.unwrap();
    }
    let stale = FencedReason::Stale { presented: at(6), highest: at(7) };
    assert_eq!(reason(pass(&pool, name.as_str(), at(6)).await), stale);
    pass(&pool, name.as_str(), at(7)).await.unwrap();
    pass(&pool, some_name().as_str(), at(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sequence_of_marks_is_judged_by_the_rule_of_all_fences() {
    let pool = pool().await;
    marks(&pool).await;
    let mut seed = 7_u64;
    let mut next = move |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    for _ in 0..6 {
        let (name, mut highest) = (some_name(), None);
        for _ in 0..14 {
            let mark = FenceMark::new(at(next(3)));
            let mark = if next(2) == 0 { mark } else { mark.numbered(next(4)) };
            let expected = mark.check(highest, || FencingToken::MAX).map_err(|error| error.reason);
            let found = pass(&pool, name.as_str(), mark).await;
            match expected {
                Ok(()) => {
                    found.unwrap();
                    highest = Some(mark);
                }
                Err(expected) => assert_eq!(reason(found), expected, "{mark:?} {highest:?}"),
            }
        }
    }
}

/// One that nothing surpasses would close the resource.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_of_a_clock_and_what_is_no_name_is_refused() {
    let (pool, name) = (pool().await, some_name());
    marks(&pool).await;
    let found = reason(pass(&pool, name.as_str(), FencingToken::MAX).await);
    assert!(matches!(found, FencedReason::TooFarAhead { .. }), "{found:?}");
    pass(&pool, name.as_str(), at(1)).await.unwrap();
    for resource in ["", &"x".repeat(256)] {
        assert_eq!(reason(pass(&pool, resource, at(1)).await), FencedReason::Unnamed);
    }
    let beyond = FenceMark::new(at(1)).numbered(u64::MAX);
    assert_eq!(reason(pass(&pool, name.as_str(), beyond).await), FencedReason::Malformed);
}

/// What was refused has raised nothing, and what was rolled back has not either.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_stands_or_falls_with_its_transaction() {
    let (pool, name) = (pool().await, some_name());
    marks(&pool).await;
    pass(&pool, name.as_str(), at(1)).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    fence(&mut tx, name.as_str(), at(9)).await.unwrap();
    tx.rollback().await.unwrap();
    pass(&pool, name.as_str(), at(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_all_drivers_are_fenced() {
    let (pool, name) = (pool().await, some_name());
    marks(&pool).await;
    let url = servers::postgres().url();
    let (mut plain, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut tx = plain.transaction().await.unwrap();
    fence(&mut tx, name.as_str(), at(1)).await.unwrap();
    tx.commit().await.unwrap();

    let sqlx = sqlx_pool().await;
    let mut tx = sqlx.begin().await.unwrap();
    fence(&mut tx, name.as_str(), at(2)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = sqlx.begin().await.unwrap();
    let stale = fence(&mut tx, name.as_str(), at(1)).await;
    assert_eq!(reason(stale), FencedReason::Stale { presented: at(1), highest: at(2) });
}

/// The successor waits for the predecessor's end, and sees what that has written.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_token_waits_for_the_older_transaction_and_a_stale_one_never_passes_it() {
    let (pool, name) = (pool().await, some_name());
    marks(&pool).await;
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    fence(&mut tx, name.as_str(), at(1)).await.unwrap();
    let newer = tokio::spawn({
        let (pool, name) = (pool.clone(), name.clone());
        async move { pass(&pool, name.as_str(), at(2)).await }
    });
    sleep(300 * MS).await;
    assert!(!newer.is_finished(), "it would read what the older is about to write over");
    tx.commit().await.unwrap();
    newer.await.unwrap().unwrap();
    let stale = pass(&pool, name.as_str(), at(1)).await;
    assert!(matches!(reason(stale), FencedReason::Stale { .. }));
}

/// The newcomer has read in one transaction and writes in another. If a server that dies forgot the
/// mark in between, the predecessor's late write would land there, and be undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_outlives_a_server_that_is_killed_also_where_commits_are_not_synchronous() {
    let server = PostgresServer::start();
    let connect = async || steadfast_store::connect(&server.url()).await.unwrap();
    let admin = connect().await;
    marks(&admin).await;
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
        let (pool, name) = (connect().await, some_name());
        let setting = run(pool.clone(), "SELECT current_setting('synchronous_commit')", &[]).await;
        assert_eq!(setting.unwrap().text(0).unwrap(), "off");
        pass(&pool, name.as_str(), at(1)).await.unwrap();
        pass(&pool, name.as_str(), at(2)).await.unwrap();
        server.restart();
        let late = pass(&connect().await, name.as_str(), at(1)).await;
        assert!(matches!(reason(late), FencedReason::Stale { .. }));
    }
}

/// A snapshot from before the newer holder came would not see its mark.
#[tokio::test(flavor = "multi_thread")]
async fn under_repeatable_read_an_older_snapshot_is_told_to_begin_again() {
    let (pool, name) = (pool().await, some_name());
    marks(&pool).await;
    pass(&pool, name.as_str(), at(1)).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let strict = client.build_transaction();
    let strict = strict.isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let mut tx = strict.start().await.unwrap();
    run(&mut tx, "SELECT 1", &[]).await;
    pass(&pool, name.as_str(), at(2)).await.unwrap();
    let again = fence(&mut tx, name.as_str(), at(1)).await.unwrap_err();
    assert!(matches!(again, FenceError::Again(_)), "{again:?}");
    tx.rollback().await.unwrap();
    let stale = pass(&pool, name.as_str(), at(1)).await;
    assert!(matches!(reason(stale), FencedReason::Stale { .. }));
}

/// The setting is of the transaction alone, and what the program has set shorter stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_ends_and_others_are_left_as_they_are() {
    let pool = pool().await;
    marks(&pool).await;
    let told = "SELECT current_setting('idle_in_transaction_session_timeout')";
    for (before, within) in [("0", "5s"), ("1min", "5s"), ("700ms", "700ms"), ("2s", "2s")] {
        let mut client = pool.get().await.unwrap();
        let set = format!("SET idle_in_transaction_session_timeout = '{before}'");
        client.batch_execute(&set).await.unwrap();
        let mut tx = client.transaction().await.unwrap();
        fence(&mut tx, some_name().as_str(), at(1)).await.unwrap();
        let row = run(&mut tx, told, &[]).await.unwrap();
        assert_eq!(row.text(0).unwrap(), within, "{before}");
        tx.commit().await.unwrap();
        let now: String = client.query_one(told, &[]).await.unwrap().get(0);
        assert_eq!(now, before);
        client.batch_execute("RESET ALL").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_stands_still_in_its_transaction_holds_up_its_successor_for_the_limit_only() {
    let (pool, name) = (pool().await, some_name());
    let table = FenceTable::new("short_marks", 600 * MS).unwrap();
    table.migrate(&mut pool.clone()).await.unwrap();
    let mut stopped = pool.get().await.unwrap();
    let mut tx = stopped.transaction().await.unwrap();
    table.pass(&mut tx, name.as_str(), at(1)).await.unwrap();
    let began = Instant::now();
    let mut client = pool.get().await.unwrap();
    let mut next = client.transaction().await.unwrap();
    let passed = table.pass(&mut next, name.as_str(), at(2));
    timeout(Duration::from_secs(10), passed).await.expect("it is let through").unwrap();
    let waited = Instant::now() - began;
    assert!(waited >= 400 * MS, "{waited:?}: it was held up");
    next.commit().await.unwrap();
    // The one that stood still has not passed after all.
    tx.commit().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_table_a_fence_fails_and_nothing_passes() {
    let pool = pool().await;
    let table = FenceTable::new("no_such_marks", 600 * MS).unwrap();
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let error = table.pass(&mut tx, "accounts/7", at(1)).await.unwrap_err();
    assert!(matches!(error, FenceError::Store(_)), "{error:?}");
    assert_eq!(
        table.schema().replace('"', "").replace("no_such_marks", "fence_marks"),
        FenceTable::SCHEMA
    );
}
