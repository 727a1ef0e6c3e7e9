//! Calls that are let go on beyond their limit, and every way in which one can end.

use std::{cell::Cell, panic::AssertUnwindSafe, rc::Rc, time::Duration};

use futures::FutureExt;
use steadfast_core::{Deadline, Verdict};
use steadfast_testkit::Traffic;
use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit, TimeoutLayer};
use tokio::time::{Instant as Now, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{MS, adaptive, never, ok, quantile, settled};

const SECOND: Duration = Duration::from_secs(1);

/// A limit of 100.66 ms.
async fn warm() -> TimeLimit {
    let limit = adaptive();
    settled(&limit).await;
    limit
}

/// How long a call that is never answered waits, as its refusal and as the clock say.
async fn waits(limit: &TimeLimit) -> Duration {
    let start = Now::now();
    let elapsed = limit.run(never()).await.unwrap_err();
    let waited = Now::now() - start;
    assert!(waited.abs_diff(elapsed.limit + elapsed.explored) <= 2 * MS, "{elapsed:?}");
    elapsed.limit + elapsed.explored
}

/// Whether it is `times` the limit.
fn is_times(waited: Duration, limit: &TimeLimit, times: u32) -> bool {
    waited.abs_diff(times * limit.limit()) < MS
}

#[tokio::test(start_paused = true)]
async fn an_explorer_finds_the_answer_and_the_limit_follows_at_once() {
    let limit = warm().await;
    limit.run(ok(sleep(180 * MS))).await.unwrap();
    let state = limit.snapshot();
    assert_eq!((state.explorations, state.samples), (1, 101));
    assert!(state.held.unwrap().abs_diff(360 * MS) < MS && state.limit == state.held.unwrap());
}

#[tokio::test(start_paused = true)]
async fn each_try_in_vain_goes_twice_as_far_and_the_refusal_tells_how_far() {
    let limit = warm().await;
    let given = limit.limit();
    for times in [2, 4, 8, 16] {
        let elapsed = limit.run(never()).await.unwrap_err();
        assert_eq!(elapsed.limit, given);
        assert!(is_times(elapsed.limit + elapsed.explored, &limit, times), "{elapsed:?}");
        limit.record(50 * MS);
    }
    assert_eq!(limit.snapshot().explorations, 4);
    let text = Elapsed::after(100 * MS).with_explored(300 * MS).to_string();
    assert_eq!(text, "no answer within 100 ms, nor in 300 ms more");
}

#[tokio::test(start_paused = true)]
async fn an_answer_speaks_for_all_that_expired_unexplored() {
    let limit = warm().await;
    (0..10).for_each(|_| limit.record_timeout(limit.limit()));
    assert_eq!(limit.snapshot().samples, 100, "an expiry is no sample");
    limit.run(ok(sleep(180 * MS))).await.unwrap();
    assert_eq!(limit.snapshot().samples, 111);
    limit.run(ok(sleep(600 * MS))).await.unwrap();
    assert_eq!(limit.snapshot().samples, 112, "they are spoken for");
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_calls_that_expire_together_two_go_on() {
    let limit = warm().await;
    let mut calls: Vec<_> = (0..100).map(|_| tokio_test::task::spawn(limit.run(never()))).collect();
    calls.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    tokio::time::advance(limit.limit() + MS).await;
    let waiting: usize = calls.iter_mut().map(|call| usize::from(call.poll().is_pending())).sum();
    assert_eq!(waiting, 2);
    assert_eq!(limit.snapshot().explorations, 2);
}

/// The one exploration of a warm limit has ended, and said nothing: its place is free, and the next
/// one goes to twice the limit too.
async fn has_said_nothing(limit: &TimeLimit) {
    let state = limit.snapshot();
    assert_eq!((state.explorations, state.samples, state.held), (1, 100, None));
    let waited = waits(limit).await;
    assert!(is_times(waited, limit, 2), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_explorer_that_is_dropped_gives_its_place_back_and_says_nothing() {
    let limit = warm().await;
    assert!(tokio::time::timeout(150 * MS, limit.run(never())).await.is_err(), "dropped");
    has_said_nothing(&limit).await;
}

#[tokio::test(start_paused = true)]
async fn an_explorer_that_panics_or_whose_classifier_does_gives_its_place_back() {
    let limit = warm().await;
    let panics = async {
        sleep(150 * MS).await;
        panic!("on purpose");
    };
    assert!(AssertUnwindSafe(limit.run(ok(panics))).catch_unwind().await.is_err());
    has_said_nothing(&limit).await;

    let limit = warm().await;
    let judge = |_: Result<&(), &Elapsed>| -> Verdict { panic!("on purpose") };
    let call = limit.run_judged(ok(sleep(150 * MS)), judge);
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    has_said_nothing(&limit).await;
}

#[tokio::test(start_paused = true)]
async fn an_explorer_that_fails_gives_its_place_back_and_is_no_sample() {
    let limit = warm().await;
    let fails = async {
        sleep(150 * MS).await;
        Err::<(), BoxError>("failed".into())
    };
    assert_eq!(limit.run(fails).await.unwrap_err().to_string(), "failed");
    has_said_nothing(&limit).await;
}

#[tokio::test(start_paused = true)]
async fn an_explorer_goes_no_further_than_its_deadline_and_says_nothing_then() {
    let limit = warm().await;
    let layer = TimeoutLayer::new(limit.clone()).context(|&deadline: &Deadline| Some(deadline));
    let service = layer.layer(service_fn(|_| std::future::pending::<Result<(), BoxError>>()));
    let error = service.oneshot(Deadline::after(Now::now().into_std(), 150 * MS)).await;
    let elapsed = *error.unwrap_err().downcast::<Elapsed>().unwrap();
    assert_eq!(elapsed.limit + elapsed.explored, 150 * MS, "{elapsed:?}");
    has_said_nothing(&limit).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_process_finds_late_is_no_exploration() {
    // The limit and all that an exploration could take are over when the call is polled again.
    let limit = warm().await;
    let mut call = tokio_test::task::spawn(limit.run(never()));
    assert!(call.poll().is_pending());
    tokio::time::advance(10 * SECOND).await;
    assert!(call.poll().is_ready());
    assert_eq!(limit.snapshot().explorations, 0);
    limit.record(50 * MS);

    // An exploration is over: the answer had no time to come, or came while the process stood.
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let mut hung = tokio_test::task::spawn(limit.run(never()));
    assert!(hung.poll().is_pending());
    tokio::time::advance(limit.limit() + MS).await;
    assert!(hung.poll().is_pending());
    tokio::time::advance(10 * SECOND).await;
    assert!(hung.poll().is_ready());
    limit.record(50 * MS);
    let mut late = tokio_test::task::spawn(limit.run(ok(receiver)));
    assert!(late.poll().is_pending());
    tokio::time::advance(limit.limit() + MS).await;
    assert!(late.poll().is_pending());
    tokio::time::advance(10 * SECOND).await;
    sender.send(()).unwrap();
    assert!(matches!(late.poll(), std::task::Poll::Ready(Ok(Ok(())))), "it is kept");

    let state = limit.snapshot();
    assert_eq!((state.explorations, state.samples, state.held), (2, 102, None));
    let waited = waits(&limit).await;
    assert!(is_times(waited, &limit, 2), "neither was in vain: {waited:?}");
}

/// How many of ten calls that expire together go on. With full credit and the paid place open, it
/// is all places that are free.
async fn free_places(limit: &TimeLimit) -> usize {
    (0..16).for_each(|_| limit.record_timeout(limit.limit()));
    (0..1000).for_each(|_| limit.record(50 * MS));
    let before = limit.snapshot().explorations;
    let calls: Vec<_> = (0..10).map(|_| tokio::task::spawn_local(limit.run(never()))).collect();
    sleep(limit.limit() + 5 * MS).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    (limit.snapshot().explorations - before) as usize
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_that_are_dropped_fail_or_panic_at_any_instant_lose_no_place() {
    // One call in ten waits for its limit.
    let limit = LimitConfig::quantile(10 * MS, 2 * SECOND).quantile(0.9).factor(1.0);
    let limit = TimeLimit::new(limit).unwrap();
    settled(&limit).await;
    let deadline = |deadline: &Option<Deadline>| *deadline;
    let judge = |outcome: Result<&u64, &BoxError>| match outcome {
        Ok(2) => panic!("on purpose"),
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Permanent,
    };
    let layer = TimeoutLayer::new(limit.clone()).context(deadline).classify(judge);
    let (mut traffic, mut calls) = (Traffic::seeded(7), Vec::new());
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async {
            for n in 0..10_000u64 {
                let latency = traffic.log_normal(60 * MS, 1.0);
                let service = layer.layer(service_fn(move |_| async move {
                    match n % 50 {
                        0 => std::future::pending().await,
                        _ => sleep(latency).await,
                    }
                    match n % 7 {
                        0 => Err(BoxError::from("failed")),
                        1 => panic!("on purpose"),
                        what => Ok(what),
                    }
                }));
                let until = traffic.log_normal(300 * MS, 1.0);
                let until =
                    traffic.chance(0.3).then(|| Deadline::after(Now::now().into_std(), until));
                let call = tokio::task::spawn_local(service.oneshot(until));
                if traffic.chance(0.5) {
                    let patience = traffic.log_normal(120 * MS, 1.0);
                    tokio::task::spawn_local(async move {
                        sleep(patience).await;
                        call.abort();
                    });
                } else {
                    calls.push(call);
                }
                sleep(traffic.arrival(100.0)).await;
            }
            for call in calls {
                let _ = call.await;
            }
            sleep(60 * SECOND).await;
            let explorations = limit.snapshot().explorations;
            assert!(explorations > 200, "{explorations}");
            assert_eq!(free_places(&limit).await, 2);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_kept_and_polled_no_more_do_not_keep_their_places() {
    let limit = warm().await;
    let mut calls: Vec<_> = (0..3).map(|_| tokio_test::task::spawn(limit.run(never()))).collect();
    calls.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    tokio::time::advance(limit.limit() + MS).await;
    let waiting: usize = calls.iter_mut().map(|call| usize::from(call.poll().is_pending())).sum();
    assert_eq!(waiting, 2);
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async {
            assert_eq!(free_places(&limit).await, 0);
            sleep(6 * SECOND).await;
            assert_eq!(free_places(&limit).await, 2);
        })
        .await;
    drop(calls);
}

#[test]
fn explorers_on_two_threads_lose_no_place() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let config = LimitConfig::quantile(MS, 20 * MS).cold_start(2 * MS);
    let limit = TimeLimit::new(config).unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8u32)
            .map(|task| {
                let limit = limit.clone();
                tokio::spawn(async move {
                    for n in 0..30 {
                        let call = limit.run(never());
                        let patience = MS * (1 + (n * 7 + task) % 9);
                        let _ = tokio::time::timeout(patience, call).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let before = limit.snapshot().explorations;
        assert!(before > 8, "{before}");
        (0..16).for_each(|_| limit.record_timeout(limit.limit()));
        (0..1000).for_each(|_| limit.record(MS));
        let calls: Vec<_> = (0..20).map(|_| tokio::spawn(limit.run(never()))).collect();
        for call in calls {
            call.await.unwrap().unwrap_err();
        }
        assert!(limit.snapshot().explorations >= before + 2);
    });
}

#[tokio::test(start_paused = true)]
async fn without_explorations_no_call_waits_longer_than_its_limit() {
    let limit = TimeLimit::new(quantile().explore(false)).unwrap();
    settled(&limit).await;
    for _ in 0..6 {
        let given = limit.limit();
        assert_eq!(limit.run(never()).await, Err(Elapsed::after(given)));
    }
    assert_eq!((limit.snapshot().explorations, limit.limit()), (0, 5000 * MS));
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn each_key_explores_for_itself_and_clones_do_together() {
    let keys = std::num::NonZeroUsize::new(4).unwrap();
    let limits = TimeLimit::per_key(quantile(), keys, |&key: &u32| key).unwrap();
    for key in [1, 2] {
        (0..20).for_each(|_| limits.handle(&key).record(50 * MS));
    }
    let times = [(1, 2), (2, 2), (1, 4), (2, 4)];
    for (key, times) in times {
        let limit = limits.handle(&key).clone();
        let waited = waits(&limit).await;
        assert!(is_times(waited, &limit, times), "key {key}: {waited:?}");
    }
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn a_key_that_is_evicted_in_mid_exploration_begins_anew_with_both_places() {
    let two = std::num::NonZeroUsize::new(2).unwrap();
    let limits = TimeLimit::per_key(quantile(), two, |&key: &u32| key).unwrap();
    let first = limits.handle(&1);
    (0..20).for_each(|_| first.record(50 * MS));
    let mut call = tokio_test::task::spawn(first.run(never()));
    assert!(call.poll().is_pending());
    tokio::time::advance(first.limit() + MS).await;
    assert!(call.poll().is_pending());
    drop(first);
    for key in (2..100).flat_map(|key| [key; 3]) {
        limits.handle(&key).record(50 * MS);
    }

    let again = limits.handle(&1);
    assert_eq!((again.limit(), again.snapshot().explorations), (SECOND, 0));
    (0..20).for_each(|_| again.record(50 * MS));
    tokio::task::LocalSet::new()
        .run_until(async { assert_eq!(free_places(&again).await, 2) })
        .await;
    // The call goes on with the limit it began with.
    tokio::time::advance(SECOND).await;
    assert!(call.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn silence_for_longer_than_the_window_leaves_the_limit_and_a_pause_forgets_it() {
    let limit = warm().await;
    let before = limit.limit();
    let start = Now::now();
    while Now::now() - start < 5 * 60 * SECOND {
        limit.run(never()).await.unwrap_err();
        assert_eq!(limit.limit(), before, "{:?} into it", Now::now() - start);
    }
    tokio::time::advance(61 * SECOND).await;
    assert_eq!(limit.limit(), SECOND, "no call has expired for a window");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_told_of_expiries_alone_keeps_what_it_knew() {
    let limit = warm().await;
    let before = limit.limit();
    for _ in 0..100 {
        limit.record_timeout(limit.limit());
        sleep(SECOND).await;
    }
    assert_eq!(limit.limit(), before);
}

/// Calls of the product on tokio's paused clock, 100 a second for `length`, each with the latency
/// that `latency` draws: what each of them has waited, and whether it was answered.
async fn traffic(
    limit: &TimeLimit,
    length: Duration,
    mut latency: impl FnMut(Duration, &mut Traffic) -> Duration,
) -> Vec<(Duration, bool)> {
    let (mut traffic, start) = (Traffic::seeded(1), Now::now());
    let mut calls = Vec::new();
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async {
            while Now::now() - start < length {
                let latency = latency(Now::now() - start, &mut traffic);
                let call = limit.run(ok(sleep(latency)));
                calls.push(tokio::task::spawn_local(async move {
                    let began = Now::now();
                    let answered = call.await.is_ok();
                    (Now::now() - began, answered)
                }));
                sleep(traffic.arrival(100.0)).await;
            }
            let mut ends = Vec::new();
            for call in calls {
                ends.push(call.await.unwrap());
            }
            ends
        })
        .await
}

const HANG: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_tenth_of_hangs_leaves_the_limit_and_the_waits_where_they_are() {
    let limit = adaptive();
    let mut ends = traffic(&limit, 90 * SECOND, |_, traffic| {
        if traffic.chance(0.1) { HANG } else { traffic.log_normal(50 * MS, 0.4) }
    })
    .await;
    ends.sort_unstable();
    let (limit, p99) = (limit.limit(), ends[ends.len() * 99 / 100].0);
    assert!(limit <= 300 * MS && p99 <= 300 * MS, "{limit:?}, {p99:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_of_all_calls_costs_few_of_them_and_none_after_five_seconds() {
    let limit = adaptive();
    let began = Rc::new(Cell::new(0));
    let count = Rc::clone(&began);
    let ends = traffic(&limit, 90 * SECOND, move |now, traffic| {
        let latency = traffic.log_normal(50 * MS, 0.4);
        if now < 60 * SECOND {
            count.set(count.get() + 1);
            return latency;
        }
        10 * latency
    })
    .await;
    let lost = |ends: &[(Duration, bool)]| ends.iter().filter(|(_, answered)| !answered).count();
    let after = &ends[began.get()..];
    assert!(lost(after) <= 90, "{} were given up", lost(after));
    assert_eq!(lost(&after[500..]), 0, "of those after five seconds");
}

#[tokio::test(start_paused = true)]
async fn the_average_explores_as_the_quantile_does() {
    let limit = TimeLimit::new(LimitConfig::ewma(10 * MS, 5000 * MS)).unwrap();
    settled(&limit).await;
    (0..3).for_each(|_| limit.record_timeout(limit.limit()));
    limit.run(ok(sleep(300 * MS))).await.unwrap();
    // Four samples of 300 ms: 300 − 250 × (7/8)⁴.
    let estimate = limit.snapshot().estimate.unwrap();
    assert!(estimate.abs_diff(Duration::from_micros(153_455)) < MS, "{estimate:?}");
    assert!(limit.limit().abs_diff(1200 * MS) < MS, "{:?} is held", limit.limit());
}
