//! Futures that are dropped, that panic, that come late, that never give way.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures::FutureExt;
use steadfast_core::Verdict;
use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit};

use crate::{Answer, MS, adaptive, behind, never, ok, settled};

async fn warm() -> TimeLimit {
    let limit = adaptive();
    settled(&limit).await;
    limit
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_first_poll_says_nothing() {
    let limit = warm().await;
    let before = limit.snapshot();
    drop(limit.run(never()));
    assert_eq!(limit.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_limit_says_nothing_however_long_it_had_waited() {
    let limit = warm().await;
    let before = limit.snapshot();
    for waited in [40, 80, 100] {
        let mut call = tokio_test::task::spawn(limit.run(never()));
        assert!(call.poll().is_pending());
        tokio::time::advance(waited * MS).await;
        assert!(call.poll().is_pending());
        drop(call);
        assert_eq!(limit.snapshot(), before, "{waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_dropped_after_a_pause_of_the_process_do_not_enter_with_the_length_of_the_pause() {
    let bounds = (10 * MS, Duration::from_secs(30));
    for config in [
        LimitConfig::from(LimitConfig::quantile(bounds.0, bounds.1)),
        LimitConfig::quantile(bounds.0, bounds.1).factor(1.0).into(),
        LimitConfig::ewma(bounds.0, bounds.1).into(),
        LimitConfig::rfc6298(bounds.0, bounds.1).into(),
    ] {
        for (calls, pause_secs) in [(1, 3), (2, 20), (10, 20)] {
            let limit = TimeLimit::new(config.clone()).unwrap();
            settled(&limit).await;
            let before = limit.limit();
            let pending: Vec<_> = (0..calls)
                .map(|_| {
                    let mut call = tokio_test::task::spawn(limit.run(never()));
                    assert!(call.poll().is_pending());
                    call
                })
                .collect();
            // SIGSTOP, SIGCONT; and the clients have gone away meanwhile.
            tokio::time::advance(Duration::from_secs(pause_secs)).await;
            drop(pending);
            let after = limit.limit();
            assert!(
                after.as_secs_f64() <= 2.5 * before.as_secs_f64(),
                "{config:?}: {before:?} to {after:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_its_end_counts_once() {
    let limit = warm().await;
    let mut call = tokio_test::task::spawn(limit.run(never()));
    assert!(call.poll().is_pending());
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(call.poll().is_ready());
    let after = limit.snapshot();
    drop(call);
    assert_eq!(limit.snapshot(), after);
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_is_not_a_slow_call() {
    let limit = warm().await;
    let panics = async {
        tokio::time::sleep(80 * MS).await;
        panic!("on purpose");
    };
    let outcome = AssertUnwindSafe(limit.run(ok(panics))).catch_unwind().await;
    assert!(outcome.is_err());
    assert_eq!(limit.snapshot().samples, 100);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_classifier_is_not_an_interrupted_call() {
    let limit = warm().await;
    let judge = |_: Result<&(), &Elapsed>| -> Verdict { panic!("on purpose") };
    let outcome = AssertUnwindSafe(limit.run_judged(ok(tokio::time::sleep(80 * MS)), judge))
        .catch_unwind()
        .await;
    assert!(outcome.is_err());
    assert_eq!(limit.snapshot().samples, 100);
}

#[tokio::test(start_paused = true)]
async fn a_straggler_from_a_window_ago_changes_nothing_of_today() {
    let limit = warm().await;
    let mut call = tokio_test::task::spawn(limit.run(never()));
    assert!(call.poll().is_pending());
    // Its timer is due long before, but is not polled until then.
    tokio::time::advance(Duration::from_secs(100)).await;
    settled(&limit).await;
    let before = limit.snapshot();
    assert!(call.poll().is_ready());
    assert_eq!(
        limit.snapshot().samples,
        before.samples,
        "its sample belongs to a window that has passed"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_through_a_clone_teach_the_same_limit_and_survive_the_layer() {
    let limit = adaptive();
    let upstream = settled(&limit).await;
    let service = behind(&limit, &upstream);
    upstream.set(Answer::After(30 * MS));
    let call = tower::ServiceExt::oneshot(service.clone(), ());
    drop(service);
    call.await.unwrap();
    assert_eq!(limit.snapshot().samples, 101);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_spends_the_whole_budget_is_still_timed_out() {
    let greedy = std::future::poll_fn(|cx| {
        // Spends what the task may do in one turn, and asks for another.
        while std::pin::pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        std::task::Poll::<()>::Pending
    });
    let limit = crate::fixed(100 * MS);
    let call = tokio::spawn(async move { limit.run(ok(greedy)).await });
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(200 * MS).await;
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert!(call.is_finished(), "the timer was starved");
    call.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_future_polled_after_its_end_panics_and_tells_no_lie() {
    let mut call = tokio_test::task::spawn(crate::fixed(MS).run(never()));
    assert!(call.poll().is_pending());
    tokio::time::advance(2 * MS).await;
    assert!(call.poll().is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_fused_future_polled_after_its_end_begins_no_second_call() {
    for latency in [None, Some(20 * MS)] {
        let limit = warm().await;
        let answer = async move {
            if let Some(latency) = latency {
                tokio::time::sleep(latency).await;
            }
        };
        let mut call = tokio_test::task::spawn(limit.run(ok(answer).fuse()));
        let at_once = call.poll().is_ready();
        tokio::time::advance(20 * MS).await;
        assert!(at_once || call.poll().is_ready());
        let before = limit.snapshot();
        // Its timer, if it has one, is due.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err(), "{latency:?}");
        drop(call);
        assert_eq!(limit.snapshot(), before, "{latency:?}");
    }
}

#[tokio::test]
async fn calls_on_many_threads_are_all_counted() {
    let limit = adaptive();
    limit.record(50 * MS);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5_000).for_each(|_| limit.record(50 * MS)));
        }
    });
    assert_eq!(limit.snapshot().samples, 20_001);
    assert!(limit.limit() < 120 * MS);
}
