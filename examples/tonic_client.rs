//! Retry, breaker and timeout round a tonic channel. Nothing is generated: the messages are plain
//! bytes.
//!
//! `cargo run --example tonic_client`

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{
    Router,
    http::{request::Parts, uri::PathAndQuery},
};
use bytes::{Buf, BufMut, Bytes};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, State},
    guard,
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use tonic::{
    Code, Status,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tower::{BoxError, Layer, ServiceBuilder, service_fn};

/// How often the server was called.
static CALLS: AtomicU32 = AtomicU32::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let channel = Channel::from_shared(format!("http://{}", server().await?))?.connect_lazy();
    let circuit = Circuit::new(
        CircuitConfig::new().count_window(10.try_into()?).minimum_calls(6.try_into()?),
    )?;
    // A gRPC call is a POST. Which methods may be executed twice only the caller knows.
    let reads = |head: &Parts| head.uri.path() == "/shop.Items/Read";
    // An open circuit says when to come back. A caller who would have to wait longer than this
    // hears so at once.
    let patience = Duration::from_millis(500);
    let retry =
        RetryLayer::new(RetryConfig::new().retry_after_limit(patience)).grpc().idempotent_if(reads);
    let stack = ServiceBuilder::new()
        .layer(retry)
        .layer(BreakerLayer::new(circuit.clone()).grpc())
        .layer(TimeoutLayer::adaptive(Duration::from_millis(50), Duration::from_secs(5))?.grpc())
        .map_request(|request: axum::http::Request<_>| request.map(Body::new));
    let service = guard(stack).layer(channel);

    // The first call is answered `UNAVAILABLE`, and sent again.
    assert_eq!(call(service.clone(), "/shop.Items/Read").await?, "pong");
    assert_eq!(CALLS.load(Ordering::SeqCst), 2);

    // A write may have been executed: it is not.
    for calls in 3..=6 {
        let status = call(service.clone(), "/shop.Orders/Break").await.expect_err("broken");
        assert_eq!((status.code(), CALLS.load(Ordering::SeqCst)), (Code::Unavailable, calls));
    }

    // Five of six have failed. A refusal is a status like any other.
    assert_eq!(circuit.state(), State::Open);
    let status = call(service, "/shop.Orders/Break").await.expect_err("the circuit is open");
    assert_eq!((status.code(), CALLS.load(Ordering::SeqCst)), (Code::Unavailable, 6));
    println!("{status}");
    Ok(())
}

async fn call<T>(service: T, path: &'static str) -> Result<Bytes, Status>
where
    T: GrpcService<
            Body,
            ResponseBody: axum::body::HttpBody<Data = Bytes, Error: Into<BoxError>>
                              + Send
                              + 'static,
        >,
{
    let mut client = Grpc::new(service);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let request = tonic::Request::new(Bytes::from_static(b"ping"));
    Ok(client.unary(request, PathAndQuery::from_static(path), Plain).await?.into_inner())
}

/// A server that answers `UNAVAILABLE` to the first call and to `Break`, and pong to all others.
async fn server() -> Result<SocketAddr, BoxError> {
    let answer = service_fn(|request: axum::extract::Request| async move {
        let breaks = request.uri().path().ends_with("/Break");
        let fails = CALLS.fetch_add(1, Ordering::SeqCst) == 0 || breaks;
        let pong = service_fn(move |_: tonic::Request<Bytes>| async move {
            if fails {
                Err(Status::unavailable("busy"))
            } else {
                Ok(tonic::Response::new(Bytes::from_static(b"pong")))
            }
        });
        Ok::<_, Infallible>(tonic::server::Grpc::new(Plain).unary(pong, request).await)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(
        async move { axum::serve(listener, Router::new().fallback_service(answer)).await },
    );
    Ok(address)
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
