//! An upload that its client breaks off says nothing of the upstream that a proxy streams it to.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::State as Shared};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode, Version, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Classify, DefaultClassifier, Executed, Verdict,
    breaker::{BreakerLayer, Circuit, State},
    guard,
    http::HttpClassifier,
    retry::{Budget, RetryLayer},
    tonic::GrpcClassifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use tonic::{Status, client::Grpc, transport::Channel};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::{
    foreign::Reqwest,
    grpc::Plain,
    http2::{read_frame, write_frame},
    support::{serve, touchy},
};

const UPLOADS: usize = 20;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

/// A client of an upstream, as the proxy calls it.
pub(crate) type Upstream = BoxCloneSyncService<Request<Body>, Response<()>, BoxError>;

type Made = fn(Version) -> Upstream;

/// What the proxy's client is made of, and the version that it speaks.
pub(crate) const CLIENTS: [(Made, Version); 4] = [
    (hyper_client, Version::HTTP_11),
    (hyper_client, Version::HTTP_2),
    (reqwest_client, Version::HTTP_11),
    (reqwest_client, Version::HTTP_2),
];

fn hyper_client(version: Version) -> Upstream {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(version == Version::HTTP_2)
        .build_http::<Body>()
        .map_response(|response| response.map(drop))
        .map_err(BoxError::from);
    Upstream::new(client)
}

fn reqwest_client(version: Version) -> Upstream {
    let builder = reqwest::Client::builder();
    let http2 = version == Version::HTTP_2;
    let builder = if http2 { builder.http2_prior_knowledge() } else { builder };
    let client = Reqwest(builder.build().unwrap())
        .map_request(|request: Request<Body>| {
            request.map(|body| reqwest::Body::wrap(Alone(body.into())))
        })
        .map_response(|response: Response<reqwest::Body>| response.map(drop))
        .map_err(BoxError::from);
    Upstream::new(client)
}

/// One reader at a time, which makes it `Sync` for reqwest.
struct Alone(Mutex<Body>);

impl http_body::Body for Alone {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(self.0.get_mut().unwrap()).poll_frame(cx)
    }
}

/// Judges as HTTP does, and tells each verdict, with whether the peer answered.
#[derive(Clone)]
struct Told(UnboundedSender<(Verdict, bool)>);

impl<B> Classify<Response<B>, BoxError> for Told {
    fn classify(&self, outcome: Result<&Response<B>, &BoxError>) -> Verdict {
        let verdict = HttpClassifier.classify(outcome);
        let by_default = DefaultClassifier.classify(outcome);
        assert!(outcome.is_ok() || verdict == by_default, "{verdict:?}, {by_default:?}");
        self.0.send((verdict, HttpClassifier.answered(outcome))).unwrap();
        verdict
    }
}

/// The next thing that is told, which is never long in coming.
async fn next<T>(told: &mut UnboundedReceiver<T>) -> T {
    timeout(Duration::from_secs(10), told.recv()).await.expect("it is told").unwrap()
}

/// A client behind a circuit that opens after two failures.
fn judged(client: Upstream, circuit: &Circuit) -> (Upstream, UnboundedReceiver<(Verdict, bool)>) {
    let (tell, told) = unbounded_channel();
    let layer = BreakerLayer::new(circuit.clone()).classify(Told(tell));
    (Upstream::new(layer.layer(client)), told)
}

/// A healthy upstream that reads to the end, and says when an upload has begun to arrive.
async fn healthy() -> (SocketAddr, UnboundedReceiver<()>) {
    let (begun, begins) = unbounded_channel();
    let read = move |body: Body| async move {
        let mut frames = body.into_data_stream();
        let mut bytes = 0;
        while let Some(Ok(data)) = frames.next().await {
            bytes += data.len();
            begun.send(()).unwrap();
        }
        bytes.to_string()
    };
    (serve(Router::new().fallback(read)).await, begins)
}

/// Passes a request on to `address`, and its body while it is read. The call goes on when the
/// client has gone, as in a proxy that keeps its connections to the upstream in order.
async fn proxy(upstream: Upstream, address: SocketAddr) -> SocketAddr {
    let pass_on = move |Shared(upstream): Shared<Upstream>, mut request: Request<Body>| async move {
        *request.uri_mut() = format!("http://{address}/").parse().unwrap();
        *request.version_mut() = Version::HTTP_11;
        match tokio::spawn(upstream.oneshot(request)).await.unwrap() {
            Ok(response) => response.status(),
            Err(_) => StatusCode::BAD_GATEWAY,
        }
    };
    serve(Router::new().fallback(pass_on).with_state(upstream)).await
}

