//! Many at once, each with a handle of its own, as so many processes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use steadfast_core::Snapshot;
use steadfast_idempotency::{
    Answer, Fingerprint, Idempotency, IdempotencyConfig, Outcome, Reason, RecordId,
};

use super::*;

const RACERS: usize = 64;
const ROUNDS: usize = 200;

/// 64 requests race for each of 200 keys: one executes, and the others are given its reply or are
/// told that it is in flight.
async fn race<D>(store: PostgresStore<D>)
where
    D: steadfast_store::Sql + Clone + Sync + 'static,
{
    // Not to wait is the harder way: the later ones meet the record in every state.
    let config = || IdempotencyConfig::new().wait(Duration::ZERO).store_limit(20_000 * MS);
    let processes: Vec<_> =
        (0..RACERS).map(|_| Idempotency::new(config(), store.clone()).unwrap()).collect();
    for round in 0..ROUNDS {
        let id = RecordId::new(random(), round.to_string()).unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let racers: Vec<_> = processes
            .iter()
            .map(|process| {
                let (handle, id, runs) = (process.clone(), id.clone(), Arc::clone(&runs));
                tokio::spawn(async move {
                    let operation = move |_| async move {
                        runs.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        ((), Outcome::Store(Bytes::from("receipt")))
                    };
                    handle.execute(id, Fingerprint::of(["pay"]), operation).await
                })
            })
            .collect();
        for racer in racers {
            match racer.await.unwrap() {
                Ok(Answer::Executed(())) => {}
                Ok(Answer::Replayed(reply)) => assert_eq!(reply, "receipt"),
                Err(refused) => assert_eq!(refused.reason, Reason::InFlight, "round {round}"),
            }
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1, "round {round}");
    }
    let snapshots: Vec<_> = processes.iter().map(Snapshot::snapshot).collect();
    let stored: u64 = snapshots.iter().map(|process| process.stored).sum();
    let replayed: u64 = snapshots.iter().map(|process| process.replayed).sum();
    assert_eq!(stored, ROUNDS as u64);
    assert!(replayed > 0, "some come late enough to be given the reply");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_racers_in_each_of_200_rounds_one_executes_on_deadpool() {
    race(store(PostgresConfig::new(), pool().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_racers_in_each_of_200_rounds_one_executes_on_a_shared_client() {
    race(store(PostgresConfig::new(), client().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_racers_in_each_of_200_rounds_one_executes_on_sqlx() {
    race(store(PostgresConfig::new(), sqlx_pool().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_racers_in_each_of_200_rounds_one_executes_with_unnamed_statements() {
    race(store(PostgresConfig::new().unnamed_statements(), pool().await).await).await;
}

/// Where the database is set up to be strict, statements are rolled back for the sake of others,
/// and run again.
#[tokio::test(flavor = "multi_thread")]
async fn of_64_racers_in_each_of_200_rounds_one_executes_under_serializable() {
    let options = "?options=-c%20default_transaction_isolation%3Dserializable";
    let url = servers::postgres().url() + options;
    let pool = steadfast_store::connect(&url).await.unwrap();
    let mut db = pool.clone();
    let isolation = Statement::unnamed("SELECT current_setting('transaction_isolation')");
    let row = db.run_statement(&isolation, &[]).await.unwrap().unwrap();
    assert_eq!(row.text(0).unwrap(), "serializable");
    race(store(PostgresConfig::new(), pool).await).await;
}
