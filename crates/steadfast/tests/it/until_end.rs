//! Answers judged until their ends, over sockets: hyper's server and client, reqwest, tonic.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures::{StreamExt, future::Ready, stream, stream::BoxStream};
use http::{Method, Request, Response, StatusCode, uri::PathAndQuery};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, State},
    guard,
    http::respond,
    timeout::{BodyTimeoutConfig, BodyTimeoutLayer, LimitConfig, TimeLimit, TimeoutLayer},
    tonic as ours,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tonic::{
    Status,
    client::Grpc,
    server::ServerStreamingService,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{compression::CompressionLayer, trace::TraceLayer};

use crate::{
    grpc::Plain,
    http2::{read_frame, write_frame},
    support::serve,
};

const NO_ERROR: u8 = 0;
const INTERNAL_ERROR: u8 = 2;
const CANCEL: u8 = 8;

fn counts(circuit: &Circuit) -> (u64, u64) {
    let counts = circuit.snapshot().counts;
    (counts.total, counts.failures)
}

/// Its next call is its one probe.
fn to_be_probed() -> Circuit {
    let one = 1.try_into().unwrap();
    let circuit = Circuit::new(CircuitConfig::new().probes(one, one)).unwrap();
    circuit.force_open_for(Duration::ZERO);
    circuit
}

/// A server does what follows its answer in a task of its own.
async fn decided(circuit: &Circuit) -> State {
    for _ in 0..2_000 {
        if circuit.state() != State::HalfOpen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    circuit.state()
}

fn client(http2: bool) -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build(HttpConnector::new())
}

fn ask(method: Method, address: SocketAddr, path: &str) -> Request<Body> {
    let uri = format!("http://{address}{path}");
    Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
}

/// A stream that breaks off after its first frame.
fn breaks() -> Body {
    let steps = [Ok("one"), Err(io::Error::other("out of order"))];
    Body::from_stream(stream::iter(steps).then(|step| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        step
    }))
}

fn router() -> Router {
    let chunked = || Body::from_stream(stream::iter(["one", "two"].map(Ok::<_, Infallible>)));
    Router::new()
        .route("/full", get(async || "all at once"))
        .route("/chunked", get(async move || chunked()))
        .route("/breaks", get(async || breaks()))
        .route("/204", get(async || StatusCode::NO_CONTENT))
        .route("/304", get(async || StatusCode::NOT_MODIFIED))
}

/// Answers every request with ten of a hundred bytes.
async fn cuts() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n1234567890";
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_body_cut_below_its_length_is_a_failure_at_its_end_and_none_at_its_head() {
    let address = cuts().await;
    let (at_head, at_end, of_reqwest) =
        (Circuit::default(), Circuit::default(), Circuit::default());
    let off = respond(BreakerLayer::new(at_head.clone()).http()).layer(client(false));
    let on = respond(BreakerLayer::new(at_end.clone()).http().until_end()).layer(client(false));
    let reqwest = ServiceBuilder::new()
        .layer(guard(BreakerLayer::new(of_reqwest.clone()).http().until_end()))
        .map_response(http::Response::<reqwest::Body>::from)
        .service(reqwest::Client::new());
    for _ in 0..5 {
        let response = off.clone().oneshot(ask(Method::GET, address, "/")).await.unwrap();
        response.into_body().collect().await.unwrap_err();
        let response = on.clone().oneshot(ask(Method::GET, address, "/")).await.unwrap();
        response.into_body().collect().await.unwrap_err();
        let url = format!("http://{address}/");
        let request = reqwest::Client::new().get(url).build().unwrap();
        let response = reqwest.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap_err();
    }
    assert_eq!((counts(&at_head), counts(&at_end), counts(&of_reqwest)), ((5, 0), (5, 5), (5, 5)));
}

