//! `respond`: a stack in `Router::layer`, and the error type stays `Infallible`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router, body::Body, extract::State, http::StatusCode, response::Response, routing::get,
};
use http::{Request, header};
use steadfast::{
    Grounds,
    breaker::{BreakerLayer, Circuit},
    http::{SealResponseLayer, respond},
    timeout::TimeoutLayer,
};
use tower::{ServiceBuilder, ServiceExt};

use crate::support::{serve, touchy};

async fn broken(State(calls): State<Arc<AtomicU32>>) -> StatusCode {
    calls.fetch_add(1, Ordering::Relaxed);
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn behind_a_breaker(circuit: &Circuit) -> (SocketAddr, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let router = Router::new()
        .route("/a", get(broken))
        .route("/b", get(broken))
        .layer(respond(BreakerLayer::new(circuit.clone()).http()))
        .with_state(Arc::clone(&calls));
    (serve(router).await, calls)
}

/// How many calls reach the handler when each of ten goes to the other route than the one before.
async fn calls_until_open(connection: reqwest::Client, circuit: &Circuit) -> u32 {
    let (address, calls) = behind_a_breaker(circuit).await;
    for n in 0..10 {
        let route = if n % 2 == 0 { "a" } else { "b" };
        let response = connection.get(format!("http://{address}/{route}")).send().await.unwrap();
        assert!(response.status().is_server_error());
    }
    calls.load(Ordering::Relaxed)
}

#[tokio::test]
async fn one_circuit_spans_routes_and_connections() {
    let one_connection = reqwest::Client::new();
    assert_eq!(calls_until_open(one_connection, &touchy()).await, 2);
    let one_each = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    assert_eq!(calls_until_open(one_each, &touchy()).await, 2, "one request on each connection");
}

#[tokio::test]
async fn a_refusal_is_a_problem_document_that_says_when_to_come_back() {
    let circuit = touchy();
    let (address, _) = behind_a_breaker(&circuit).await;
    let client = reqwest::Client::new();
    for _ in 0..2 {
        client.get(format!("http://{address}/a")).send().await.unwrap();
    }
    let response = client.get(format!("http://{address}/a")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let seconds: u64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((590..=600).contains(&seconds), "{seconds}");
    let body = response.text().await.unwrap();
    assert!(
        body.contains(r#""status":503"#) && body.contains(r#""detail":"circuit open""#),
        "{body}"
    );
}

#[tokio::test]
async fn a_timeout_is_a_504() {
    let stack =
        ServiceBuilder::new().layer(TimeoutLayer::fixed(Duration::from_millis(50)).unwrap().http());
    let router = Router::new().route("/", get(std::future::pending::<()>)).layer(respond(stack));
    let address = serve(router).await;
    let response = reqwest::get(format!("http://{address}/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

/// Works, then answers with the response of another route, which refuses.
async fn passes_on(State(mailer): State<Router>) -> Response {
    let Ok(response) = mailer.oneshot(Request::new(Body::empty())).await;
    response
}

#[tokio::test]
async fn a_sealed_handler_answers_for_itself_whatever_it_passes_on() {
    let open = Circuit::default();
    open.force_open();
    let mailer =
        Router::new().route("/", get(StatusCode::OK)).layer(respond(BreakerLayer::new(open)));
    let orders = |seals: bool| {
        let handler = get(passes_on).with_state(mailer.clone());
        let handler = if seals { handler.layer(SealResponseLayer::new()) } else { handler };
        Router::new().route("/", handler).oneshot(Request::new(Body::empty()))
    };
    for (seals, is_refusal) in [(false, true), (true, false)] {
        let Ok(response) = orders(seals).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.extensions().get::<Grounds>().is_some(), is_refusal, "sealed: {seals}");
    }
}
