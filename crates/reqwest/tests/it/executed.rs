//! What certainly was not executed, and is sent again whatever its method.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, http::StatusCode, routing::post};
use futures::future::join_all;
use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig};
use steadfast_reqwest::Client;
use steadfast_retry::{Budget, BudgetConfig};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceBuilder};

use crate::support::{MS, Nowhere, count, counted, retries, serve, streamed, vacant};

/// How often a POST is sent to `url` that fails to connect.
async fn attempts_to_connect(http: reqwest::Client, url: &str) -> u32 {
    let (client, attempts) = counted(http);
    let error = client.post(url).body("charge").send().await.unwrap_err();
    let error = error.into_service().expect("the caller gets reqwest's own error");
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(error.url().unwrap().as_str(), url);
    count(&attempts)
}

#[tokio::test]
async fn a_post_to_an_unknown_host_is_sent_three_times() {
    assert_eq!(attempts_to_connect(reqwest::Client::new(), "http://nowhere.invalid/").await, 3);
}

#[tokio::test]
async fn a_post_whose_name_the_programs_own_resolver_does_not_know_is_sent_three_times() {
    let http = reqwest::Client::builder().dns_resolver(Nowhere).build().unwrap();
    assert_eq!(attempts_to_connect(http, "http://some.example/").await, 3);
}

#[tokio::test]
async fn a_post_to_a_port_where_no_process_listens_is_sent_three_times() {
    let url = format!("http://{}/", vacant());
    assert_eq!(attempts_to_connect(reqwest::Client::new(), &url).await, 3);
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    assert_eq!(attempts_to_connect(http2, &url).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_fail_to_connect_beside_each_other_are_each_sent_three_times() {
    let url = format!("http://{}/", vacant());
    let attempts = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&attempts);
    let budget = Budget::new(BudgetConfig::new().floor_per_second(1000)).unwrap();
    let stack = ServiceBuilder::new().layer(retries().budget(budget).http()).map_request(
        move |request: http::Request<_>| {
            seen.fetch_add(1, Ordering::Relaxed);
            request
        },
    );
    let client = Client::new(reqwest::Client::new(), stack);
    let calls = (0..100).map(|_| tokio::spawn(client.post(&url).send()));
    assert!(join_all(calls).await.into_iter().all(|sent| sent.unwrap().is_err()));
    assert_eq!(count(&attempts), 300);
}

/// A connector that fails once it is connected, as a TLS handshake does; or never ends.
#[derive(Clone, Copy)]
enum Handshake {
    Fails,
    Hangs,
}

#[derive(Clone)]
struct Connector<S>(S, Handshake);

impl<S> Layer<S> for Handshake {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector(inner, *self)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, Req> Service<Req> for Connector<S>
where
    S: Service<Req, Response: Send, Future: Send + 'static, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = futures::future::BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (connected, handshake) = (self.0.call(request), self.1);
        Box::pin(async move {
            let _connected = connected.await.map_err(Into::into)?;
            match handshake {
                Handshake::Fails => Err("the certificate is not trusted".into()),
                Handshake::Hangs => pending().await,
            }
        })
    }
}

#[tokio::test]
async fn a_post_whose_handshake_fails_or_takes_too_long_is_sent_three_times() {
    let url = format!("http://{}/", serve(Router::new()).await);
    for handshake in [Handshake::Fails, Handshake::Hangs] {
        let http = reqwest::Client::builder().connector_layer(handshake).connect_timeout(50 * MS);
        assert_eq!(attempts_to_connect(http.build().unwrap(), &url).await, 3);
    }
}

#[tokio::test]
async fn a_post_that_may_have_been_executed_is_sent_once() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        }
    });
    let (client, attempts) = counted(reqwest::Client::new());
    let url = format!("http://{address}/");
    let error = client.post(&url).body("charge").send().await.unwrap_err();
    assert!(error.into_service().unwrap().is_request());
    assert_eq!(count(&attempts), 1);
    // The same for a method that may be executed twice.
    client.put(&url).body("charge").send().await.unwrap_err();
    assert_eq!(count(&attempts), 1 + 3);
    // An answer that leaves it open.
    let busy = serve(Router::new().route("/", post(|| async { StatusCode::BAD_GATEWAY }))).await;
    let answer = client.post(format!("http://{busy}/")).send().await.unwrap();
    assert_eq!((answer.status(), count(&attempts)), (StatusCode::BAD_GATEWAY, 1 + 3 + 1));
}

/// The circuit and the attempts of a client that would open after two failures.
fn watched(http: reqwest::Client) -> (Client, Circuit, Arc<AtomicU32>) {
    let config = CircuitConfig::new().minimum_calls(2.try_into().unwrap());
    let circuit = Circuit::new(config).unwrap();
    let attempts = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&attempts);
    let stack = ServiceBuilder::new()
        .layer(retries().http())
        .map_request(move |request: http::Request<_>| {
            seen.fetch_add(1, Ordering::Relaxed);
            request
        })
        .layer(BreakerLayer::new(circuit.clone()).http());
    (Client::new(http, stack), circuit, attempts)
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_its_callers_fault() {
    let http = reqwest::Client::builder().https_only(true).build().unwrap();
    let (client, circuit, attempts) = watched(http);
    // Refused by reqwest inside of the stack, and before it.
    for (url, times) in [("http://some.example/", 1), ("no url", 0), ("data:text/plain,x", 0)] {
        attempts.store(0, Ordering::Relaxed);
        let error = client.get(url).send().await.unwrap_err();
        assert!(error.into_service().unwrap().is_builder(), "{url}");
        assert_eq!(count(&attempts), times, "{url}");
    }
    assert_eq!(circuit.snapshot().counts.failures, 0);
}

/// As bodies do that fail on their way up.
#[tokio::test]
async fn a_body_that_fails_says_nothing_of_the_service() {
    let address = serve(Router::new().route("/", post(|_: String| async {}))).await;
    let (client, circuit, attempts) = watched(reqwest::Client::new());
    for before in [vec![], vec!["a piece"]] {
        let body = streamed(before.into_iter().map(Ok).chain([Err("the disk failed")]));
        client.post(format!("http://{address}/")).body(body).send().await.unwrap_err();
    }
    assert_eq!((count(&attempts), circuit.snapshot().counts.failures), (2, 0));
}
