//! A fixed limit, and what the refusal says.

use std::{error::Error, time::Duration};

use steadfast_core::{Deadline, Executed, Grounds, Refusal, RefusalKind, cause};
use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit, TimeoutLayer};
use tokio::time::Instant;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{Answer, MS, Upstream, behind, call, fixed, never, ok};

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes_and_a_late_one_is_given_up_at_the_limit() {
    let upstream = Upstream::new(Answer::After(99 * MS));
    let service = behind(&fixed(100 * MS), &upstream);
    call(&service).await.unwrap();

    upstream.set(Answer::Never);
    let start = Instant::now();
    let error = call(&service).await.unwrap_err();
    assert_eq!(Instant::now() - start, 100 * MS);
    let elapsed = *error.downcast::<Elapsed>().unwrap();
    assert_eq!(elapsed, Elapsed::after(100 * MS));
    assert_eq!(elapsed.to_string(), "no answer within 100 ms");
    assert_eq!(elapsed.kind(), RefusalKind::TimedOut);
    assert_eq!(elapsed.executed(), Executed::Maybe);
    assert_eq!(cause::<Grounds>(&elapsed), Some(&elapsed.grounds));
    assert!(elapsed.source().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_limit_to_logs_and_not_in_its_detail() {
    let limit = TimeLimit::new(LimitConfig::fixed(100 * MS).named("vault")).unwrap();
    let elapsed = limit.run(never()).await.unwrap_err();
    assert_eq!(elapsed.to_string(), r#"timeout "vault": no answer within 100 ms"#);
    assert_eq!(elapsed.detail(), "no answer within 100 ms");
    assert_eq!(elapsed.grounds.handle.unwrap().as_str(), "vault");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_at_the_very_limit_wins() {
    let service = behind(&fixed(100 * MS), &Upstream::new(Answer::After(100 * MS)));
    call(&service).await.unwrap();
}

#[test]
fn an_answer_that_is_ready_at_once_needs_no_timer_and_no_runtime() {
    let service = behind(&fixed(MS), &Upstream::new(Answer::AtOnce));
    let mut future = tokio_test::task::spawn(service.oneshot(()));
    assert!(matches!(future.poll(), std::task::Poll::Ready(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_the_first_poll_that_had_to_wait() {
    let service = behind(&fixed(100 * MS), &Upstream::new(Answer::After(50 * MS)));
    let mut future = tokio_test::task::spawn(service.oneshot(()));
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(future.poll().is_pending());
    tokio::time::advance(50 * MS).await;
    assert!(future.is_woken());
    assert!(future.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_end_does_not_overflow() {
    let service = behind(
        &fixed(Duration::MAX),
        &Upstream::new(Answer::After(Duration::from_secs(1_000_000))),
    );
    call(&service).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_is_its_own() {
    let service = behind(&fixed(100 * MS), &Upstream::new(Answer::FailAfter(MS)));
    assert_eq!(call(&service).await.unwrap_err().to_string(), "failed");
}

#[tokio::test(start_paused = true)]
async fn the_inner_future_is_dropped_when_the_call_is_given_up_not_when_its_future_is() {
    let held = std::sync::Arc::new(());
    let inside = std::sync::Arc::clone(&held);
    let mut service = TimeoutLayer::fixed(MS).unwrap().layer(service_fn(move |()| {
        let inside = std::sync::Arc::clone(&inside);
        async move {
            let _inside = inside;
            std::future::pending::<Result<(), BoxError>>().await
        }
    }));
    let mut future = tokio_test::task::spawn(tower::Service::call(&mut service, ()));
    assert!(future.poll().is_pending());
    // The test's, the service's, and the call's.
    assert_eq!(std::sync::Arc::strong_count(&held), 3);
    tokio::time::advance(2 * MS).await;
    assert!(future.poll().is_ready());
    assert_eq!(std::sync::Arc::strong_count(&held), 2);
}

#[tokio::test(start_paused = true)]
async fn a_limit_runs_any_future_without_tower() {
    let limit = fixed(100 * MS);
    assert_eq!(limit.run(ok(async { 7 })).await, Ok(7));
    assert_eq!(limit.run(never()).await, Err(Elapsed::after(100 * MS)));
    assert_eq!(
        (limit.limit(), limit.snapshot().limit, limit.name()),
        (100 * MS, 100 * MS, "default")
    );
    assert_eq!(
        TimeoutLayer::fixed(Duration::ZERO).unwrap_err().to_string(),
        "limit is 0ns, but must be above zero"
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_named_by_its_configuration_and_its_clones_are_the_same_limit() {
    let limit =
        TimeLimit::new(LimitConfig::quantile(10 * MS, 5000 * MS).named("stock").factor(3.0))
            .unwrap();
    let layer = TimeoutLayer::new(limit.clone());
    layer.handle().run(ok(tokio::time::sleep(MS))).await.unwrap();
    for limit in [&limit, layer.handle()] {
        assert_eq!((limit.name(), limit.snapshot().samples), ("stock", 1));
    }
    assert_eq!(TimeoutLayer::adaptive(10 * MS, 5000 * MS).unwrap().handle().name(), "default");
}

#[test]
fn a_limit_without_end_needs_no_timer_and_ends_by_the_deadline_alone() {
    let limit = fixed(Duration::MAX);
    // No runtime: a timer would panic.
    let mut call = tokio_test::task::spawn(limit.run(never()));
    assert!(call.poll().is_pending() && call.poll().is_pending());
    drop(call);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let layer = TimeoutLayer::new(limit).context(|&deadline: &Deadline| Some(deadline));
        let service = layer.layer(service_fn(|_: Deadline| never()));
        let start = Instant::now();
        let late = service.oneshot(Deadline::after(start.into_std(), 100 * MS)).await;
        assert_eq!(
            (late, Instant::now() - start),
            (Err(Elapsed::at_the_deadline(100 * MS)), 100 * MS)
        );
    });
}
