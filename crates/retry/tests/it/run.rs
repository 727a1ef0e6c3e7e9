//! Without tower: an operation under the rules of a layer.

use std::{
    cell::{Cell, RefCell},
    io,
    time::Duration,
};

use futures::{FutureExt, future::pending, poll};
use steadfast_core::{Backoff, Deadline, EveryError, TimeSource, Verdict};
use steadfast_retry::{BudgetConfig, RetryConfig, RetryLayer};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use crate::support::{BROKEN, REFUSED, Reply, Script, ample, attempts, exactly, steadily};

/// The replies of a script, and which attempts asked for them.
async fn run(layer: &RetryLayer, replies: &[Reply]) -> (Reply, Vec<u32>) {
    let asked = RefCell::new(Vec::new());
    let outcome = layer.run(|attempt| {
        let number = attempt.number();
        asked.borrow_mut().push(number);
        let reply = replies[(number as usize - 1).min(replies.len() - 1)];
        async move { reply.map_err(io::Error::from) }
    });
    let outcome = outcome.await.map_err(|error| error.kind());
    (outcome, asked.into_inner())
}

#[tokio::test(start_paused = true)]
async fn only_what_was_not_executed_is_made_again_and_each_attempt_is_numbered() {
    let layer = steadily();
    assert_eq!(run(&layer, &[REFUSED, REFUSED, Ok(7)]).await, (Ok(7), vec![1, 2, 3]));
    assert_eq!(run(&layer, &[REFUSED, BROKEN, Ok(7)]).await, (BROKEN, vec![1, 2]));
    assert_eq!(run(&layer, &[REFUSED]).await, (REFUSED, vec![1, 2, 3]), "the last failure");
}

#[tokio::test(start_paused = true)]
async fn by_the_callers_word_all_failures_are() {
    let retry = steadily().idempotent();
    let made = Cell::new(0);
    let outcome = retry.run(async |_| {
        made.set(made.get() + 1);
        if made.get() < 3 { Err(io::Error::from(io::ErrorKind::BrokenPipe)) } else { Ok(()) }
    });
    outcome.await.unwrap();
    assert_eq!(made.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn it_waits_as_the_service_does_by_the_same_seed() {
    let layer = || {
        let backoff =
            Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1)).unwrap();
        let config = RetryConfig::new().attempts(attempts(6)).backoff(backoff).seed(7);
        RetryLayer::new(config).budget(ample())
    };
    let began = Instant::now();
    assert_eq!(run(&layer(), &[REFUSED]).await.0, REFUSED);
    let by_itself = Instant::now() - began;
    let began = Instant::now();
    layer().layer(Script::new([REFUSED])).oneshot(0).await.unwrap_err();
    assert_eq!(by_itself, Instant::now() - began);
    assert!(by_itself > Duration::from_millis(20), "{by_itself:?}");
}

#[tokio::test(start_paused = true)]
async fn runs_and_requests_draw_on_one_budget() {
    // A retry for each ten.
    let budget = exactly(10, 0);
    let layer = RetryLayer::new(RetryConfig::new().attempts(attempts(2))).budget(budget.clone());
    for _ in 0..9 {
        assert_eq!(run(&layer, &[Ok(1)]).await.0, Ok(1));
    }
    let asked = |(_, asked): (Reply, Vec<u32>)| asked.len();
    assert_eq!(asked(run(&layer, &[REFUSED]).await), 2);
    assert_eq!(asked(run(&layer, &[REFUSED]).await), 1, "the budget is exhausted");
    let snapshot = budget.snapshot();
    assert_eq!((snapshot.requests, snapshot.withdrawn), (11, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_in_its_wait_it_gives_the_retry_back() {
    let budget = steadfast_retry::Budget::new(BudgetConfig::new().floor_per_second(1)).unwrap();
    let layer = steadily().budget(budget.clone());
    let mut waits = Box::pin(run(&layer, &[REFUSED]));
    assert!(poll!(&mut waits).is_pending());
    assert_eq!(budget.snapshot().withdrawn, 1);
    drop(waits);
    assert_eq!(budget.snapshot().withdrawn, 0);
    // Dropped in an attempt that is under way, there is nothing to give back.
    let hangs = layer.run(|_| pending::<io::Result<()>>());
    assert!(hangs.now_or_never().is_none());
    assert_eq!(budget.snapshot().withdrawn, 0);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_decided_on_that_could_not_begin_before_the_deadline() {
    let made = Cell::new(0);
    // The layer waits a second between attempts.
    let deadline = Deadline::after(TimeSource::Tokio.now(), Duration::from_millis(1500));
    let began = Instant::now();
    let outcome = steadily().run_until(deadline, async |_| {
        made.set(made.get() + 1);
        Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    assert_eq!(outcome.await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!((made.get(), Instant::now() - began), (2, Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn the_classifier_judges_errors_of_any_type_and_results() {
    // An error type that is no `Failure`, and is certain to have been executed or not.
    let every = steadily().classify(EveryError).idempotent();
    let outcome = every.run(async |attempt| match attempt.number() {
        1 => Err("not yet"),
        number => Ok(number),
    });
    assert_eq!(outcome.await, Ok(2));
    let not_empty =
        steadily().idempotent().classify(|outcome: Result<&Vec<u8>, &&str>| match outcome {
            Ok(found) if found.is_empty() => Verdict::throttled(),
            Err(&"none such") => Verdict::Success,
            _ => Verdict::Permanent,
        });
    let outcome = not_empty.run(async |attempt| Ok(vec![7; attempt.number() as usize - 1]));
    assert_eq!(outcome.await, Ok(vec![7]));
    assert_eq!(not_empty.run(async |_| Err("none such")).await, Err("none such"));
    assert_eq!(not_empty.run(async |_| Err("broken")).await, Err("broken"));
}

#[tokio::test]
async fn a_run_can_be_spawned_and_outlives_its_layer() {
    let spawned = {
        let retry = RetryLayer::default().idempotent();
        tokio::spawn(retry.run(|_| async { Ok::<_, io::Error>(7) }))
    };
    assert_eq!(spawned.await.unwrap().unwrap(), 7);
}
