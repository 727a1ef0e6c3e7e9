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
    timeout::{BodyTimeoutConfig, BodyTimeoutLayer, RequestBodyTimeoutLayer, Stalled},
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
    assert!(answer.contains("no frame of the request's body within 200ms"), "{answer}");
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
