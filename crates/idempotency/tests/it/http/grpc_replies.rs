//! Replies of a tonic server, to a tonic client, over HTTP/2.

use std::{convert::Infallible, task::Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::stream::{self, BoxStream, StreamExt};
use http::uri::PathAndQuery;
use steadfast_core::tonic::respond;
use steadfast_idempotency::http::IdempotencyLayer;
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{self, NamedService, ServerStreamingService, UnaryService},
    transport::{Channel, Server},
};
use tower::Service;

use super::support::{Runs, handle};

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

/// Does what the message says, and counts.
#[derive(Clone)]
struct Shop(Runs);

impl NamedService for Shop {
    const NAME: &'static str = "shop.Orders";
}

impl Service<http::Request<Body>> for Shop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shop = self.clone();
        Box::pin(async move {
            let is_stream = request.uri().path().ends_with("/Watch");
            let mut grpc = server::Grpc::new(Plain);
            Ok(match is_stream {
                true => grpc.server_streaming(shop, request).await,
                false => grpc.unary(shop, request).await,
            })
        })
    }
}

impl UnaryService<Bytes> for Shop {
    type Response = Bytes;
    type Future = futures::future::BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let run = self.0.next();
        Box::pin(async move {
            // Its reply is not there at once.
            tokio::task::yield_now().await;
            let order = String::from_utf8(request.into_inner().to_vec()).unwrap();
            let code = match &*order {
                "unknown" => Code::NotFound,
                "forbidden" => Code::PermissionDenied,
                "slow" => Code::DeadlineExceeded,
                _ => {
                    let mut receipt = Response::new(Bytes::from(format!("{order} in run {run}")));
                    for value in ["1", "2"] {
                        receipt.metadata_mut().append("x-part", value.parse().unwrap());
                    }
                    return Ok(receipt);
                }
            };
            let mut status = Status::with_details(code, format!("run {run}"), Bytes::from("why"));
            status.metadata_mut().insert("x-trace", "7".parse().unwrap());
            Err(status)
        })
    }
}

impl ServerStreamingService<Bytes> for Shop {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future =
        futures::future::BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let run = self.0.next();
        Box::pin(async move {
            let mut steps: Vec<_> =
                (0..3).map(|step| Ok(Bytes::from(format!("step {step} of run {run}")))).collect();
            if request.into_inner() == "fails" {
                steps.push(Err(Status::permission_denied("behind three steps")));
            }
            let steps = stream::iter(steps).then(async |step| {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                step
            });
            Ok(Response::new(steps.boxed()))
        })
    }
}

/// A client of a server behind the layer, and the runs of its handlers.
async fn shop() -> (client::Grpc<Channel>, Runs) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let runs = Runs::default();
    let incoming = stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let server = Server::builder()
        .layer(respond(IdempotencyLayer::unscoped(handle())))
        .add_service(Shop(runs.clone()));
    tokio::spawn(async move { server.serve_with_incoming(incoming).await });
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    (client::Grpc::new(channel), runs)
}

fn order(text: &'static str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(text.as_bytes()));
    request.metadata_mut().insert("idempotency-key", text.parse().unwrap());
    request
}

async fn place(
    client: &mut client::Grpc<Channel>,
    text: &'static str,
) -> Result<Response<Bytes>, Status> {
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/shop.Orders/Place");
    client.unary(order(text), path, Plain).await
}

#[tokio::test]
async fn a_unary_call_runs_once_and_is_replayed_with_its_metadata_and_status() {
    let (mut client, runs) = shop().await;
    for replayed in [false, true, true] {
        let reply = place(&mut client, "tea").await.unwrap();
        let parts: Vec<_> = reply.metadata().get_all("x-part").iter().collect();
        assert_eq!(parts, ["1", "2"]);
        assert_eq!(reply.metadata().contains_key("idempotent-replayed"), replayed);
        assert_eq!(reply.metadata().get("grpc-status").unwrap(), "0", "out of the trailers");
        assert_eq!(reply.into_inner(), "tea in run 1");
    }
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_failure_is_stored_freed_or_abandoned_by_its_status() {
    let (mut client, runs) = shop().await;
    for replayed in [false, true] {
        let status = place(&mut client, "unknown").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "run 1"));
        assert_eq!(
            (status.details(), status.metadata().get("x-trace").unwrap()),
            (&b"why"[..], &"7".parse::<tonic::metadata::AsciiMetadataValue>().unwrap())
        );
        assert_eq!(status.metadata().contains_key("idempotent-replayed"), replayed);
    }
    for run in ["run 2", "run 3"] {
        let status = place(&mut client, "forbidden").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::PermissionDenied, run));
    }
    assert_eq!(place(&mut client, "slow").await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(place(&mut client, "slow").await.unwrap_err().code(), Code::Aborted, "abandoned");
    assert_eq!(runs.count(), 4);
}

#[tokio::test]
async fn a_streamed_reply_is_replayed_whole_with_the_status_behind_it() {
    let (mut client, runs) = shop().await;
    let path = || PathAndQuery::from_static("/shop.Orders/Watch");
    for text in ["works", "fails"] {
        let run = if text == "works" { 1 } else { 2 };
        for _ in 0..2 {
            client.ready().await.unwrap();
            let reply = client.server_streaming(order(text), path(), Plain).await.unwrap();
            let mut steps: Streaming<Bytes> = reply.into_inner();
            for step in 0..3 {
                let message = steps.message().await.unwrap().unwrap();
                assert_eq!(message, format!("step {step} of run {run}"));
            }
            match text {
                "works" => assert_eq!(steps.message().await.unwrap(), None),
                // Behind a message it no longer says "not executed".
                _ => {
                    assert_eq!(steps.message().await.unwrap_err().code(), Code::PermissionDenied);
                }
            }
        }
    }
    assert_eq!(runs.count(), 2);
}
