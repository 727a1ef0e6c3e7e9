//! Stamps between real servers and clients, over HTTP/1 and over gRPC.

mod skew;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::{Extension, Router, http::StatusCode, routing::get};
use bytes::Bytes;
use http::{Request, Response, uri::PathAndQuery};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Executed, Grounds, RefusalKind, cause,
    clock::{
        Hlc, HlcConfig, HlcLayer, PhysicalClock, PropagateHlcLayer, Received, StampRefused,
        Timestamp,
    },
    guard,
    http::respond,
    tonic as ours,
};
use steadfast_testkit::FaultyClock;
use tokio::net::TcpListener;
use tonic::{
    Code, Status,
    body::Body,
    client::{Grpc, GrpcService},
    server::NamedService,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{grpc::Plain, support::serve};

const HEADER: &str = "x-hlc";

/// What handlers saw: the stamp in the header, and what the layer left for them.
type Seen = Arc<Mutex<Vec<(Option<String>, Received)>>>;

/// A clock ten seconds ahead of everybody else's.
fn hurried() -> Hlc<FaultyClock> {
    Hlc::new(FaultyClock::default().ahead_by_nanos(10_000_000_000), HlcConfig::new()).unwrap()
}

fn parse(stamp: &str) -> Timestamp {
    stamp.parse().unwrap()
}

/// An axum server on `clock`, with the layer round all its routes.
async fn axum_on(clock: &Hlc<impl PhysicalClock>) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    let answer = move |Extension(received): Extension<Received>,
                       request: Request<axum::body::Body>| {
        let header = request.headers().get(HEADER).map(|value| value.to_str().unwrap().to_owned());
        notes.lock().unwrap().push((header, received));
        ready("hello")
    };
    let router = Router::new().route("/a", get(answer.clone())).route("/b", get(answer));
    (serve(router.layer(respond(HlcLayer::new(clock.clone())))).await, seen)
}

fn ask(address: SocketAddr, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://{address}{path}")).body(Full::default()).unwrap()
}

