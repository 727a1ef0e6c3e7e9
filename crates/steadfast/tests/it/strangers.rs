//! What refusals tell strangers: not the names of what is behind.

use std::{convert::Infallible, time::Duration};

use axum::{Router, routing::get};
use http::{Request, Response};
use steadfast::{
    Grounds, HandleName, Refusal,
    breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen},
    cause,
    http::{respond, response_to},
    idempotency::Refused,
    lease::Fenced,
    phi::Suspected,
    retry::BudgetExhausted,
    timeout::{Elapsed, Stalled},
    tonic::{respond as respond_grpc, status_of},
};
use tonic::Status;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::serve;

const SECRET: &str = "ledger of the vault";

fn is_secret(text: &str) -> bool {
    text.contains("ledger") || text.contains("vault")
}

/// All that a response to `refusal` can be made of.
fn assert_silent<R: Refusal + Copy>(refusal: R) {
    assert!(is_secret(&refusal.to_string()), "a log is told: {refusal}");
    let handle = cause::<Grounds>(&refusal).unwrap().handle;
    assert_eq!(handle, HandleName::new(SECRET));
    let by_hand: Response<bytes::Bytes> = response_to(&refusal);
    let body = String::from_utf8(by_hand.body().to_vec()).unwrap();
    for text in [refusal.detail(), body, format!("{:?}", by_hand.headers())] {
        assert!(!is_secret(&text), "{text}");
    }
    // By our own renderer, and by tonic, which looks for a status in a handler's error.
    for status in [status_of(&refusal), Status::from_error(Box::new(refusal))] {
        assert!(!is_secret(status.message()), "{status:?}");
        let sent = status.into_http::<()>();
        assert!(!is_secret(&format!("{:?}", sent.headers())));
    }
}

fn named() -> Circuit {
    let circuit = Circuit::new(CircuitConfig::new().named(SECRET)).unwrap();
    circuit.force_open_for(Duration::from_secs(60));
    circuit
}

#[test]
fn a_circuits_name_is_in_no_answer() {
    assert_silent::<CircuitOpen>(named().try_admit().unwrap_err());
}

#[test]
fn nor_are_the_names_of_limits_budgets_detectors_fences_and_of_idempotency() {
    let (name, limit) = (HandleName::new(SECRET), Duration::from_secs(1));
    assert_silent(Elapsed::after(limit).with_handle(name));
    assert_silent(Elapsed::at_the_deadline(limit).with_handle(name));
    assert_silent(Elapsed::before_the_call().with_handle(name));
    assert_silent(Stalled::response(limit).with_handle(name));
    assert_silent(Stalled::request(limit).of_the_whole().with_handle(name));
    assert_silent(BudgetExhausted::new().with_handle(name));
    assert_silent(Suspected::new(9.0, None).with_handle(name));
    assert_silent(Refused::in_flight(limit).with_handle(name));
    assert_silent(Fenced::missing().with_handle(name));
}

#[tokio::test]
async fn a_client_of_a_server_that_refuses_is_not_told_the_circuits_name() {
    let stack = respond(BreakerLayer::new(named()).http());
    let router = Router::new().route("/", get(|| async { "reached" })).layer(stack);
    let response = reqwest::get(format!("http://{}/", serve(router).await)).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(!is_secret(&format!("{:?}", response.headers())));
    let body = response.text().await.unwrap();
    assert!(body.contains("circuit open") && !is_secret(&body), "{body}");
}

#[tokio::test]
async fn a_client_of_grpc_is_not_told_the_circuits_name() {
    let service =
        respond_grpc(BreakerLayer::new(named()).grpc()).layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    let message = response.headers()["grpc-message"].to_str().unwrap().to_owned();
    assert!(message.starts_with("circuit") && !is_secret(&format!("{:?}", response.headers())));
    assert_eq!(response.headers()["grpc-status"], "14");
    // The grounds in the extensions, which do not travel, say which it was.
    let grounds: &Grounds = response.extensions().get().unwrap();
    assert_eq!(grounds.handle, HandleName::new(SECRET));
}
