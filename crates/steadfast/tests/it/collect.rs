//! Failures that come after the head of a response.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    breaker::{BreakerLayer, State},
    cause, guard,
    http::{BodyFailed, CollectLayer},
    retry::RetryLayer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::support::touchy;

/// Promises eleven bytes and hangs up after five, on the first `breaks` connections; then sends all
/// of it.
async fn cut_short(breaks: u32) -> (SocketAddr, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&calls);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 1024];
            // A GET without a body arrives in one piece on loopback.
            let _ = connection.read(&mut request).await.unwrap();
            let broken = seen.fetch_add(1, Ordering::SeqCst) < breaks;
            let body = if broken { "hello" } else { "hello world" };
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n";
            connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    (address, calls)
}

type HttpClient = Client<HttpConnector, steadfast::retry::http::ReplayBody<Full<Bytes>>>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

fn request(address: SocketAddr) -> Request<Full<Bytes>> {
    Request::get(format!("http://{address}/")).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_body_that_breaks_off_is_retried_when_the_whole_response_is_awaited() {
    let (address, calls) = cut_short(1).await;
    let stack =
        ServiceBuilder::new().layer(RetryLayer::default().http()).layer(CollectLayer::new(1024));
    let response = guard(stack).layer(client()).oneshot(request(address)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello world");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn judged_by_its_head_the_same_response_is_a_success() {
    let (address, calls) = cut_short(1).await;
    let stack = RetryLayer::default().http();
    let response = guard(stack).layer(client()).oneshot(request(address)).await.unwrap();
    response.into_body().collect().await.unwrap_err();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_larger_than_the_limit_streams_on() {
    let (address, _) = cut_short(0).await;
    let stack =
        ServiceBuilder::new().layer(RetryLayer::default().http()).layer(CollectLayer::new(3));
    let response = guard(stack).layer(client()).oneshot(request(address)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello world");
}

#[tokio::test]
async fn bodies_that_break_off_open_a_circuit() {
    let (address, _) = cut_short(u32::MAX).await;
    let circuit = touchy();
    let stack = ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()).http())
        .layer(CollectLayer::new(1024));
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let service = guard(stack).layer(client);
    for _ in 0..2 {
        let error = service.clone().oneshot(request(address)).await.unwrap_err();
        assert!(cause::<BodyFailed>(&error).is_some(), "{error:?}");
    }
    assert_eq!(circuit.state(), State::Open);
}
