//! On axum's routers.

use std::time::Duration;

use axum::{Router, extract::OriginalUri};
use steadfast_core::http::respond;
use steadfast_idempotency::http::IdempotencyLayer;

use super::support::{Runs, handle, layer, pay, send, till};

fn shop(runs: &Runs) -> Router {
    till(runs, Duration::ZERO)
}

#[tokio::test]
async fn on_a_router_a_request_with_a_key_runs_once_and_is_replayed() {
    let runs = Runs::default();
    let router = shop(&runs).layer(respond(layer()));
    let first = send(&router, pay("/pay", "7f3a", "5 euros")).await;
    assert_eq!((first.is_replayed(), &*first.text), (false, "/pay: 5 euros paid in run 1"));
    let again = send(&router, pay("/pay", "7f3a", "5 euros")).await;
    assert_eq!((again.is_replayed(), &*again.text), (true, "/pay: 5 euros paid in run 1"));
    assert_eq!((again.status, runs.count()), (first.status, 1));
}

#[tokio::test]
async fn it_mounts_on_routes_alone_and_knows_a_key_on_all_of_them() {
    let runs = Runs::default();
    let idempotency = respond(layer());
    let router = shop(&runs)
        .route_layer(idempotency.clone())
        .merge(Router::new().nest("/v1", shop(&runs)).route_layer(idempotency));
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.text, "/pay:  paid in run 1");
    assert!(send(&router, pay("/pay", "7f3a", "")).await.is_replayed());
    // axum applies a layer once for each route: what it knows is in the handle.
    assert_eq!(send(&router, pay("/v1/pay", "7f3a", "")).await.refused(), (422, None));
    assert_eq!(send(&router, pay("/nowhere", "7f3a", "")).await.status, 404);
    assert_eq!(runs.count(), 1);
}

/// `/v1/pay` and `/v2/pay`, with a layer of one handle inside each.
fn nested(runs: &Runs, layer: &IdempotencyLayer) -> Router {
    let inside = || shop(runs).layer(respond(layer.clone()));
    Router::new().nest("/v1", inside()).nest("/v2", inside())
}

#[tokio::test]
async fn inside_of_a_nest_the_original_path_tells_requests_apart() {
    let runs = Runs::default();
    let whole = layer().original_uri::<OriginalUri>();
    let router = nested(&runs, &whole);
    assert_eq!(send(&router, pay("/v1/pay", "7f3a", "")).await.text, "/pay:  paid in run 1");
    assert_eq!(send(&router, pay("/v2/pay", "7f3a", "")).await.refused(), (422, None));
    assert!(send(&router, pay("/v1/pay", "7f3a", "")).await.is_replayed());
    // The trap: the path that a nested layer sees is cut.
    let router = nested(&runs, &layer());
    assert_eq!(send(&router, pay("/v1/pay", "7f3a", "")).await.text, "/pay:  paid in run 2");
    assert_eq!(send(&router, pay("/v2/pay", "7f3a", "")).await.text, "/pay:  paid in run 2");
}

#[tokio::test]
async fn outside_of_a_nest_the_path_is_whole() {
    let runs = Runs::default();
    let router = Router::new().nest("/v1", shop(&runs)).nest("/v2", shop(&runs));
    let router = router.layer(respond(IdempotencyLayer::unscoped(handle())));
    assert_eq!(send(&router, pay("/v1/pay", "7f3a", "")).await.text, "/pay:  paid in run 1");
    assert_eq!(send(&router, pay("/v2/pay", "7f3a", "")).await.refused(), (422, None));
}
