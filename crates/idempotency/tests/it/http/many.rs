//! Many at once, on each store: one runs, the others get its reply or a 409, and none a 5xx.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use steadfast_core::http::respond;
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, Store, http::IdempotencyLayer,
};

use super::support::{Runs, pay, send, till};

const ROUNDS: u32 = 200;
const PARALLEL: usize = 64;
/// Longer than a round on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// 64 requests with one key at once, 200 times, spread over so many processes as far as the store
/// can tell. Says how many were replayed and how many refused.
async fn rounds<S: Store + Clone>(store: &S, processes: usize, wait: Duration) -> (u64, u64) {
    let runs = Runs::default();
    let config = IdempotencyConfig::new().wait(wait).store_limit(WAIT / 3);
    let handles: Vec<_> =
        (0..processes).map(|_| Idempotency::new(config.clone(), store.clone()).unwrap()).collect();
    let routers: Vec<_> = handles
        .iter()
        .map(|handle| IdempotencyLayer::unscoped(handle.clone()))
        .map(|layer| till(&runs, Duration::ZERO).layer(respond(layer)))
        .collect();
    // Other tests, and other runs, may use the store.
    let unique = rand::random_range(0..u64::MAX);
    let mut refused = 0;
    for round in 1..=ROUNDS {
        let key = format!("{unique:x}-{round}");
        let calls = (0..PARALLEL).map(|n| {
            let (router, request) = (routers[n % processes].clone(), pay("/pay", &key, "5"));
            tokio::spawn(async move { send(&router, request).await })
        });
        let mut texts = BTreeSet::new();
        let mut replays = 0;
        for got in join_all(calls).await {
            let got = got.unwrap();
            match got.status.as_u16() {
                200 => {
                    replays += usize::from(got.is_replayed());
                    texts.insert(got.text);
                }
                409 => {
                    assert_eq!(got.refused(), (409, Some("1")));
                    refused += 1;
                }
                other => panic!("{other} in round {round}"),
            }
        }
        assert_eq!((runs.count(), texts.len()), (round, 1), "round {round}");
        assert!(replays < PARALLEL, "one of them ran");
    }
    (handles.iter().map(|handle| handle.snapshot().replayed).sum(), refused)
}

/// As so many processes as there are requests, which do not wait: they meet the record in every
/// state. And as two, which wait for each other.
async fn all_rounds<S: Store + Clone>(store: &S) {
    let others = u64::from(ROUNDS) * (PARALLEL as u64 - 1);
    let (replayed, refused) = rounds(store, PARALLEL, Duration::ZERO).await;
    assert_eq!(replayed + refused, others);
    assert_eq!(rounds(store, 2, WAIT).await, (others, 0));
}

fn memory() -> MemoryStore {
    MemoryStore::new(MemoryConfig::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_and_the_others_get_its_reply() {
    let (replayed, refused) = rounds(&memory(), 1, WAIT).await;
    assert_eq!((replayed, refused), (u64::from(ROUNDS) * (PARALLEL as u64 - 1), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_and_the_others_get_its_reply_or_are_told_to_come_back() {
    let (replayed, refused) = rounds(&memory(), 1, Duration::ZERO).await;
    assert_eq!(replayed + refused, u64::from(ROUNDS) * (PARALLEL as u64 - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_over_memory() {
    all_rounds(&memory()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_over_sqlite() {
    let directory = crate::sqlite::Directory::new();
    let config = steadfast_idempotency::SqliteConfig::new();
    all_rounds(&crate::sqlite::open(config, &directory.file()).await).await;
}

#[cfg(all(feature = "redis", unix))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_over_redis() {
    all_rounds(&crate::redis::connect(steadfast_testkit::servers::redis()).await).await;
}

#[cfg(all(feature = "deadpool", feature = "sqlx"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_over_postgresql() {
    all_rounds(&crate::postgres::on_a_pool().await).await;
}