#[tokio::test]
async fn on_a_client_an_answer_without_a_body_is_settled_at_its_head_and_one_with_a_body_later() {
    let address = serve(router()).await;
    for http2 in [false, true] {
        for (method, path, at_head) in [
            (Method::HEAD, "/full", true),
            (Method::HEAD, "/chunked", true),
            (Method::GET, "/204", true),
            (Method::GET, "/304", true),
            (Method::GET, "/full", false),
            (Method::GET, "/chunked", false),
        ] {
            let circuit = to_be_probed();
            let layer = respond(BreakerLayer::new(circuit.clone()).http().until_end());
            let service = layer.layer(client(http2));
            let response = service.oneshot(ask(method.clone(), address, path)).await.unwrap();
            let expected = if at_head { State::Closed } else { State::HalfOpen };
            assert_eq!(circuit.state(), expected, "{method} {path}, HTTP/2: {http2}");
            let mut body = response.into_body();
            while body.frame().await.transpose().unwrap().is_some() {}
            assert_eq!(circuit.state(), State::Closed, "{method} {path}, HTTP/2: {http2}");
        }
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn under_a_client_of_reqwest_a_cut_body_is_a_failure_too() {
    let (address, circuit) = (cuts().await, Circuit::default());
    let layer = BreakerLayer::new(circuit.clone()).http().until_end();
    let client = steadfast::reqwest::Client::new(reqwest::Client::new(), layer);
    let response = client.get(format!("http://{address}/")).send().await.unwrap();
    assert_eq!(counts(&circuit), (1, 0));
    response.bytes().await.unwrap_err();
    assert_eq!(counts(&circuit), (1, 1));
}

/// Answers every request by switching protocols.
async fn switches() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 1024]).await.unwrap();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n";
        connection.write_all(answer.as_bytes()).await.unwrap();
        let _ = connection.read(&mut [0; 1024]).await;
    });
    address
}

#[tokio::test]
async fn an_answer_that_switches_protocols_is_settled_at_its_head() {
    let circuit = to_be_probed();
    let layer = respond(BreakerLayer::new(circuit.clone()).http().until_end());
    let mut request = ask(Method::GET, switches().await, "/");
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "test".parse().unwrap());
    let response = layer.layer(client(false)).oneshot(request).await.unwrap();
    assert_eq!((response.status().as_u16(), circuit.state()), (101, State::Closed));
}

#[tokio::test]
async fn on_a_server_ends_are_seen_though_a_full_body_is_asked_but_once_and_one_of_a_head_never() {
    for http2 in [false, true] {
        for (method, path, expected) in [
            (Method::GET, "/full", State::Closed),
            (Method::GET, "/chunked", State::Closed),
            (Method::GET, "/breaks", State::Open),
            (Method::GET, "/204", State::Closed),
            (Method::HEAD, "/full", State::Closed),
            // axum takes the body away, inside or outside the layer.
            (Method::HEAD, "/breaks", State::Closed),
        ] {
            let circuit = to_be_probed();
            let stack = BreakerLayer::new(circuit.clone()).http().until_end();
            let address = serve(router().layer(respond(stack))).await;
            let response = client(http2).request(ask(method.clone(), address, path)).await.unwrap();
            let _ = response.into_body().collect().await;
            let state = decided(&circuit).await;
            assert_eq!(state, expected, "{method} {path}, HTTP/2: {http2}");
        }
    }
}

#[tokio::test]
async fn bodies_that_are_not_read_say_nothing() {
    let address = serve(router()).await;
    for http2 in [false, true] {
        let circuit = Circuit::default();
        let layer = respond(BreakerLayer::new(circuit.clone()).http().until_end());
        let service = layer.layer(client(http2));
        for path in ["/full", "/chunked", "/breaks"] {
            drop(service.clone().oneshot(ask(Method::GET, address, path)).await.unwrap());
        }
        assert_eq!(counts(&circuit), (3, 0));
    }
}

