//! On a server of tonic.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use futures::{StreamExt, future::BoxFuture, stream};
use http::uri::PathAndQuery;
use steadfast_core::tonic::respond;
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig,
    http::{IdempotencyLayer, OnStream},
};
use tokio::{net::TcpListener, time::sleep};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client::Grpc as Client,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{ClientStreamingService, Grpc as Server, NamedService, UnaryService},
    transport::Channel,
};
use tower::Service;

use super::support::{Runs, handle, handle_of};
use crate::support::MS;

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

/// Payments: one, or several in a stream.
#[derive(Clone)]
struct Shop {
    runs: Runs,
    time: Duration,
}

impl NamedService for Shop {
    const NAME: &'static str = "shop.Payments";
}

impl UnaryService<Bytes> for Shop {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Self { runs, time } = self.clone();
        Box::pin(async move {
            let run = runs.next();
            sleep(time).await;
            let paid = String::from_utf8(request.into_inner().to_vec()).unwrap();
            match &*paid {
                "nothing" => Err(Status::not_found("as asked")),
                "what?" => Err(Status::invalid_argument("as asked")),
                _ => Ok(Response::new(format!("{paid} in run {run}").into())),
            }
        })
    }
}

impl ClientStreamingService<Bytes> for Shop {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let run = self.runs.next();
        Box::pin(async move {
            let messages = request.into_inner().count().await;
            Ok(Response::new(format!("{messages} in run {run}").into()))
        })
    }
}

impl<B> Service<http::Request<B>> for Shop
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<tower::BoxError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let shop = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/shop.Payments/Pay" => Server::new(Plain).unary(shop, request).await,
                _ => Server::new(Plain).client_streaming(shop, request).await,
            })
        })
    }
}

async fn serve(layer: IdempotencyLayer, time: Duration) -> (Channel, Runs) {
    let runs = Runs::default();
    let shop = Shop { runs: runs.clone(), time };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().layer(respond(layer)).add_service(shop);
    tokio::spawn(server.serve_with_incoming(incoming));
    (Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy(), runs)
}

fn keyed<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// The reply, and whether it is a replay.
async fn pay(channel: &Channel, key: &str, amount: &'static str) -> Result<(String, bool), Status> {
    let mut client = Client::new(channel.clone());
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static("/shop.Payments/Pay");
    read(client.unary(keyed(key, Bytes::from(amount)), path, Plain).await)
}

async fn stream_of(channel: &Channel, messages: Vec<Bytes>) -> Result<(String, bool), Status> {
    let mut client = Client::new(channel.clone());
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static("/shop.Payments/PayAll");
    let request = keyed("7f3a", stream::iter(messages));
    read(client.client_streaming(request, path, Plain).await)
}

fn read(response: Result<Response<Bytes>, Status>) -> Result<(String, bool), Status> {
    let response = response?;
    let is_replayed = response.metadata().contains_key("idempotent-replayed");
    Ok((String::from_utf8(response.into_inner().to_vec()).unwrap(), is_replayed))
}

fn unscoped(handle: &Idempotency) -> IdempotencyLayer {
    IdempotencyLayer::unscoped(handle.clone())
}

#[tokio::test]
async fn a_unary_call_runs_once_and_is_replayed_with_its_trailers() {
    let handle = handle();
    let (channel, runs) = serve(unscoped(&handle), Duration::ZERO).await;
    let paid = |is_replayed| ("5 euros in run 1".to_owned(), is_replayed);
    assert_eq!(pay(&channel, "7f3a", "5 euros").await.unwrap(), paid(false));
    assert_eq!(pay(&channel, "7f3a", "5 euros").await.unwrap(), paid(true));
    assert_eq!(pay(&channel, "\"7f3a\"", "5 euros").await.unwrap(), paid(true));
    assert_eq!((runs.count(), handle.snapshot().replayed), (1, 2));
}

