//! Bodies that do not come, over sockets.

use std::{io, time::Duration};

use axum::{Router, body::Body, routing::get, routing::post};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    http::respond,
    timeout::{
        BodyTimeoutConfig, BodyTimeoutLayer, LimitConfig, RequestBodyTimeoutLayer, Stalled,
        TimeLimit,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::support::serve;

const LIMIT: Duration = Duration::from_millis(200);

fn config() -> BodyTimeoutConfig {
    BodyTimeoutConfig::new().between_frames(LIMIT)
}

#[tokio::test]
async fn a_client_that_stops_sending_is_answered_with_408() {
    let layer = respond(RequestBodyTimeoutLayer::new(config()).unwrap());
    let router =
        Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() })).layer(
            ServiceBuilder::new()
                .layer(layer)
                .map_request(|request: Request<_>| request.map(Body::new)),
        );
    let address = serve(router).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n";
    client.write_all(format!("{head}12345").as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("no frame of the request's body within 200 ms"), "{answer}");
    // One that sends in time is answered.
    let response = reqwest::Client::new().post(format!("http://{address}/")).body("12345").send();
    assert_eq!(response.await.unwrap().text().await.unwrap(), "5");
}

#[tokio::test]
async fn a_server_that_stops_sending_ends_the_clients_body() {
    let frames = || {
        let first = stream::once(async { Ok::<_, io::Error>("one") });
        Body::from_stream(first.chain(stream::pending()))
    };
    let address = serve(Router::new().route("/", get(async move || frames()))).await;
    let client: Client<HttpConnector, Body> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let service = BodyTimeoutLayer::new(config()).unwrap().layer(client);
    let request = Request::get(format!("http://{address}/")).body(Body::empty()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref::<Stalled>(), Some(&Stalled::response(LIMIT)));
    assert!(body.frame().await.is_none());
}

/// Frames at these pauses, over a socket, and then the end.
fn drips(pauses: Vec<Duration>) -> Body {
    Body::from_stream(stream::iter(pauses).then(async |pause| {
        tokio::time::sleep(pause).await;
        Ok::<_, io::Error>("one")
    }))
}

#[tokio::test]
async fn a_client_learns_how_long_a_server_is_silent_between_frames() {
    let ms = Duration::from_millis(1);
    let pause = move |path: &str| if path == "/stalls" { 3600 * 1000 * ms } else { 20 * ms };
    let router = Router::new()
        .fallback(async move |request: Request<Body>| drips(vec![pause(request.uri().path()); 3]));
    let address = serve(router).await;
    // A floor that a test can wait for.
    let config = LimitConfig::quantile(300 * ms, Duration::from_secs(20)).explore(false);
    let limit = TimeLimit::new(config.cold_start(Duration::from_secs(20))).unwrap();
    let client: Client<HttpConnector, Body> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let layer = BodyTimeoutLayer::new(BodyTimeoutConfig::new().adaptive(limit.clone())).unwrap();
    let service = layer.layer(client);
    let read = async |path: &str| {
        let request = Request::get(format!("http://{address}{path}")).body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.map(|body| body.to_bytes())
    };
    let reads = (0..20).map(|_| read("/"));
    for body in futures::future::join_all(reads).await {
        assert_eq!(body.unwrap(), "oneoneone");
    }
    let learned = limit.snapshot();
    assert_eq!(learned.samples, 20, "one a body");
    assert!(learned.estimate.unwrap() >= 18 * ms, "{learned:?}");
    let error = read("/stalls").await.unwrap_err();
    let stalled = error.downcast_ref::<Stalled>().unwrap();
    assert_eq!(stalled.limit, learned.limit, "{stalled}");
    assert!(limit.limit() >= 2 * stalled.limit - ms, "the stall has raised it");
}

#[tokio::test]
async fn a_server_learns_how_its_clients_send() {
    let config = LimitConfig::quantile(LIMIT, Duration::from_secs(20)).explore(false);
    let limit = TimeLimit::new(config.cold_start(Duration::from_secs(20))).unwrap();
    let config = BodyTimeoutConfig::new().adaptive(limit.clone());
    let layer = respond(RequestBodyTimeoutLayer::new(config).unwrap());
    let router =
        Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() })).layer(
            ServiceBuilder::new()
                .layer(layer)
                .map_request(|request: Request<_>| request.map(Body::new)),
        );
    let address = serve(router).await;
    let client: Client<HttpConnector, Body> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let send = async |pauses: Vec<Duration>| {
        let request = Request::post(format!("http://{address}/")).body(drips(pauses)).unwrap();
        client.request(request).await.map(|response| response.status())
    };
    let sends = (0..20).map(|_| send(vec![Duration::from_millis(20); 3]));
    for status in futures::future::join_all(sends).await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert_eq!(limit.snapshot().samples, 20);
    let status = send(vec![Duration::ZERO, Duration::from_secs(3600)]).await.unwrap();
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
}
