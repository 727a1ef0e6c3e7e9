//! gRPC: a status of the user's, and a stream that is cut before its trailers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response, uri::PathAndQuery};
use http_body_util::BodyExt;
use steadfast_chaos::{Fault, FaultLayer};
use steadfast_testkit::BoxError;
use tonic::{
    Code, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tower::{Layer, service_fn};

use crate::support::{always, counts};

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

/// One call to a server under a fault, and how many it executed.
async fn called(fault: Fault) -> (Result<Bytes, Status>, u32) {
    let executed = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&executed);
    let handler = service_fn(move |request: Request<hyper::body::Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let message = request.into_body().collect().await?.to_bytes();
            seen.fetch_add(1, Ordering::Relaxed);
            // The message as it came, framed, and then the status in the trailers.
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let body = http_body_util::Full::new(message)
                .with_trailers(std::future::ready(Some(Ok(trailers))));
            let mut response = Response::new(body.map_err(BoxError::from));
            response
                .headers_mut()
                .insert("content-type", http::HeaderValue::from_static("application/grpc"));
            Ok::<_, BoxError>(response)
        }
    });
    let faults = always(fault);
    let layer = FaultLayer::new(faults.clone()).http().answer_with(|_| {
        let response = Status::unavailable("as planned").into_http::<Body>();
        // A status alone has no body: that of the handler's type, and empty.
        let empty = http_body_util::Full::default().with_trailers(std::future::ready(None));
        Ok::<_, BoxError>(response.map(|_| empty.map_err(BoxError::from)))
    });
    let address = super::serve(layer.layer(handler)).await;
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let message = tonic::Request::new(super::thousand());
    let path = PathAndQuery::from_static("/a/b");
    let outcome = client.unary(message, path, Plain).await.map(tonic::Response::into_inner);
    assert_eq!(counts(&faults), (1, 0));
    (outcome, executed.load(Ordering::Relaxed))
}

#[tokio::test]
async fn an_error_is_the_status_that_the_user_says() {
    let (outcome, executed) = called(Fault::Error).await;
    let status = outcome.unwrap_err();
    assert_eq!((status.code(), status.message(), executed), (Code::Unavailable, "as planned", 0));
}

#[tokio::test]
async fn a_stream_that_is_cut_before_its_trailers_is_a_failed_call() {
    let (outcome, executed) = called(Fault::BodyCut).await;
    assert!(outcome.is_err());
    assert_eq!(executed, 1);
}

#[tokio::test]
async fn a_bit_that_is_flipped_is_another_message_or_none() {
    let (outcome, executed) = called(Fault::BitFlipped).await;
    assert!(outcome.is_err() || outcome.is_ok_and(|message| message != super::thousand()));
    assert_eq!(executed, 1);
}
