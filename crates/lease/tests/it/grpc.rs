//! The layers over gRPC.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response, uri::PathAndQuery};
use steadfast_core::{guard, tonic as ours};
use steadfast_lease::{
    Election, FenceConfig, LeaseClient, LeaseClientConfig, MemoryConfig, MemoryStore,
    http::{FenceLayer, FencedClientLayer, Held, Holding},
};
use tokio::net::TcpListener;
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tower::{Layer, service_fn};

use crate::http::{by_path, fences, token};

/// Messages are plain bytes: no code has to be generated.
#[derive(Clone, Default)]
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

/// A server that answers every call it executes with `NOT_FOUND`.
async fn channel() -> Channel {
    let answer = service_fn(async |_: Request<Body>| {
        let response: Response<Body> = Status::new(Code::NotFound, "executed").into_http();
        Ok::<_, Infallible>(response)
    });
    let layer = FenceLayer::new(fences(FenceConfig::new()), by_path);
    let router = Router::new().fallback_service(ours::respond(layer).layer(answer));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

async fn call(channel: &Channel, token: Option<&'static str>) -> Status {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(Bytes::from_static(b"one"));
    if let Some(token) = token {
        request.metadata_mut().insert("fencing-token", token.parse().unwrap());
    }
    let path = PathAndQuery::from_static("/shop.Orders/Place");
    client.unary(request, path, Plain).await.unwrap_err()
}

#[tokio::test]
async fn on_a_server_of_tonic_a_refusal_has_its_code_and_words() {
    let channel = channel().await;
    for (token, code, words) in [
        (Some("34"), Code::NotFound, "executed"),
        (Some("33"), Code::FailedPrecondition, "fenced: token 33 is stale, the highest is 34"),
        (None, Code::FailedPrecondition, "a fencing token is required"),
        (
            Some("thirty"),
            Code::InvalidArgument,
            "the fencing token or the number of the call is none",
        ),
        (Some("34"), Code::NotFound, "executed"),
    ] {
        let status = call(&channel, token).await;
        assert_eq!((status.code(), status.message()), (code, words), "{token:?}");
    }
    let ahead = call(&channel, Some("9223372036854775807")).await;
    assert_eq!(ahead.code(), Code::InvalidArgument);
}

/// A call of a holder's, which may take a second.
async fn call_as(channel: &Channel, lease: impl Holding + Clone + Send) -> Code {
    let layer = guard(FencedClientLayer::new(lease, Duration::from_secs(1)));
    let mut client = Grpc::new(layer.layer(channel.clone()));
    client.ready().await.unwrap();
    let request = tonic::Request::new(Bytes::from_static(b"one"));
    let path = PathAndQuery::from_static("/shop.Orders/Place");
    client.unary(request, path, Plain).await.unwrap_err().code()
}

#[tokio::test]
async fn on_a_client_of_tonic_the_token_is_attached_and_a_refusal_has_its_code() {
    let channel = channel().await;
    for (held, code) in [(5, Code::NotFound), (0, Code::PermissionDenied)] {
        let remaining = Duration::from_secs(held);
        let lease = move || Some(Held { token: token(34), remaining });
        assert_eq!(call_as(&channel, lease).await, code);
    }
}

#[tokio::test]
async fn a_lease_and_a_leadership_are_what_the_clients_layer_is_given() {
    let channel = channel().await;
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let client = LeaseClient::new(LeaseClientConfig::new(), store).unwrap();
    let name = crate::support::name();
    let lease = Arc::new(client.try_acquire(&name).await.unwrap());
    assert_eq!(call_as(&channel, Arc::clone(&lease)).await, Code::NotFound, "executed");
    // Its token was attached: one below it is stale now.
    let stale = call(&channel, Some("34")).await;
    assert!(stale.message().contains(&lease.token().to_string()), "{stale:?}");
    lease.release().await.unwrap();
    assert_eq!(call_as(&channel, Arc::clone(&lease)).await, Code::PermissionDenied, "not sent");

    let leader = Election::new(client, name).campaign(None).await.unwrap();
    assert_eq!(call_as(&channel, leader.clone()).await, Code::NotFound, "executed");
    let zombie = lease.token();
    let zombie = move || Some(Held { token: zombie, remaining: Duration::from_secs(9) });
    assert_eq!(call_as(&channel, zombie).await, Code::FailedPrecondition, "fenced");
    leader.resign().await.unwrap();
    assert_eq!(call_as(&channel, leader).await, Code::PermissionDenied, "not sent");
}