/// A server that answers over HTTP/2 with a head, and then resets the stream.
async fn resets(reason: u8) -> SocketAddr {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_HEADERS: u8 = 4;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_exact(&mut [0; 24]).await.unwrap();
        write_frame(&mut connection, SETTINGS, 0, 0, &[]).await;
        let stream = loop {
            if let (HEADERS, stream) = read_frame(&mut connection).await {
                break stream;
            }
        };
        // `:status: 200` is the eighth entry of HPACK's static table.
        write_frame(&mut connection, HEADERS, END_HEADERS, stream, &[0x88]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        write_frame(&mut connection, RST_STREAM, 0, stream, &[0, 0, 0, reason]).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    address
}

/// What cannot be seen: hyper makes a clean end of one of them, before 1.12 of `CANCEL` too.
#[tokio::test]
async fn a_reset_is_a_bad_end_but_for_the_one_of_which_hyper_makes_a_clean_end() {
    for (reason, failures) in [(INTERNAL_ERROR, 1), (CANCEL, 1), (NO_ERROR, 0)] {
        let address = resets(reason).await;
        let circuit = Circuit::default();
        let layer = respond(BreakerLayer::new(circuit.clone()).http().until_end());
        let request = ask(Method::GET, address, "/");
        let response = layer.layer(client(true)).oneshot(request).await.unwrap();
        let collected = response.into_body().collect().await;
        assert_eq!(collected.is_err(), failures == 1, "{reason}: {collected:?}");
        assert_eq!(counts(&circuit), (1, failures), "{reason}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_counts_if_its_limit_is_shorter_than_the_horizon() {
    let silent = || {
        let first = stream::once(async { Ok::<_, Infallible>("one") });
        Body::from_stream(first.chain(stream::pending()))
    };
    let address = serve(Router::new().route("/", get(async move || silent()))).await;
    let limit = Duration::from_millis(100);
    for (horizon, failures) in [(Duration::from_secs(5), 1), (limit / 2, 0)] {
        let circuit = Circuit::new(CircuitConfig::new().horizon(horizon)).unwrap();
        let config = BodyTimeoutConfig::new().between_frames(limit);
        let service = ServiceBuilder::new()
            .layer(respond(BreakerLayer::new(circuit.clone()).http().until_end()))
            .layer(BodyTimeoutLayer::new(config).unwrap())
            .service(client(false));
        let response = service.oneshot(ask(Method::GET, address, "/")).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert!(error.is::<steadfast::timeout::Stalled>(), "{error}");
        assert_eq!(counts(&circuit), (1, failures), "{horizon:?}");
    }
}

/// However long the body takes, and however it ends.
#[tokio::test(start_paused = true)]
async fn the_sample_of_an_adaptive_limit_is_the_time_to_the_head() {
    let ms = Duration::from_millis(1);
    let config = LimitConfig::quantile(ms, 1000 * ms).minimum_samples(1);
    let limit = TimeLimit::new(config).unwrap();
    let circuit = Circuit::default();
    let service = ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()).http().until_end())
        .layer(TimeoutLayer::new(limit.clone()).http())
        .service(service_fn(|_: Request<()>| async move {
            tokio::time::sleep(10 * ms).await;
            let late = stream::once(async move {
                tokio::time::sleep(3000 * ms).await;
                Err::<Bytes, _>(io::Error::from(io::ErrorKind::UnexpectedEof))
            });
            Ok::<_, BoxError>(Response::new(Body::from_stream(late)))
        }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    response.into_body().collect().await.unwrap_err();
    assert_eq!(counts(&circuit), (1, 1), "it broke off within the horizon");
    let snapshot = limit.snapshot();
    assert_eq!(snapshot.samples, 1);
    assert!(snapshot.estimate.unwrap() < 12 * ms, "{snapshot:?}");
}

/// Streams two messages, and then this status in the trailers.
#[derive(Clone)]
struct Told(Status);

impl ServerStreamingService<Bytes> for Told {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: tonic::Request<Bytes>) -> Self::Future {
        let messages = stream::iter(["one", "two"].map(|message| Ok(Bytes::from(message))));
        let end = match self.0.code() {
            tonic::Code::Ok => None,
            _ => Some(Err(self.0.clone())),
        };
        let messages = messages.chain(stream::iter(end)).boxed();
        futures::future::ready(Ok(tonic::Response::new(messages)))
    }
}

/// A server of tonic's behind a circuit, and a channel to it.
async fn streams(status: Status, circuit: Circuit) -> Channel {
    let streams = service_fn(move |request: Request<Body>| {
        let told = Told(status.clone());
        async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok::<_, Infallible>(grpc.server_streaming(told, request).await)
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = tonic::service::Routes::from(Router::new().fallback_service(streams));
    let layer = ours::respond(BreakerLayer::new(circuit).grpc().until_end());
    let server = Server::builder().layer(layer).add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// Reads the stream to its end; how many messages came, and what it ended with.
async fn read<T>(service: T) -> (usize, Result<(), Status>)
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::ResponseBody: Send + 'static + http_body::Body<Data = Bytes>,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let mut client = Grpc::new(service);
    client.ready().await.map_err(Into::into).unwrap();
    let path = PathAndQuery::from_static("/shop.Orders/Watch");
    let request = tonic::Request::new(Bytes::from_static(b"all"));
    let mut messages = match client.server_streaming(request, path, Plain).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (0, Err(status)),
    };
    let mut number = 0;
    loop {
        match messages.message().await {
            Ok(Some(_)) => number += 1,
            Ok(None) => return (number, Ok(())),
            Err(status) => return (number, Err(status)),
        }
    }
}

#[tokio::test]
async fn a_stream_whose_trailers_say_an_error_has_failed_on_tonics_server_and_client() {
    for (status, failures) in [
        (Status::ok(""), 0),
        (Status::unavailable("as told"), 1),
        (Status::data_loss("as told"), 1),
        (Status::not_found("the caller's"), 0),
    ] {
        let (here, there) = (Circuit::default(), Circuit::default());
        let channel = streams(status.clone(), there.clone()).await;
        let layer = ours::respond(BreakerLayer::new(here.clone()).grpc().until_end());
        let (messages, end) = read(layer.layer(channel)).await;
        assert_eq!((messages, end.is_ok()), (2, status.code() == tonic::Code::Ok));
        assert_eq!(counts(&here), (1, failures), "the client's, {status}");
        assert_eq!(counts(&there), (1, failures), "the server's, {status}");
    }
}

#[tokio::test]
async fn a_call_that_ends_without_a_status_is_unknown_as_it_is_to_tonics_client() {
    let answer = service_fn(|_: Request<Body>| async {
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(response.body(Body::from("\0\0\0\0\x03one")).unwrap())
    });
    let address = serve(Router::new().fallback_service(answer)).await;
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let circuit = Circuit::default();
    let layer = ours::respond(BreakerLayer::new(circuit.clone()).grpc().until_end());
    let (messages, _) = read(layer.layer(channel)).await;
    assert_eq!((messages, counts(&circuit)), (1, (1, 1)));
}

#[tokio::test]
async fn layers_of_others_stand_on_both_sides_of_it_and_reqwest_takes_its_body() {
    let circuit = Circuit::default();
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(respond(BreakerLayer::new(circuit.clone()).http().until_end()))
        .layer(TraceLayer::new_for_http());
    let address = serve(router().layer(stack)).await;
    let body = reqwest::get(format!("http://{address}/full")).await.unwrap().text().await.unwrap();
    assert_eq!((body.as_str(), counts(&circuit)), ("all at once", (1, 0)));
    let _ = reqwest::get(format!("http://{address}/breaks")).await.unwrap().text().await;
    assert_eq!(counts(&circuit), (2, 1));

    let service = BreakerLayer::new(circuit).http().until_end();
    let mut service = service.layer(service_fn(|(): ()| async {
        Ok::<_, BoxError>(Response::new(http_body_util::Full::new(Bytes::from_static(b"one"))))
    }));
    let watched = service.call(()).await.unwrap().into_body();
    // It wants `Sync`.
    let shared = Arc::new(reqwest::Body::wrap(watched));
    drop(shared);
}
