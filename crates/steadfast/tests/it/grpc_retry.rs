//! Retries over a tonic channel, whose body type is one.

use std::sync::atomic::Ordering;

use http::request::Parts;
use steadfast::{
    breaker::BreakerLayer,
    cause, guard,
    http::CollectLayer,
    retry::{Budget, RetryLayer, http::HttpReplay},
};
use tonic::{Code, body::Body, transport::Channel};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};

use crate::{
    grpc::{call, server},
    support::{touchy, vacant},
};

#[tokio::test]
async fn an_idempotent_call_is_sent_again_over_a_channel() {
    let (channel, calls) = server(Code::Unavailable, None).await;
    let places = |head: &Parts| head.uri.path() == "/shop.Orders/Place";
    let retry = RetryLayer::default().grpc().replay(HttpReplay::new(places)).body_as(Body::new);
    assert_eq!(call(guard(retry).layer(channel)).await.message(), "as told");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_call_that_may_have_been_executed_is_sent_once() {
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        let (channel, calls) = server(code, None).await;
        let retry = RetryLayer::default().grpc().body_as(Body::new);
        assert_eq!(call(guard(retry).layer(channel)).await.code(), code);
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{code:?}");
    }
}

#[tokio::test]
async fn what_stands_inside_keeps_its_body_type() {
    let (channel, calls) = server(Code::Unavailable, None).await;
    let retry =
        RetryLayer::default().grpc().replay(HttpReplay::new(|_: &Parts| true)).body_as(Body::new);
    // The breaker and the whole responses are those of a client without retries; and so is a box
    // round them.
    let inner = ServiceBuilder::new()
        .layer(BreakerLayer::new(touchy()).grpc())
        .layer(CollectLayer::new(1024))
        .service(channel.map_err(BoxError::from))
        .boxed_clone();
    assert_eq!(call(retry.layer(inner)).await.code(), Code::Unavailable);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the second failure opens the circuit");
}

#[tokio::test]
async fn a_refused_connection_is_retried_for_any_call() {
    let channel =
        Channel::from_shared(format!("http://{}", vacant().await)).unwrap().connect_lazy();
    let budget = Budget::default();
    let retry = RetryLayer::default().budget(budget.clone()).grpc().body_as(Body::new);
    let request = http::Request::post("/shop.Orders/Place").body(Body::empty()).unwrap();
    let error = guard(retry).layer(channel).oneshot(request).await.unwrap_err();
    assert_eq!(
        cause::<std::io::Error>(&error).unwrap().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    assert_eq!(steadfast::Snapshot::snapshot(&budget).withdrawn, 2);
}
