//! What every layer owes to tower.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use steadfast_core::{Deadline, DefaultClassifier};
use steadfast_testkit::contract;
use steadfast_timeout::{LimitConfig, TimeLimit, Timeout, TimeoutLayer};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    service_fn,
};

use crate::{Answer, MS, Upstream, adaptive, behind, call};

/// Panics when it is called without having been made ready, and says how often it was.
#[derive(Debug)]
struct Strict {
    ready: bool,
    asked: Arc<AtomicU32>,
    answer: fn() -> Poll<Result<(), BoxError>>,
}

impl Strict {
    fn new(answer: fn() -> Poll<Result<(), BoxError>>) -> Self {
        Self { ready: false, asked: Arc::default(), answer }
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, asked: Arc::clone(&self.asked), answer: self.answer }
    }
}

impl Service<()> for Strict {
    type Response = ();
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<(), BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = (self.answer)();
        if answer.is_pending() {
            cx.waker().wake_by_ref();
        }
        self.ready = matches!(answer, Poll::Ready(Ok(())));
        answer
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without readiness");
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn every_rule_keeps_the_contract_of_all_layers() {
    let bounds = (10 * MS, 5000 * MS);
    for config in [
        LimitConfig::fixed(1000 * MS),
        LimitConfig::quantile(bounds.0, bounds.1).into(),
        LimitConfig::ewma(bounds.0, bounds.1).into(),
        LimitConfig::rfc6298(bounds.0, bounds.1).into(),
    ] {
        contract::suite(|probe| {
            TimeoutLayer::new(TimeLimit::new(config.clone()).unwrap()).layer(probe)
        });
    }
}

#[cfg(feature = "keyed")]
#[test]
fn limits_by_key_keep_the_contract_of_all_layers() {
    let capacity = std::num::NonZeroUsize::new(16).unwrap();
    contract::suite(|probe| {
        let limits =
            TimeLimit::per_key(LimitConfig::fixed(MS), capacity, |&request: &u32| request).unwrap();
        TimeoutLayer::new(limits).layer(probe)
    });
}

#[cfg(feature = "http")]
#[test]
fn deadlines_keep_the_contract_of_all_layers() {
    use http::Request;
    use steadfast_timeout::{DeadlineConfig, DeadlineLayer, PropagateDeadlineLayer};

    contract::suite(|probe| {
        let client =
            PropagateDeadlineLayer::new().layer(probe.map_request(Request::<u32>::into_body));
        DeadlineLayer::new(DeadlineConfig::new().total(1000 * MS))
            .unwrap()
            .layer(client)
            .map_request(Request::new)
    });
}

#[tokio::test(start_paused = true)]
async fn the_readied_instance_is_the_one_called() {
    let mut service = TimeoutLayer::new(adaptive()).layer(Strict::new(|| Poll::Ready(Ok(()))));
    for _ in 0..3 {
        service.ready().await.unwrap().call(()).await.unwrap();
    }
    assert_eq!(service.get_ref().asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "called without readiness")]
async fn a_clone_has_no_readiness() {
    let mut service = TimeoutLayer::new(adaptive()).layer(Strict::new(|| Poll::Ready(Ok(()))));
    service.ready().await.unwrap();
    drop(service.clone().call(()));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_the_inner_services_own() {
    let mut service = TimeoutLayer::new(adaptive()).layer(Strict::new(|| Poll::Pending));
    let mut ready = tokio_test::task::spawn(service.ready());
    assert!(ready.poll().is_pending() && ready.is_woken());
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    assert!(
        ready.poll().is_pending(),
        "waiting for readiness is not timed, and is never an error of the layer"
    );
    drop(ready);

    let mut failed =
        TimeoutLayer::new(adaptive()).layer(Strict::new(|| Poll::Ready(Err("broken".into()))));
    assert_eq!(failed.ready().await.err().unwrap().to_string(), "broken");
}

type DeadlineOf = fn(&Deadline) -> Option<Deadline>;

/// `inner`, which takes its requests' deadlines for requests.
fn with_deadlines<S>(inner: S) -> Timeout<S, TimeoutLayer<DefaultClassifier, DeadlineOf>> {
    TimeoutLayer::new(adaptive()).context((|&deadline| Some(deadline)) as DeadlineOf).layer(inner)
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_leaves_the_permit_with_its_handle_until_the_next_call() {
    let permit = ServiceBuilder::new()
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .service(service_fn(|_: Deadline| async { Ok::<_, BoxError>(()) }));
    let (mut refused, mut other) = (with_deadlines(permit.clone()), with_deadlines(permit));
    let now = tokio::time::Instant::now().into_std();
    let (late, early) = (Deadline::at(now), Deadline::after(now, 1000 * MS));

    refused.ready().await.unwrap().call(late).await.unwrap_err();
    let mut waiting = tokio_test::task::spawn(other.ready());
    assert!(waiting.poll().is_pending(), "the handle is still ready");
    refused.ready().await.unwrap().call(early).await.unwrap();
    assert!(waiting.is_woken() && waiting.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_leaves_the_permit_with_its_handle_until_that_is_dropped() {
    let permit = ServiceBuilder::new()
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .service(service_fn(|_: Deadline| async { Ok::<_, BoxError>(()) }));
    let (mut refused, mut other) = (with_deadlines(permit.clone()), with_deadlines(permit));
    refused
        .ready()
        .await
        .unwrap()
        .call(Deadline::at(tokio::time::Instant::now().into_std()))
        .await
        .unwrap_err();
    drop(refused);
    other.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn state_made_once_is_shared_by_every_service_a_layer_makes() {
    // axum applies a layer for each route and connection.
    let limit = adaptive();
    let layer = TimeoutLayer::new(limit.clone());
    for _ in 0..20 {
        let service =
            layer.clone().layer(service_fn(|()| Upstream::new(Answer::After(50 * MS)).answer()));
        service.oneshot(()).await.unwrap();
    }
    assert!(limit.limit() < 120 * MS);
}

#[tokio::test(start_paused = true)]
async fn it_stands_over_a_buffer_and_a_concurrency_limit_and_gives_permits_back() {
    let upstream = Upstream::new(Answer::Never);
    let inner = upstream.clone();
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::fixed(100 * MS).unwrap())
        .buffer(8)
        .layer(ConcurrencyLimitLayer::new(1))
        .service(service_fn(move |()| inner.clone().answer()));
    service.clone().oneshot(()).await.unwrap_err();
    upstream.set(Answer::After(MS));
    service.clone().oneshot(()).await.unwrap();
    service.oneshot(()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn outside_a_buffer_the_wait_in_it_is_timed() {
    let inner = Upstream::new(Answer::After(150 * MS));
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::fixed(200 * MS).unwrap())
        .buffer(8)
        .layer(ConcurrencyLimitLayer::new(1))
        .service(service_fn(move |()| inner.clone().answer()));
    let (first, second) = tokio::join!(service.clone().oneshot(()), service.clone().oneshot(()));
    assert!(first.is_ok() && second.is_err(), "150 ms of waiting for a turn are part of the 200");
}

#[tokio::test(start_paused = true)]
async fn a_waker_is_kept_for_the_answer_and_for_the_timer() {
    let upstream = Upstream::new(Answer::After(50 * MS));
    let service = behind(&adaptive(), &upstream);
    // The paused clock runs on by itself: were either waker lost, the outer timeout would end the
    // call.
    tokio::time::timeout(60 * MS, call(&service)).await.unwrap().unwrap();
    upstream.set(Answer::Never);
    // The cold limit, and an exploration of twice that.
    tokio::time::timeout(2100 * MS, call(&service)).await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_call_leaves_the_limit_usable() {
    let limit = adaptive();
    let mut service = TimeoutLayer::new(limit.clone()).layer(service_fn(
        |()| -> std::future::Ready<Result<(), BoxError>> { panic!("on purpose") },
    ));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(service.call(()))));
    assert!(outcome.is_err());
    call(&behind(&limit, &Upstream::new(Answer::After(MS)))).await.unwrap();
}
