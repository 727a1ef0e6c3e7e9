//! On axum's routers.

use axum::{Router, body::Body, extract::Request, routing::post};
use http::Response;
use steadfast_core::http::respond;
use steadfast_idempotency::http::IdempotencyLayer;
use tower::ServiceExt;

use super::support::{Got, Runs, by, handle, pay, user};

/// Answers with its path and the number of its run.
fn shop(runs: &Runs) -> Router {
    let runs = runs.clone();
    let receipt = move |request: Request| {
        let run = runs.next();
        async move {
            let path = request.uri().path().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            format!("{path}: {} paid in run {run}", String::from_utf8_lossy(&body))
        }
    };
    Router::new().route("/pay", post(receipt))
}

async fn send(router: &Router, request: http::Request<Body>) -> Got {
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    Got::of(response).await
}

#[tokio::test]
async fn a_request_with_a_key_runs_once_and_is_replayed() {
    let runs = Runs::default();
    let router = shop(&runs).layer(respond(IdempotencyLayer::unscoped(handle())));
    let first = send(&router, pay("/pay", "7f3a", "5 euros")).await;
    assert_eq!((first.is_replayed(), &*first.text), (false, "/pay: 5 euros paid in run 1"));
    let again = send(&router, pay("/pay", "7f3a", "5 euros")).await;
    assert_eq!((again.is_replayed(), &*again.text), (true, "/pay: 5 euros paid in run 1"));
    assert_eq!(runs.count(), 1);
    let other = send(&router, pay("/pay", "7f3a", "6 euros")).await;
    assert_eq!(other.refused(), (422, None));
}

#[tokio::test]
async fn a_record_of_one_principal_never_answers_another() {
    let runs = Runs::default();
    let router = shop(&runs).layer(respond(IdempotencyLayer::scoped_by(handle(), user)));
    for (user, run) in [("alice", 1), ("bob", 2), ("alice", 1), ("bob", 2)] {
        let got = send(&router, by(user, pay("/pay", "7f3a", "5 euros"))).await;
        assert_eq!(got.text, format!("/pay: 5 euros paid in run {run}"), "{user}");
    }
    assert_eq!(send(&router, pay("/pay", "7f3a", "5 euros")).await.refused(), (400, None));
    assert_eq!(runs.count(), 2);
}
