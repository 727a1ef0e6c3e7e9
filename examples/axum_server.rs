//! A stack in `Router::layer`: refusals are responses, and the router's error type stays what it
//! is.
//!
//! `cargo run --example axum_server`

use std::{num::NonZeroU32, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OpenTime, State},
    http::respond,
    timeout::{DeadlineConfig, DeadlineLayer},
};
use tokio::{net::TcpListener, time::sleep};
use tower::{BoxError, ServiceBuilder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let open_time = OpenTime::constant(Duration::from_millis(300))?;
    let config = CircuitConfig::new()
        .count_window(10.try_into()?)
        .minimum_calls(5.try_into()?)
        .open_time(open_time)
        .probes(NonZeroU32::MIN, NonZeroU32::MIN);
    let circuit = Circuit::new(config)?;
    // The circuit is made out here: axum applies a layer once for each route, and lazily for each
    // connection.
    let breaker = ServiceBuilder::new().layer(BreakerLayer::new(circuit.clone()).http());
    let config = DeadlineConfig::new().headers().total(Duration::from_secs(2));
    let deadline = ServiceBuilder::new().layer(DeadlineLayer::new(config)?);
    let routes = Router::new()
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .layer(respond(breaker))
        .route("/slow", get(|| sleep(Duration::from_secs(10))))
        .layer(respond(deadline));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = reqwest::Client::new();

    // Five failures of the handler open its circuit.
    for _ in 0..5 {
        let response = client.get(format!("http://{address}/broken")).send().await?;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(circuit.state(), State::Open);

    // The handler is not called any more. The caller hears why, and when to come back.
    let response = client.get(format!("http://{address}/broken")).send().await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem = response.text().await?;
    assert!(problem.contains(r#""detail":"circuit open""#), "{problem}");
    println!("503 {problem}");

    // When the open time has passed, one request is let through to find out: still broken.
    sleep(Duration::from_millis(350)).await;
    let response = client.get(format!("http://{address}/broken")).send().await?;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(circuit.state(), State::Open);

    // A caller who says how long it waits is answered in that time.
    let slow = client.get(format!("http://{address}/slow")).header("x-request-timeout-ms", "100");
    let response = slow.send().await?;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    println!("504 {}", response.text().await?);
    Ok(())
}