/// How a client sends its upload to the proxy.
#[derive(Clone, Copy, Debug)]
enum Sent {
    WithLength,
    Chunked,
    OverHttp2,
}

/// A client of the proxy's that sends ten bytes of its upload, and breaks it off when they have
/// arrived at the upstream.
async fn breaks_off(
    method: &Method,
    sent: Sent,
    proxy: SocketAddr,
    begins: &mut UnboundedReceiver<()>,
) {
    let head = match sent {
        Sent::WithLength => "content-length: 1000\r\n\r\n0123456789",
        Sent::Chunked => "transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        Sent::OverHttp2 => {
            let (give_up, given_up) = tokio::sync::oneshot::channel::<()>();
            let broken = stream::once(async move {
                given_up.await.unwrap();
                Err(io::Error::other("given up"))
            });
            let request = Request::builder().method(method).uri(format!("http://{proxy}/"));
            let request = request.body(body(chunk().chain(broken))).unwrap();
            let call = tokio::spawn(hyper_client(Version::HTTP_2).oneshot(request));
            next(begins).await;
            give_up.send(()).unwrap();
            call.await.unwrap().unwrap_err();
            return;
        }
    };
    let mut connection = TcpStream::connect(proxy).await.unwrap();
    let request = format!("{method} / HTTP/1.1\r\nhost: proxy\r\n{head}");
    connection.write_all(request.as_bytes()).await.unwrap();
    next(begins).await;
    drop(connection);
}

fn chunk() -> impl Stream<Item = io::Result<Bytes>> {
    stream::once(async { Ok(Bytes::from_static(b"0123456789")) })
}

fn body(data: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    Body::new(StreamBody::new(data.map(|data| data.map(Frame::data)).boxed()))
}

/// An upload that has begun and is not broken off: ten bytes, and then silence.
pub(crate) fn endless(address: SocketAddr) -> Request<Body> {
    let body = body(chunk().chain(stream::pending()));
    Request::put(format!("http://{address}/")).header(CONTENT_LENGTH, "1000").body(body).unwrap()
}

