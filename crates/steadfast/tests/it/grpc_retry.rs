//! Retries over a tonic channel, whose body type is one.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering},
};

use axum::Router;
use http::request::Parts;
use steadfast::{
    breaker::{BreakerLayer, State},
    cause, guard,
    http::CollectLayer,
    retry::{Budget, RetryLayer},
};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    grpc::{call, server, server_of},
    support::{serve, touchy, vacant},
};

#[tokio::test]
async fn an_idempotent_call_is_sent_again_over_a_channel() {
    let (channel, calls) = server(Code::Unavailable, None).await;
    let places = |head: &Parts| head.uri.path() == "/shop.Orders/Place";
    let retry = RetryLayer::default().grpc().idempotent_if(places).body_as(Body::new);
    assert_eq!(call(guard(retry).layer(channel)).await.message(), "as told");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_reads_how_many_attempts_were_made_before() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let answer = service_fn(move |request: http::Request<axum::body::Body>| {
        let before = request.headers().get("grpc-previous-rpc-attempts").cloned();
        sees.lock().unwrap().push(before.map(|before| before.to_str().unwrap().to_owned()));
        let busy: http::Response<axum::body::Body> = Status::unavailable("busy").into_http();
        async { Ok::<_, Infallible>(busy) }
    });
    let address = serve(Router::new().fallback_service(answer)).await;
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let retry = RetryLayer::default().grpc().idempotent().body_as(Body::new);
    assert_eq!(call(guard(retry).layer(channel)).await.message(), "busy");
    let before = [None, Some("1"), Some("2")].map(|before| before.map(str::to_owned));
    assert_eq!(*seen.lock().unwrap(), before);
}

#[tokio::test]
async fn a_server_that_asks_not_to_be_asked_again_is_not_and_its_failure_counts() {
    for (pushback, expected) in [("-1", 1), ("soon", 1), ("2147483648", 1), ("0", 3), ("1", 3)] {
        for code in [Code::Unavailable, Code::ResourceExhausted] {
            let mut status = Status::new(code, "as told");
            status.metadata_mut().insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
            let (channel, calls) = server_of(status, None).await;
            let (budget, circuit) = (Budget::default(), touchy());
            let retry =
                RetryLayer::default().budget(budget.clone()).grpc().idempotent().body_as(Body::new);
            let stack = ServiceBuilder::new()
                .layer(BreakerLayer::new(circuit.clone()).grpc())
                .layer(retry)
                .map_err(BoxError::from);
            let service = stack.service(channel).boxed_clone();
            assert_eq!(call(service.clone()).await.code(), code);
            assert_eq!(calls.load(Ordering::SeqCst), expected, "{pushback:?} {code:?}");
            let withdrawn = budget.snapshot().withdrawn;
            assert_eq!(withdrawn, u64::from(expected) - 1, "{pushback:?} {code:?}");
            call(service).await;
            assert_eq!(circuit.state(), State::Open, "two failures: {pushback:?} {code:?}");
        }
    }
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
    let retry = RetryLayer::default().grpc().idempotent().body_as(Body::new);
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
    assert_eq!(budget.snapshot().withdrawn, 2);
}
