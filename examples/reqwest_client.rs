//! Retry, breaker and timeout round a `reqwest::Client`, in a few lines; requests are made as ever.
//!
//! `cargo run --example reqwest_client`

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::any};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen, State},
    cause,
    reqwest::Client,
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::{BoxError, ServiceBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let circuit = Circuit::new(
        CircuitConfig::new().count_window(10.try_into()?).minimum_calls(5.try_into()?),
    )?;
    // An open circuit says when to come back. A caller who would have to wait longer than this
    // hears so at once.
    let retry = RetryConfig::new().retry_after_limit(Duration::from_millis(500));
    let limit = TimeoutLayer::adaptive(Duration::from_millis(50), Duration::from_secs(5))?;
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::new(retry).http())
        .layer(BreakerLayer::new(circuit.clone()).http())
        .layer(limit.http());
    // reqwest repeats by itself what a peer of HTTP/2 did not process: here the stack does.
    let http = reqwest::Client::builder().retry(reqwest::retry::never()).build()?;
    let client = Client::new(http, stack);
    let (address, calls, server) = server().await?;
    let url = format!("http://{address}/");

    // The server is busy at first. A PUT may be executed twice, so it is sent again …
    let response = client.put(&url).body("hello").send().await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.url().as_str(), url);
    assert_eq!(calls.swap(0, Ordering::SeqCst), 2);

    // … and a POST may not: the caller gets the 503.
    let response = client.post(&url).body("hello").send().await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    // With the server gone, connections are refused. The failure is reqwest's own until the circuit
    // opens.
    server.abort();
    // Aborted, the server closes its listener; waiting makes sure of it.
    assert!(server.await.is_err());
    let error = loop {
        let error = client.post(&url).send().await.expect_err("no server is there");
        match cause::<reqwest::Error>(&error) {
            Some(own) => assert!(own.is_connect() || own.is_request(), "{own:?}"),
            None => break error,
        }
    };
    assert_eq!(circuit.state(), State::Open);
    assert!(cause::<CircuitOpen>(&error).is_some());
    println!("{error}");
    Ok(())
}

/// A server that is busy at its first call, and how often it was called.
async fn server() -> Result<(SocketAddr, Arc<AtomicU32>, JoinHandle<()>), BoxError> {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&calls);
    let answer = any(move |_: String| async move {
        match seen.fetch_add(1, Ordering::SeqCst) {
            0 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new().route("/", answer);
    let server = tokio::spawn(async move {
        axum::serve(listener, routes).await.expect("a listener accepts for ever");
    });
    Ok((address, calls, server))
}
