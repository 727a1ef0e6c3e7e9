//! The layer in a router of axum, whose handlers cannot fail.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Router, extract::State, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast_chaos::{Fault, FaultLayer, Faults, Plan, Rule};
use steadfast_core::http::respond;

use crate::support::{always, counts, on};

async fn count(State(executed): State<Arc<AtomicU32>>) -> Bytes {
    executed.fetch_add(1, Ordering::Relaxed);
    super::thousand()
}

/// One request to each of two routes: their statuses, what came of their bodies, and how many were
/// executed.
async fn served(faults: &Faults) -> ([(StatusCode, Option<Bytes>); 2], u32) {
    let executed = Arc::new(AtomicU32::new(0));
    let layer = FaultLayer::new(faults.clone())
        .tag(|request: &Request<axum::body::Body>| Some(request.uri().path()))
        .http();
    let router = Router::new()
        .route("/a", get(count))
        .route("/b", get(count))
        .layer(respond(layer))
        .with_state(Arc::clone(&executed));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let ask = async |path: &str| {
        let uri: Uri = format!("http://{address}{path}").parse().unwrap();
        let response = client.get(uri).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.ok().map(|body| body.to_bytes()))
    };
    let seen = [ask("/a").await, ask("/b").await];
    (seen, executed.load(Ordering::Relaxed))
}

#[tokio::test]
async fn rules_strike_a_route_by_its_tag() {
    let faults = on(Plan::new(1).rule(Rule::new("it", Fault::Error).only("/b")));
    let ([a, b], executed) = served(&faults).await;
    assert_eq!((a.0, a.1.unwrap().len()), (StatusCode::OK, 1000));
    assert_eq!((b.0, executed), (StatusCode::SERVICE_UNAVAILABLE, 1));
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test]
async fn a_crash_before_is_a_refusal_that_respond_makes_a_response_of() {
    let ([a, _], executed) = served(&always(Fault::CrashedBefore)).await;
    assert_eq!((a.0, executed), (StatusCode::SERVICE_UNAVAILABLE, 0));
    let problem = String::from_utf8(a.1.unwrap().to_vec()).unwrap();
    assert!(problem.contains("injected fault: crashed_before"), "{problem}");
}

#[tokio::test]
async fn a_cut_body_is_an_error_to_the_client_in_mid_body() {
    let faults = always(Fault::BodyCut);
    let ([a, b], executed) = served(&faults).await;
    for (status, body) in [a, b] {
        assert_eq!((status, body), (StatusCode::OK, None));
    }
    assert_eq!((executed, counts(&faults)), (2, (2, 0)));
}
