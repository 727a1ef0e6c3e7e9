//! The budget's bound, from one thread and from eight.

use std::{
    io,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use futures::future::{join_all, ready};
use steadfast_core::{
    Backoff, Executed, Grounds, Pushback, Ratio, Refusal, RefusalKind, Snapshot, TimeSource,
    Verdict, cause,
};
use steadfast_retry::{Budget, BudgetConfig, BudgetExhausted, RetryConfig, RetryLayer, Withdrawal};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{REFUSED, Script, attempts, exactly, steady};

/// A window that no test outlives, so that the whole run is one window.
fn one_window(percent: u8) -> Budget {
    let config = BudgetConfig::new().ratio(Ratio::percent(percent)).floor_per_second(0);
    Budget::new(config.window(Duration::from_secs(3600))).unwrap()
}

fn failing_from(threads: u64, requests_each: u64) {
    let budget = one_window(20);
    let layer = RetryLayer::new(RetryConfig::new().attempts(attempts(5)).backoff(Backoff::NONE))
        .budget(budget.clone());
    let calls = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let mut service = layer.layer(service_fn(|_: u32| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    ready(Err::<u32, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
                }));
                runtime.block_on(async {
                    for request in 0..requests_each {
                        service.ready().await.unwrap().call(request as u32).await.unwrap_err();
                    }
                });
            });
        }
    });
    let (requests, calls) = (threads * requests_each, calls.into_inner());
    assert!(calls * 5 <= requests * 6, "{calls} calls for {requests} requests");
    // Nothing that could have been drawn on is lost either, but for what each handle had in its
    // pocket at the first failure.
    assert!(calls * 5 + threads * 5 >= requests * 6, "{calls} calls for {requests} requests");
    assert_eq!(budget.snapshot().requests, requests);
}

#[test]
fn under_total_failure_one_thread_sends_at_most_one_point_two_attempts_a_request() {
    failing_from(1, 2000);
}

#[test]
fn under_total_failure_eight_threads_send_at_most_one_point_two_attempts_a_request() {
    failing_from(8, 1000);
}

#[test]
fn eight_threads_on_the_bare_budget_never_overdraw_and_lose_nothing() {
    let budget = one_window(20);
    let granted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    budget.deposit();
                    if budget.try_withdraw(NonZeroU32::MIN).map(Withdrawal::spend).is_ok() {
                        granted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(granted.into_inner(), 8 * 5000 / 5);
}

#[tokio::test(start_paused = true)]
async fn ten_failing_requests_at_twenty_per_cent_are_two_retries() {
    let layer = RetryLayer::new(steady().attempts(attempts(2))).budget(one_window(20));
    let script = Script::new([REFUSED]);
    let mut service = layer.layer(script.clone());
    for request in 0..10 {
        service.ready().await.unwrap().call(request).await.unwrap_err();
    }
    assert_eq!(script.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn clones_layers_and_services_share_the_budget() {
    let budget = exactly(0, 1);
    let layers: Vec<_> = (0..3)
        .map(|_| RetryLayer::new(steady().attempts(attempts(2))).budget(budget.clone()))
        .collect();
    let script = Script::new([REFUSED]);
    let services = layers
        .iter()
        .flat_map(|layer| [layer.layer(script.clone()), layer.clone().layer(script.clone())]);
    let calls =
        services.flat_map(|service| [service.clone(), service]).map(|service| service.oneshot(1));
    let outcomes = join_all(calls.collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(script.calls(), 12 + 10);
}

#[tokio::test(start_paused = true)]
async fn after_idle_years_the_budget_is_as_good_as_new_and_as_quick() {
    let budget = exactly(20, 1);
    for gap_days in [0, 1, 30, 365, 3650] {
        tokio::time::advance(Duration::from_secs(gap_days * 24 * 3600)).await;
        tokio::time::advance(Duration::from_secs(11)).await;
        let start = TimeSource::Coarse.now();
        let granted = (0..100)
            .filter(|_| budget.try_withdraw(NonZeroU32::MIN).map(Withdrawal::spend).is_ok())
            .count();
        assert_eq!(granted, 10, "after {gap_days} days");
        // The bug this guards against took 264 ms after 30 days and 2.7 s after a year.
        assert!(TimeSource::Coarse.now() - start < Duration::from_millis(100));
    }
}

/// Sends 100 requests a second that all fail, and are all told to come back at the next multiple of
/// `slot_ms`; returns the most attempts a request in any window, by the times at which they were
/// sent.
async fn worst_window(window_s: u64, slot_ms: u64) -> f64 {
    let start = Instant::now();
    let classify = move |_: Result<&u32, &io::Error>| {
        let since = u64::try_from((Instant::now() - start).as_millis()).unwrap();
        Verdict::Transient {
            executed: Executed::No,
            pushback: Pushback::After(Duration::from_millis(slot_ms - since % slot_ms)),
        }
    };
    let budget =
        Budget::new(BudgetConfig::new().floor_per_second(0).window(Duration::from_secs(window_s)))
            .unwrap();
    let config = RetryConfig::new().attempts(attempts(2)).backoff(Backoff::NONE);
    let config = config.retry_after_limit(Duration::from_millis(slot_ms));
    let layer = RetryLayer::new(config).budget(budget).classify(classify);
    let sends = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sends);
    let service = layer.layer(service_fn(move |_: u32| {
        log.lock().unwrap().push((Instant::now() - start).as_millis());
        ready(Err::<u32, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
    }));
    let mut calls = Vec::new();
    for request in 0..7000 {
        calls.push(tokio::spawn(service.clone().oneshot(request)));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    join_all(calls).await;
    let (sends, window_ms) = (sends.lock().unwrap(), u128::from(window_s) * 1000);
    let in_window = |from: u128| {
        sends.partition_point(|&at| at < from + window_ms) - sends.partition_point(|&at| at < from)
    };
    let worst = (10_000..60_000).step_by(10).map(in_window).max().unwrap();
    worst as f64 / (window_ms / 10) as f64
}

#[tokio::test(start_paused = true)]
async fn the_bound_holds_by_the_time_of_sending_though_all_wait_for_the_same_moment() {
    for (window_s, slot_ms) in [(10, 2000), (1, 2000), (10, 30_000)] {
        let worst = worst_window(window_s, slot_ms).await;
        // A window of a second holds 100 requests, and one more or less at its edges.
        assert!(
            (1.0..=1.211).contains(&worst),
            "{worst} attempts a request in {window_s} s, told to wait up to {slot_ms} ms"
        );
    }
}

#[test]
fn an_exhausted_budget_says_so_as_a_refusal() {
    let error = exactly(0, 0).try_withdraw(NonZeroU32::MIN).unwrap_err();
    assert_eq!(error, BudgetExhausted::new());
    assert_eq!(error.to_string(), "the retry budget is exhausted");
    assert_eq!((error.kind(), error.executed()), (RefusalKind::TooMany, Executed::No));
    assert_eq!(cause::<Grounds>(&error), Some(&error.grounds()));
}

#[test]
fn works_without_a_runtime_and_on_the_coarse_clock() {
    let budget =
        Budget::new(BudgetConfig::new().floor_per_second(1).time_source(TimeSource::Coarse))
            .unwrap();
    let granted = (0..100)
        .filter(|_| budget.try_withdraw(NonZeroU32::MIN).map(Withdrawal::spend).is_ok())
        .count();
    assert_eq!(granted, 10);
    assert!(format!("{budget:?}").contains("withdrawn: 10"), "{budget:?}");
}
