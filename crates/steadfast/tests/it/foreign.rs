//! `guard`: a stack round services whose error type is foreign.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    http::StatusCode,
    routing::{any, get},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Error, Executed, RefusalKind,
    breaker::{BreakerLayer, CircuitOpen},
    cause, guard,
    retry::RetryLayer,
    timeout::TimeoutLayer,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::support::{serve, touchy, vacant};

#[tokio::test]
async fn a_hyper_client_keeps_its_own_error_beside_the_refusals() {
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::default().http())
        .layer(BreakerLayer::new(touchy()).http())
        .layer(TimeoutLayer::fixed(Duration::from_secs(5)).unwrap().http());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = guard(stack).layer(client);
    let request = |address| {
        Request::get(format!("http://{address}/")).body(Full::<Bytes>::default()).unwrap()
    };

    let healthy = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    assert_eq!(service.clone().oneshot(request(healthy)).await.unwrap().status(), StatusCode::OK);

    // No process listens: three attempts, of which the second opens the circuit (1 of 2 has failed
    // already by then).
    let dead = vacant().await;
    let error = service.clone().oneshot(request(dead)).await.unwrap_err();
    match &error {
        Error::Service(error) => {
            assert_eq!(cause::<io::Error>(error).unwrap().kind(), io::ErrorKind::ConnectionRefused);
        }
        Error::Refused(refusal) => assert_eq!(refusal.kind(), RefusalKind::Unavailable),
    }
    let error = service.oneshot(request(healthy)).await.unwrap_err();
    assert!(cause::<CircuitOpen>(&error).is_some(), "{error:?}");
    assert_eq!(error.refusal().unwrap().executed(), Executed::No);
}

/// reqwest's client is a service over its own request type: a few lines carry `http`'s to it and
/// back.
#[derive(Clone)]
pub(crate) struct Reqwest(pub(crate) reqwest::Client);

impl Service<Request<reqwest::Body>> for Reqwest {
    type Response = Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<reqwest::Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move { Ok(client.execute(request.try_into()?).await?.into()) })
    }
}

#[tokio::test]
async fn a_reqwest_client_keeps_its_own_error_beside_the_refusals() {
    let stack = ServiceBuilder::new()
        .layer(BreakerLayer::new(touchy()).http())
        .layer(TimeoutLayer::fixed(Duration::from_secs(5)).unwrap().http());
    let service = guard(stack).layer(Reqwest(reqwest::Client::new()));
    let request = |address| {
        Request::get(format!("http://{address}/")).body(reqwest::Body::default()).unwrap()
    };
    let dead = vacant().await;
    for _ in 0..2 {
        let error = service.clone().oneshot(request(dead)).await.unwrap_err();
        assert!(error.into_service().unwrap().is_connect());
    }
    let error = service.oneshot(request(dead)).await.unwrap_err();
    assert!(cause::<CircuitOpen>(&error).is_some());
}

#[tokio::test]
async fn retries_over_a_reqwest_client_send_the_body_again() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let answer = any(move |body: String| async move {
        let mut bodies = seen.lock().unwrap();
        bodies.push(body);
        if bodies.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    });
    let address = serve(Router::new().route("/", answer)).await;
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::default().http().body_as(reqwest::Body::wrap))
        .layer(BreakerLayer::new(touchy()).http());
    let service = guard(stack).layer(Reqwest(reqwest::Client::new()));
    let put =
        Request::put(format!("http://{address}/")).body(reqwest::Body::from("hello")).unwrap();
    assert_eq!(service.oneshot(put).await.unwrap().status(), StatusCode::OK);
    assert_eq!(*bodies.lock().unwrap(), ["hello", "hello"]);
}

/// A name that is not resolved, and a handshake that fails, as TLS does.
#[cfg(feature = "hyper-util")]
#[tokio::test]
async fn a_hyper_client_that_cannot_connect_sends_a_post_again() {
    use std::sync::atomic::{AtomicU32, Ordering};

    let post = |url: &str| Request::post(url).body(Full::<Bytes>::from("charge")).unwrap();
    let attempts = Arc::new(AtomicU32::new(0));
    let stack = || {
        let seen = Arc::clone(&attempts);
        ServiceBuilder::new().layer(RetryLayer::default().http()).map_request(
            move |request: Request<steadfast::retry::http::ReplayBody<Full<Bytes>>>| {
                seen.fetch_add(1, Ordering::Relaxed);
                request
            },
        )
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let unknown = guard(stack()).layer(client).oneshot(post("http://nowhere.invalid/")).await;
    assert!(unknown.unwrap_err().into_service().unwrap().is_connect());
    assert_eq!(attempts.swap(0, Ordering::Relaxed), 3);

    type Connection = hyper_util::rt::TokioIo<tokio::net::TcpStream>;
    let handshake = tower::service_fn(|_: http::Uri| {
        std::future::ready(Err::<Connection, _>(io::Error::other("no trust")))
    });
    let client = Client::builder(TokioExecutor::new()).build(handshake);
    let untrusted = guard(stack()).layer(client).oneshot(post("http://some.example/")).await;
    assert!(untrusted.unwrap_err().into_service().unwrap().is_connect());
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
}