#[tokio::test]
async fn uploads_that_break_off_are_ignored_and_leave_the_circuit_closed() {
    for (client, version) in CLIENTS {
        for sent in [Sent::WithLength, Sent::Chunked, Sent::OverHttp2] {
            let (address, mut begins) = healthy().await;
            let circuit = touchy();
            let (upstream, mut told) = judged(client(version), &circuit);
            let proxy = proxy(upstream.clone(), address).await;
            for upload in 0..UPLOADS {
                breaks_off(&Method::POST, sent, proxy, &mut begins).await;
                assert_eq!(
                    next(&mut told).await,
                    (Verdict::Ignored, false),
                    "upload {upload}, {sent:?}, {version:?}"
                );
            }
            assert_eq!(circuit.state(), State::Closed);
            let whole = Request::post(format!("http://{address}/")).body(Body::from("whole"));
            assert_eq!(upstream.oneshot(whole.unwrap()).await.unwrap().status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn an_upload_that_ends_short_of_its_length_is_ignored() {
    for (client, version) in CLIENTS {
        if version == Version::HTTP_2 {
            // There the peer notices it: the answer is a reset of its own.
            continue;
        }
        let (address, _begins) = healthy().await;
        let circuit = touchy();
        let (upstream, mut told) = judged(client(version), &circuit);
        for _ in 0..UPLOADS {
            let request = Request::put(format!("http://{address}/")).header(CONTENT_LENGTH, "1000");
            let request = request.body(body(chunk())).unwrap();
            upstream.clone().oneshot(request).await.unwrap_err();
            assert_eq!(next(&mut told).await, (Verdict::Ignored, false));
        }
        assert_eq!(circuit.state(), State::Closed);
    }
}

#[tokio::test]
async fn a_retry_neither_repeats_a_broken_upload_nor_pays_for_it() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (address, mut begins) = healthy().await;
        let (circuit, budget) = (touchy(), Budget::default());
        let (upstream, mut told) = judged(hyper_client(version), &circuit);
        let retry = RetryLayer::default().budget(budget.clone()).http().body_as(Body::new);
        let proxy = proxy(Upstream::new(retry.layer(upstream)), address).await;
        for _ in 0..UPLOADS {
            breaks_off(&Method::PUT, Sent::WithLength, proxy, &mut begins).await;
            assert_eq!(next(&mut told).await, (Verdict::Ignored, false), "{version:?}");
        }
        assert_eq!(circuit.state(), State::Closed);
        assert_eq!(budget.snapshot().withdrawn, 0);
        assert!(told.try_recv().is_err(), "one attempt for each upload");
    }
}

/// An upstream that reads the head and the first bytes of an upload, and then does as told.
async fn reads_some(version: Version, resets: bool) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            if version == Version::HTTP_2 {
                connection.read_exact(&mut [0; 24]).await.unwrap();
                write_frame(&mut connection, SETTINGS, 0, 0, &[]).await;
                let stream = loop {
                    if let (DATA, stream) = read_frame(&mut connection).await {
                        break stream;
                    }
                };
                if resets {
                    write_frame(&mut connection, RST_STREAM, 0, stream, &[0, 0, 0, 2]).await;
                }
            } else {
                let (mut read, mut seen) = ([0; 1024], Vec::new());
                while !seen.ends_with(b"0123456789") {
                    let length = connection.read(&mut read).await.unwrap();
                    seen.extend_from_slice(&read[..length]);
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn an_upstream_that_closes_or_resets_in_mid_upload_has_failed() {
    for (client, version) in CLIENTS {
        for resets in [false, true] {
            let address = reads_some(version, resets).await;
            let circuit = touchy();
            let (upstream, mut told) = judged(client(version), &circuit);
            for _ in 0..2 {
                upstream.clone().oneshot(endless(address)).await.unwrap_err();
                let (verdict, answered) = next(&mut told).await;
                assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{version:?}");
                assert!(!answered || resets, "{version:?}");
            }
            assert_eq!(circuit.state(), State::Open, "{version:?}");
        }
    }
}

/// An upstream of HTTP/1 that refuses an upload by its head, and then closes its side.
async fn too_large() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = [0; 1024];
                assert!(connection.read(&mut read).await.unwrap() > 0);
                let answer = "HTTP/1.1 413 Payload Too Large\r\n\
                              connection: close\r\ncontent-length: 0\r\n\r\n";
                connection.write_all(answer.as_bytes()).await.unwrap();
                connection.shutdown().await.unwrap();
                while connection.read(&mut read).await.is_ok_and(|length| length > 0) {}
            });
        }
    });
    address
}

#[tokio::test]
async fn an_early_answer_is_the_upstreams_whatever_becomes_of_the_upload() {
    for (client, version) in CLIENTS {
        let address = if version == Version::HTTP_2 {
            serve(Router::new().fallback(async || StatusCode::PAYLOAD_TOO_LARGE)).await
        } else {
            too_large().await
        };
        let circuit = touchy();
        let (upstream, mut told) = judged(client(version), &circuit);
        for _ in 0..UPLOADS {
            let response = upstream.clone().oneshot(endless(address)).await.unwrap();
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(next(&mut told).await, (Verdict::Permanent, true), "{version:?}");
        }
        assert_eq!(circuit.state(), State::Closed);
    }
}

#[tokio::test]
async fn a_call_whose_messages_break_off_is_ignored_as_error_and_as_status() {
    let (address, _begins) = healthy().await;
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let circuit = touchy();
    let stack = guard(ServiceBuilder::new().layer(BreakerLayer::new(circuit.clone()).grpc()));
    let service = stack.layer(channel.clone());
    for _ in 0..UPLOADS {
        let broken = chunk().chain(stream::once(async { Err(io::Error::other("given up")) }));
        let request = Request::post(format!("http://{address}/shop.Orders/Place"));
        let request = request.body(tonic::body::Body::new(body(broken))).unwrap();
        service.clone().oneshot(request).await.unwrap_err();
    }
    assert_eq!(circuit.state(), State::Closed);

    // A message that is larger than the client may send breaks its own call off.
    let mut client = Grpc::new(channel).max_encoding_message_size(5);
    client.ready().await.unwrap();
    let path = "/shop.Orders/Place".parse().unwrap();
    let messages = stream::iter([Bytes::from_static(b"0123456789")]);
    let call = client.client_streaming(tonic::Request::new(messages), path, Plain);
    let status: Status = call.await.map(drop).unwrap_err();
    let outcome = || Err::<&Response<()>, _>(&status);
    assert_eq!(GrpcClassifier.classify(outcome()), Verdict::Ignored, "{status:?}");
    assert!(!GrpcClassifier.answered(outcome()));
}
