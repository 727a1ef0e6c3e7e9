//! Many at once.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use steadfast_core::{Snapshot, http::respond};
use steadfast_idempotency::{IdempotencyConfig, http::IdempotencyLayer};

use super::support::{Runs, handle_of, pay, send, till};

const ROUNDS: u32 = 200;
const PARALLEL: usize = 64;

/// 64 requests with one key at once, 200 times: one run each time.
async fn rounds(wait: Duration) -> (u64, u64) {
    let runs = Runs::default();
    let handle = handle_of(IdempotencyConfig::new().wait(wait));
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    let mut refused = 0;
    for round in 1..=ROUNDS {
        let key = format!("key-{round}");
        let calls = (0..PARALLEL).map(|_| {
            let (router, request) = (router.clone(), pay("/pay", &key, "5"));
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
    (handle.snapshot().replayed, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_and_the_others_get_its_reply() {
    let (replayed, refused) = rounds(Duration::from_secs(30)).await;
    assert_eq!((replayed, refused), (u64::from(ROUNDS) * (PARALLEL as u64 - 1), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_runs_and_the_others_get_its_reply_or_are_told_to_come_back() {
    let (replayed, refused) = rounds(Duration::ZERO).await;
    assert_eq!(replayed + refused, u64::from(ROUNDS) * (PARALLEL as u64 - 1));
}
