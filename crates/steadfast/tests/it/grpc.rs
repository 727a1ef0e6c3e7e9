//! gRPC: a refusal is a status in the source chain, on the client and on the server.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::Router;
use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response, uri::PathAndQuery};
use steadfast::{
    breaker::{BreakerLayer, Circuit, State},
    guard, tonic as ours,
};
use tonic::{
    Code, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{serve, touchy};

/// Messages are plain bytes: no code has to be generated.
#[derive(Clone, Default)]
pub(crate) struct Plain;

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

/// A server that answers every call with `code`, and how often it was called.
pub(crate) async fn server(code: Code, circuit: Option<Circuit>) -> (Channel, Arc<AtomicU32>) {
    server_of(Status::new(code, "as told"), circuit).await
}

/// A server that answers every call with `status`, and how often it was called.
pub(crate) async fn server_of(
    status: Status,
    circuit: Option<Circuit>,
) -> (Channel, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&calls);
    let answer = service_fn(move |_: Request<axum::body::Body>| {
        seen.fetch_add(1, Ordering::SeqCst);
        let response: Response<axum::body::Body> = status.clone().into_http();
        async move { Ok::<_, Infallible>(response) }
    });
    let router = match circuit {
        None => Router::new().fallback_service(answer),
        Some(circuit) => {
            let stack = ServiceBuilder::new().layer(BreakerLayer::new(circuit).grpc());
            Router::new().fallback_service(ours::respond(stack).layer(answer))
        }
    };
    let address = serve(router).await;
    (Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy(), calls)
}

pub(crate) async fn call<T>(service: T) -> Status
where
    T: tonic::client::GrpcService<Body>,
    T::ResponseBody: http_body_util::BodyExt + Send + 'static + http_body::Body<Data = Bytes>,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let mut client = Grpc::new(service);
    if let Err(error) = client.ready().await {
        return Status::from_error(error.into());
    }
    let path = PathAndQuery::from_static("/shop.Orders/Place");
    let outcome = client.unary(tonic::Request::new(Bytes::from_static(b"one")), path, Plain).await;
    outcome.map(|_| Status::ok("")).unwrap_or_else(|status| status)
}

#[tokio::test]
async fn on_a_client_over_a_channel_a_refusal_has_its_code() {
    let (channel, calls) = server(Code::Unavailable, None).await;
    let circuit = touchy();
    let service = guard(BreakerLayer::new(circuit.clone()).grpc()).layer(channel);
    for _ in 0..2 {
        assert_eq!(call(service.clone()).await.message(), "as told");
    }
    assert_eq!(circuit.state(), State::Open);
    let refused = call(service).await;
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "unavailable"));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn on_a_boxed_client_a_refusal_has_its_code_and_nothing_is_written() {
    let (channel, _) = server(Code::Internal, None).await;
    let circuit = touchy();
    let channel = channel.map_err(BoxError::from);
    let service = BreakerLayer::new(circuit.clone()).grpc().layer(channel);
    for _ in 0..2 {
        assert_eq!(call(service.clone()).await.code(), Code::Internal);
    }
    assert_eq!(call(service).await.code(), Code::Unavailable);
}

#[tokio::test]
async fn the_callers_fault_does_not_open_a_circuit() {
    let (channel, calls) = server(Code::NotFound, None).await;
    let circuit = touchy();
    let service = guard(BreakerLayer::new(circuit.clone()).grpc()).layer(channel);
    for _ in 0..5 {
        assert_eq!(call(service.clone()).await.code(), Code::NotFound);
    }
    assert_eq!((circuit.state(), calls.load(Ordering::SeqCst)), (State::Closed, 5));
}

#[tokio::test]
async fn on_a_server_a_refusal_is_answered_with_its_status() {
    let (channel, calls) = server(Code::Unknown, Some(touchy())).await;
    for _ in 0..2 {
        assert_eq!(call(channel.clone()).await.code(), Code::Unknown);
    }
    let refused = call(channel).await;
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "circuit open"));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
