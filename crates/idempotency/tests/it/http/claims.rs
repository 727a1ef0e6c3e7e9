//! Claims, as handlers see them.

use std::time::Duration;

use axum::{Router, body::Body, response::IntoResponse, routing::post};
use futures::poll;
use http::{Request, StatusCode};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    IdempotencyConfig, OnAbandoned, RecordId, ViewState,
    http::{HttpClaim, IdempotencyLayer},
};
use tokio::time::sleep;

use super::support::{handle_of, layer, pay, send};
use crate::support::MS;

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_its_attempt_and_that_its_claim_is_lost() {
    let config = IdempotencyConfig::new()
        .on_abandoned(OnAbandoned::Takeover)
        .lease(300 * MS)
        .store_limit(100 * MS);
    let handle = handle_of(config);
    let told = |claim: HttpClaim| async move {
        if claim.attempt().get() == 1 && !claim.is_lost() {
            return StatusCode::GATEWAY_TIMEOUT.into_response();
        }
        format!("attempt {}", claim.attempt()).into_response()
    };
    let waits = |claim: HttpClaim| async move {
        claim.lost().await;
        format!("lost: {}", claim.is_lost())
    };
    let router = Router::new()
        .route("/pay", post(told))
        .route("/wait", post(waits))
        .layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.status, 504);
    let id = RecordId::new("", "7f3a").unwrap();
    assert_eq!(handle.look(&id).await.unwrap().unwrap().state, ViewState::Abandoned);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.text, "attempt 2");
    // An operator frees the key of one that runs: its completion does not count.
    let mut call = Box::pin(send(&router, pay("/wait", "7f3b", "")));
    assert!(poll!(&mut call).is_pending());
    sleep(MS).await;
    assert!(handle.forget(&RecordId::new("", "7f3b").unwrap()).await.unwrap());
    assert_eq!(call.await.refused(), (409, Some("1")));
}

#[tokio::test]
async fn a_handler_that_wants_a_claim_refuses_a_request_without_one() {
    let wants = |claim: HttpClaim| async move { format!("attempt {}", claim.attempt()) };
    let may = |claim: Option<HttpClaim>| async move { format!("{}", claim.is_some()) };
    let routes = Router::new().route("/pay", post(wants)).route("/may", post(may));
    let no_key = |path: &str| Request::post(path).body(Body::empty()).unwrap();
    let bare = routes.clone();
    let router = routes.layer(respond(layer()));
    assert_eq!(send(&router, no_key("/pay")).await.refused(), (400, None));
    assert_eq!(send(&router, no_key("/may")).await.text, "false");
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.text, "attempt 1");
    assert_eq!(send(&router, pay("/may", "7f3b", "")).await.text, "true");
    assert_eq!(send(&bare, pay("/pay", "7f3a", "")).await.status, 500, "no layer");
}
