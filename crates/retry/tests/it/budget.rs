//! The budget's bound, from one thread and from eight.

use std::{
    cell::RefCell,
    future::Future,
    io,
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use futures::future::{join_all, ready};
use steadfast_core::{
    Backoff, Executed, Grounds, Pushback, Ratio, Refusal, RefusalKind, TimeSource, Verdict, cause,
};
use steadfast_retry::{
    Budget, BudgetConfig, BudgetExhausted, Retry, RetryConfig, RetryLayer, Withdrawal,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn, util::ServiceFn};

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
    // Nothing that could have been drawn on is lost either.
    assert!(calls * 5 + 5 >= requests * 6, "{calls} calls for {requests} requests");
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

/// 100 requests a second for two minutes, in turn through so many handles, which live on or are
/// made for one request: how many of the last window's 1,000 count when the first failure comes.
async fn counted_of_1000(handles: usize, live_on: bool) -> u64 {
    let budget = exactly(20, 10);
    let layer = RetryLayer::new(RetryConfig::new()).budget(budget.clone());
    let answers = layer.layer(Script::new([Ok(7)]));
    let mut services: Vec<_> = (0..handles).map(|_| answers.clone()).collect();
    for request in 0..12_000 {
        let service = &mut services[request as usize % handles];
        if !live_on {
            *service = answers.clone();
        }
        service.ready().await.unwrap().call(request).await.unwrap();
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    budget.snapshot().requests
}

#[tokio::test(start_paused = true)]
async fn the_number_of_handles_takes_no_credit() {
    let mut table = Vec::new();
    for handles in [1, 10, 30, 100, 1000] {
        for live_on in [true, false] {
            table.push((handles, live_on, counted_of_1000(handles, live_on).await));
        }
    }
    // Counts in the handles made 872, 646, 14, none and none of it.
    assert!(table.iter().all(|&(.., counted)| (930..=1000).contains(&counted)), "{table:?}");
}

#[test]
fn every_request_counts_whichever_threads_make_them_and_however_many_come_and_go() {
    let budget = one_window(20);
    let layer = RetryLayer::new(RetryConfig::new()).budget(budget.clone());
    let mut requests = 0;
    for threads in [1, 2, 8, 64, 3, 100] {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    // Several handles a thread, some of which outlive it in other threads' hands.
                    let services = [0; 7].map(|_| layer.layer(service_fn(ready_with)));
                    futures::executor::block_on(async {
                        for mut service in services {
                            for request in 0..100 {
                                service.call(request).await.unwrap();
                            }
                        }
                    });
                });
            }
        });
        requests += threads * 700;
        assert_eq!(budget.snapshot().requests, requests, "after {threads} threads");
    }
}

fn ready_with(request: u32) -> futures::future::Ready<io::Result<u32>> {
    ready(Ok(request))
}

/// A request that is made, and a retry that is given back, while a thread ends: in the destructor
/// of a thread local, when the thread may have no lane of its own any more.
struct CallsAtTheEnd(RefCell<Option<(Budget, Answers)>>);

type Answers = Retry<ServiceFn<fn(u32) -> futures::future::Ready<io::Result<u32>>>, RetryLayer>;

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        if let Some((budget, mut service)) = self.0.take() {
            // No executor: most of them have thread locals themselves.
            let mut call = pin!(service.call(1));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
            budget.deposit();
            drop(budget.try_withdraw(NonZeroU32::MIN));
        }
    }
}

thread_local! {
    static EARLY: CallsAtTheEnd = const { CallsAtTheEnd(RefCell::new(None)) };
    static LATE: CallsAtTheEnd = const { CallsAtTheEnd(RefCell::new(None)) };
}

#[test]
fn what_is_called_while_a_thread_ends_panics_never_and_counts() {
    // Not tokio's clock, which panics there in programs with tokio's feature `test-util`.
    let config = BudgetConfig::new().ratio(Ratio::ZERO).window(Duration::from_secs(3600));
    let budget = Budget::new(config.time_source(TimeSource::Coarse)).unwrap();
    let layer = RetryLayer::new(RetryConfig::new()).budget(budget.clone());
    let answers: Answers = layer.layer(service_fn(ready_with as fn(_) -> _));
    for round in 1..=50 {
        let (calls, late_calls) =
            ((budget.clone(), answers.clone()), (budget.clone(), answers.clone()));
        let thread = thread::spawn(move || {
            let own = calls.0.clone();
            EARLY.with(|early| early.0.replace(Some(calls)));
            own.deposit();
            LATE.with(|late| late.0.replace(Some(late_calls)));
        });
        thread.join().unwrap();
        let snapshot = budget.snapshot();
        assert_eq!((snapshot.requests, snapshot.withdrawn), (5 * round, 0));
    }
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