#[tokio::test]
async fn a_failure_that_was_executed_is_replayed_and_one_that_was_not_runs_again() {
    let (channel, runs) = serve(unscoped(&handle()), Duration::ZERO).await;
    for _ in 0..2 {
        let status = pay(&channel, "7f3a", "nothing").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "as asked"));
    }
    assert_eq!(runs.count(), 1);
    for run in 2..4 {
        let status = pay(&channel, "7f3b", "what?").await.unwrap_err();
        assert_eq!((status.code(), runs.count()), (Code::InvalidArgument, run));
    }
}

#[tokio::test]
async fn refusals_are_statuses() {
    let handle = handle_of(IdempotencyConfig::new().wait(Duration::ZERO).retry_after(700 * MS));
    let (channel, runs) = serve(unscoped(&handle), 100 * MS).await;
    let (first, (in_flight, other)) = tokio::join!(pay(&channel, "7f3a", "5"), async {
        while runs.count() == 0 {
            sleep(MS).await;
        }
        let in_flight = pay(&channel, "7f3a", "5").await.unwrap_err();
        (in_flight, pay(&channel, "7f3a", "6").await.unwrap_err())
    });
    assert_eq!(first.unwrap().0, "5 in run 1");
    let after = in_flight.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!((in_flight.code(), after), (Code::Aborted, &"700".parse().unwrap()));
    assert_eq!(other.code(), Code::InvalidArgument);
    assert_eq!(pay(&channel, "two keys", "5").await.unwrap_err().code(), Code::InvalidArgument);
    handle.shutdown(MS).await;
    assert_eq!(pay(&channel, "7f3c", "5").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_stream_with_a_key_is_refused_or_passed_on_whole_by_choice() {
    let messages = || vec![Bytes::from("5"), Bytes::from("6"), Bytes::from("7")];
    let (channel, runs) = serve(unscoped(&handle()), Duration::ZERO).await;
    let refused = stream_of(&channel, messages()).await.unwrap_err();
    assert_eq!((refused.code(), runs.count()), (Code::InvalidArgument, 0));
    // One of one message is like any other call.
    for is_replayed in [false, true] {
        let one = stream_of(&channel, messages()[..1].to_vec()).await.unwrap();
        assert_eq!(one, ("1 in run 1".to_owned(), is_replayed));
    }
    let layer = unscoped(&handle()).on_stream(OnStream::Pass);
    let (channel, _) = serve(layer, Duration::ZERO).await;
    for run in 1..3 {
        let all = stream_of(&channel, messages()).await.unwrap();
        assert_eq!(all, (format!("3 in run {run}"), false));
    }
}

#[tokio::test]
async fn a_stream_that_is_known_by_its_path_is_not_read_at_all() {
    let is_stream = |head: &http::request::Parts| head.uri.path().ends_with("PayAll");
    for on_stream in [OnStream::Refuse, OnStream::Pass] {
        // A limit that would refuse whatever is read.
        let layer = unscoped(&handle()).streams(is_stream).on_stream(on_stream).body_limit(0);
        let (channel, runs) = serve(layer, Duration::ZERO).await;
        let got = stream_of(&channel, vec![Bytes::from("5")]).await;
        match on_stream {
            OnStream::Refuse => assert_eq!(got.unwrap_err().code(), Code::InvalidArgument),
            OnStream::Pass => assert_eq!(got.unwrap().0, "1 in run 1"),
        }
        assert_eq!(runs.count(), u32::from(on_stream == OnStream::Pass));
    }
}

#[tokio::test]
async fn a_stream_of_one_message_that_stays_open_is_refused_in_time() {
    let layer = unscoped(&handle()).body_time(20 * MS).on_stream(OnStream::Pass);
    let (channel, runs) = serve(layer, Duration::ZERO).await;
    let mut client = Client::new(channel);
    client.ready().await.unwrap();
    let silent = stream::iter([Bytes::from("5")]).chain(stream::pending());
    let path = PathAndQuery::from_static("/shop.Payments/PayAll");
    let refused = client.client_streaming(keyed("7f3a", silent), path, Plain).await.unwrap_err();
    // It may be a unary call whose end is under way: to pass it on would run it without its key.
    assert_eq!((refused.code(), runs.count()), (Code::Aborted, 0));
}