#[tokio::test]
async fn over_http_stamps_follow_the_order_of_events_across_routes_and_connections() {
    let (here, there) = (Hlc::default(), Hlc::default());
    let (address, seen) = axum_on(&there).await;
    let mut stamps = Vec::new();
    for path in ["/a", "/b", "/a"] {
        // A client of its own each time: a connection of its own.
        let client = Client::builder(TokioExecutor::new()).build_http();
        let client = guard(PropagateHlcLayer::new(here.clone())).layer(client);
        stamps.push(here.tick());
        let response = client.oneshot(ask(address, path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let answer: Received = *response.extensions().get().unwrap();
        let (header, request) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(request.sent.unwrap().compact().to_string(), header.unwrap());
        assert_eq!(answer.sent.unwrap(), parse(response.headers()[HEADER].to_str().unwrap()));
        stamps.extend([request.sent.unwrap(), request.at, answer.sent.unwrap(), answer.at]);
    }
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
}

#[tokio::test]
async fn over_http_garbage_is_served_and_a_stamp_from_the_future_is_a_503() {
    let clock = Hlc::default();
    let (address, seen) = axum_on(&clock).await;
    let send = |stamp: String| {
        reqwest::Client::new().get(format!("http://{address}/a")).header(HEADER, stamp).send()
    };
    let response = send("soon".to_owned()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let before = parse(response.headers()[HEADER].to_str().unwrap());
    assert_eq!(seen.lock().unwrap().pop().unwrap().1.sent, None);

    let response = send(hurried().tick().compact().to_string()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["retry-after"], "2");
    let body = response.text().await.unwrap();
    assert!(body.contains("further ahead than is allowed"), "{body}");
    assert!(seen.lock().unwrap().is_empty(), "the handler was not called");
    assert_eq!(clock.last(), before);

    // The number of a span, and a stamp that no clock gives out.
    let response = send("b7ad6b7169203331".to_owned()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(seen.lock().unwrap().pop().unwrap().1.sent, None);
    let response = send(Timestamp::MAX.compact().to_string()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn over_http_an_answer_from_the_future_is_refused_and_may_have_been_executed() {
    let (address, seen) = axum_on(&hurried()).await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = guard(PropagateHlcLayer::new(Hlc::default())).layer(client);
    let error = client.oneshot(ask(address, "/a")).await.unwrap_err();
    assert!(cause::<StampRefused>(&error).is_some(), "{error:?}");
    let grounds = cause::<Grounds>(&error).unwrap();
    assert_eq!((grounds.kind, grounds.executed), (RefusalKind::Unavailable, Executed::Maybe));
    assert_eq!(grounds.retry_after, None, "the next answer has another stamp");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// `shop.Orders`, without generated code: every method notes what its request carried.
#[derive(Clone)]
struct Orders(Seen);

impl NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl Service<Request<Body>> for Orders {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        let place = service_fn(move |request: tonic::Request<Bytes>| -> Ready<Result<_, Status>> {
            let header =
                request.metadata().get(HEADER).map(|value| value.to_str().unwrap().to_owned());
            let received = *request.extensions().get().unwrap();
            seen.lock().unwrap().push((header, received));
            ready(Ok(tonic::Response::new(request.into_inner())))
        });
        Box::pin(async { Ok(tonic::server::Grpc::new(Plain).unary(place, request).await) })
    }
}

/// tonic's own server on `clock`, with the layer round all its services.
async fn tonic_on(clock: &Hlc<impl PhysicalClock>) -> (Channel, Seen) {
    let seen = Seen::default();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .layer(ours::respond(HlcLayer::new(clock.clone())))
        .add_service(Orders(Arc::clone(&seen)))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    (Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy(), seen)
}

/// Places an order, with this metadata.
async fn place<T>(service: T, stamp: Option<&str>) -> Result<tonic::Response<Bytes>, Status>
where
    T: GrpcService<Body>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let mut client = Grpc::new(service);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let mut request = tonic::Request::new(Bytes::from_static(b"one"));
    if let Some(stamp) = stamp {
        request.metadata_mut().insert(HEADER, stamp.parse().unwrap());
    }
    client.unary(request, PathAndQuery::from_static("/shop.Orders/Place"), Plain).await
}

#[tokio::test]
async fn over_grpc_handler_and_client_read_stamps_from_metadata_and_from_extensions() {
    let (here, there) = (Hlc::default(), Hlc::default());
    let (channel, seen) = tonic_on(&there).await;
    let channel = guard(PropagateHlcLayer::new(here.clone())).layer(channel);
    let mut stamps = Vec::new();
    for _ in 0..3 {
        stamps.push(here.tick());
        let response = place(channel.clone(), Some("replaced by the layer")).await.unwrap();
        assert_eq!(response.get_ref(), "one");
        let (header, request) = seen.lock().unwrap().pop().unwrap();
        let answer: Received = *response.extensions().get().unwrap();
        assert_eq!(request.sent.unwrap(), parse(&header.unwrap()));
        assert_eq!(
            answer.sent.unwrap(),
            parse(response.metadata().get(HEADER).unwrap().to_str().unwrap())
        );
        stamps.extend([request.sent.unwrap(), request.at, answer.sent.unwrap(), answer.at]);
    }
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
}

#[tokio::test]
async fn over_grpc_garbage_is_served_and_a_stamp_from_the_future_is_unavailable() {
    let clock = Hlc::default();
    let (channel, seen) = tonic_on(&clock).await;
    let response = place(channel.clone(), Some("soon")).await.unwrap();
    assert_eq!(seen.lock().unwrap().pop().unwrap().1.sent, None);
    let before = parse(response.metadata().get(HEADER).unwrap().to_str().unwrap());

    let client = guard(PropagateHlcLayer::new(hurried())).layer(channel);
    let status = place(client, None).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("further ahead than is allowed"), "{status:?}");
    assert!(seen.lock().unwrap().is_empty(), "the handler was not called");
    assert_eq!(clock.last(), before);
}

#[tokio::test]
async fn over_grpc_an_answer_from_the_future_is_unavailable() {
    let (channel, seen) = tonic_on(&hurried()).await;
    let status = place(guard(PropagateHlcLayer::new(Hlc::default())).layer(channel), None)
        .await
        .unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "unavailable"));
    assert_eq!(seen.lock().unwrap().len(), 1);
}
