//! Servers that say when to come back, and circuits that stay open for as long.

use std::time::Duration;

use axum::{Router, http::StatusCode};
use http::{Request, Response, header};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OpenTime, State},
    guard,
};
use tonic::{Code, Status};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    grpc::{call, server_of},
    support::serve,
};

/// Opens after two failures for a second, and for a minute at most.
fn circuit() -> Circuit {
    let open_time = OpenTime::exponential(Duration::from_secs(1), Duration::from_secs(60)).unwrap();
    let (window, minimum) = (10.try_into().unwrap(), 2.try_into().unwrap());
    let config = CircuitConfig::new().count_window(window).minimum_calls(minimum);
    Circuit::new(config.open_time(open_time)).unwrap()
}

/// Open for so many seconds, less what the test has taken.
fn is_open_for(circuit: &Circuit, seconds: u64) {
    let snapshot = circuit.snapshot();
    assert_eq!(snapshot.state, State::Open);
    let (left, told) = (snapshot.open_for.unwrap(), Duration::from_secs(seconds));
    assert!(left <= told && left > told.saturating_sub(Duration::from_secs(10)), "{left:?}");
}

#[tokio::test]
async fn a_circuit_stays_open_as_long_as_a_servers_retry_after_says() {
    for (status, value, seconds) in [
        (StatusCode::SERVICE_UNAVAILABLE, "30", 30),
        (StatusCode::TOO_MANY_REQUESTS, "30", 30),
        // Three years, of which an hour is too much.
        (StatusCode::SERVICE_UNAVAILABLE, "99999999", 60),
        (StatusCode::SERVICE_UNAVAILABLE, "99999999999999999999999999", 60),
        (StatusCode::SERVICE_UNAVAILABLE, "soon", 1),
        (StatusCode::SERVICE_UNAVAILABLE, "-1", 1),
    ] {
        let busy = move || async move { (status, [(header::RETRY_AFTER, value)]) };
        let address = serve(Router::new().fallback(busy)).await;
        let (client, circuit) = (reqwest::Client::new(), circuit());
        let send = service_fn(move |_: Request<()>| {
            let response = client.get(format!("http://{address}/")).send();
            async { response.await.map(Response::from) }
        });
        let service = guard(BreakerLayer::new(circuit.clone()).http()).layer(send);
        for _ in 0..2 {
            service.clone().oneshot(Request::new(())).await.unwrap();
        }
        is_open_for(&circuit, seconds);
        let refused = service.oneshot(Request::new(())).await.unwrap_err();
        let after = refused.refusal().unwrap().retry_after().unwrap();
        assert!(after <= Duration::from_secs(seconds), "{value}: {after:?}");
    }
}

#[tokio::test]
async fn a_circuit_stays_open_as_long_as_a_servers_pushback_says() {
    for (pushback, seconds) in [("30000", 30), ("2147483647", 60), ("-1", 1), ("soon", 1)] {
        let mut status = Status::new(Code::Unavailable, "as told");
        status.metadata_mut().insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
        let (channel, _) = server_of(status, None).await;
        let circuit = circuit();
        let service = guard(BreakerLayer::new(circuit.clone()).grpc()).layer(channel);
        for _ in 0..2 {
            assert_eq!(call(service.clone()).await.code(), Code::Unavailable);
        }
        is_open_for(&circuit, seconds);
    }
}
