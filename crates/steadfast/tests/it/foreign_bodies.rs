//! `respond` round services whose bodies are not ours: layers of tower-http in it and round it,
//! nested routers, hyper's client, tonic's server and channel.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::get};
use http::header;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{breaker::BreakerLayer, http::respond, timeout::TimeoutLayer, tonic as ours};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer,
    timeout::TimeoutLayer as TheirTimeout, trace::TraceLayer,
};

use crate::{
    grpc::{call, server},
    support::{serve, touchy},
};

const WORDS: &str = "a body that is long enough for a layer that compresses";

async fn panics() -> &'static str {
    panic!("a handler that panics")
}

fn routes() -> Router {
    Router::new()
        .route("/", get(async || WORDS.repeat(20)))
        .route("/panics", get(panics))
        .route("/hangs", get(std::future::pending::<()>))
}

/// Layers of others round a stack of ours, and others in it.
fn among_others() -> Router {
    let limit = TimeoutLayer::fixed(Duration::from_millis(50)).unwrap();
    let ours = ServiceBuilder::new().layer(BreakerLayer::new(touchy()).http()).layer(limit.http());
    let builder = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(TheirTimeout::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(9)))
        .layer(respond(ours))
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new());
    routes().layer(builder)
}

#[tokio::test]
async fn layers_of_others_stand_on_both_sides_in_one_builder() {
    let client = reqwest::Client::new();
    for (path, status) in
        [("/hangs", StatusCode::GATEWAY_TIMEOUT), ("/panics", StatusCode::INTERNAL_SERVER_ERROR)]
    {
        let address = serve(among_others()).await;
        let ask = async |path: &str| {
            let request = client.get(format!("http://{address}{path}"));
            request.header(header::ACCEPT_ENCODING, "gzip").send().await.unwrap()
        };
        let response = ask("/").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        let body = response.bytes().await.unwrap();
        assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < WORDS.len() * 20, "{body:?}");
        // A failure to the breaker, which opens: it is one of two.
        assert_eq!(ask(path).await.status(), status);
        let refused = ask("/").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!refused.headers().contains_key(header::CONTENT_ENCODING));
        assert!(refused.text().await.unwrap().contains(r#""detail":"circuit open""#));
    }
}

#[tokio::test]
async fn it_is_a_layer_of_routes_and_of_nested_routers() {
    for nested in [false, true] {
        let circuit = touchy();
        circuit.force_open();
        let layer = respond(BreakerLayer::new(circuit).http());
        let guarded = routes().layer(TraceLayer::new_for_http());
        let router = if nested {
            Router::new().nest("/orders", guarded.layer(layer))
        } else {
            Router::new().nest("/orders", guarded.route_layer(layer))
        };
        let request = Request::get("/orders/panics").body(Body::empty()).unwrap();
        let Ok(response) = router.oneshot(request).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "nested: {nested}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"{"), "{body:?}");
    }
}

#[tokio::test]
async fn round_hypers_client_a_refusal_is_a_response_and_errors_stay_hypers() {
    let address = serve(routes()).await;
    let client: Client<HttpConnector, Body> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let circuit = touchy();
    let service = respond(BreakerLayer::new(circuit.clone()).http()).layer(client);
    let ask = |url: String| Request::get(url).body(Body::empty()).unwrap();
    let found = service.clone().oneshot(ask(format!("http://{address}/"))).await.unwrap();
    assert_eq!(found.status(), StatusCode::OK);
    assert_eq!(found.into_body().collect().await.unwrap().to_bytes().len(), WORDS.len() * 20);
    let error: hyper_util::client::legacy::Error =
        service.clone().oneshot(ask("http://127.0.0.1:1/".into())).await.unwrap_err();
    assert!(error.is_connect(), "{error}");
    circuit.force_open();
    let refused = service.oneshot(ask(format!("http://{address}/"))).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let size = refused.body().size_hint().exact();
    let problem = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(size, Some(problem.len() as u64));
    assert!(problem.starts_with(b"{"), "{problem:?}");
}

#[tokio::test]
async fn round_a_channel_of_tonics_a_refusal_is_a_response_of_a_head_alone() {
    let (channel, calls) = server(Code::Ok, None).await;
    let circuit = touchy();
    let service = ours::respond(BreakerLayer::new(circuit.clone()).grpc()).layer(channel);
    circuit.force_open();
    let refused = call(service.clone()).await;
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "circuit open"));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let request = Request::new(tonic::body::Body::empty());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(response.body().is_end_stream());
    assert!(response.into_body().collect().await.unwrap().trailers().is_none());
}

#[tokio::test]
async fn a_server_of_tonics_sends_a_refusal_as_trailers_alone() {
    let circuit = touchy();
    circuit.force_open();
    let layer = ours::respond(BreakerLayer::new(circuit).grpc());
    // Trace inside: its body is made of nothing but the service's own.
    let stack = ServiceBuilder::new().layer(layer).layer(TraceLayer::new_for_grpc());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = tonic::service::Routes::from(Router::new());
    let server = Server::builder().layer(stack).add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let refused = call(channel).await;
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "circuit open"));
    // On the wire: one frame of headers that ends the stream.
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let request = client.post(format!("http://{address}/shop.Orders/Place"));
    let response = request.header(header::CONTENT_TYPE, "application/grpc").send().await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(http::Response::from(response).into_body().is_end_stream());
}
