//! Two nodes, one of which has a wrong clock, behind a retry and a circuit for each node.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use http::{Request, Response, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OnOpen, State},
    cause,
    clock::{Hlc, HlcConfig, PropagateHlcLayer, StampFault, StampRefused},
    guard,
    retry::{RetryConfig, RetryLayer, http::ReplayBody},
};
use steadfast_testkit::FaultyClock;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use super::{Seen, axum_on};

type Body = ReplayBody<Full<Bytes>>;
type Node = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

/// A clock that is ahead of the true time by so many seconds, or behind.
fn off_by(seconds: i64) -> Hlc<FaultyClock> {
    let clock = FaultyClock::default().ahead_by_nanos(seconds * 1_000_000_000);
    Hlc::new(clock, HlcConfig::new()).unwrap()
}

/// A server, and the way to it: with a circuit that is not ready while it is open.
struct Way {
    seen: Seen,
    circuit: Circuit,
    node: Node,
}

impl Way {
    /// From a client to a server whose clock is off by so many seconds.
    async fn new(client: &Hlc<FaultyClock>, server_off_by: i64) -> Self {
        let (address, seen) = axum_on(&off_by(server_off_by)).await;
        let circuit = Circuit::new(CircuitConfig::new().on_open(OnOpen::NotReady)).unwrap();
        let stack = ServiceBuilder::new()
            .layer(BreakerLayer::new(circuit.clone()).http())
            .layer(PropagateHlcLayer::new(client.clone()));
        let to_it = move |mut request: Request<Body>| {
            *request.uri_mut() = format!("http://{address}/a").parse().unwrap();
            request
        };
        let node = guard(stack)
            .layer(Client::builder(TokioExecutor::new()).build_http())
            .map_request(to_it)
            .map_err(BoxError::from);
        Self { seen, circuit, node: BoxCloneSyncService::new(node) }
    }

    fn executed(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// Takes those of its nodes that are ready in turn. Its clones share whose turn it is: the further
/// attempts of a retry are made by a clone.
#[derive(Clone)]
struct InTurn {
    nodes: Vec<Node>,
    turn: Arc<AtomicUsize>,
    ready: Option<usize>,
}

impl InTurn {
    fn of(ways: &[&Way]) -> Self {
        let nodes = ways.iter().map(|way| way.node.clone()).collect();
        Self { nodes, turn: Arc::default(), ready: None }
    }
}

impl Service<Request<Body>> for InTurn {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let (turn, number) = (self.turn.load(Ordering::Relaxed), self.nodes.len());
        for node in (turn..turn + number).map(|turn| turn % number) {
            if self.nodes[node].poll_ready(cx)?.is_ready() {
                self.ready = Some(node);
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let node = self.ready.take().expect("it is called when it is ready");
        self.turn.store(node + 1, Ordering::Relaxed);
        Box::pin(self.nodes[node].call(request))
    }
}

fn get() -> Request<Full<Bytes>> {
    Request::get(Uri::from_static("/a")).body(Full::default()).unwrap()
}

/// One attempt, and no other node.
async fn once(way: &Way) -> Result<Response<Incoming>, BoxError> {
    let only = RetryLayer::new(RetryConfig::new().attempts(1.try_into().unwrap())).http();
    only.layer(way.node.clone()).oneshot(get()).await
}

#[tokio::test]
async fn of_two_nodes_the_one_that_is_ahead_is_found_and_the_other_one_answers() {
    let client = off_by(0);
    let (right, ahead) = (Way::new(&client, 0).await, Way::new(&client, 10).await);
    let mut service = RetryLayer::default().http().layer(InTurn::of(&[&ahead, &right]));
    let mut calls = 0;
    while ahead.circuit.state() == State::Closed {
        let response = service.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "call {calls}");
        calls += 1;
        assert!(calls < 100, "five hundred answers were dropped, and the circuit was closed");
    }
    let executed = ahead.executed();
    assert!(executed <= 20, "{executed} of {calls} calls were executed there, and dropped");
    for _ in 0..20 {
        let response = service.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(ahead.executed(), executed, "no call goes there now");
    assert_eq!(right.circuit.state(), State::Closed);
}

#[tokio::test]
async fn a_node_that_is_behind_refuses_with_its_time_to_come_back_and_another_one_answers() {
    // At once, for each waits out the time that it is told. The last has lost its clock.
    let years = 50 * 365 * 24 * 3600;
    tokio::join!(is_passed_over(2), is_passed_over(10), is_passed_over(years));
}

async fn is_passed_over(behind: i64) {
    let client = off_by(0);
    let (right, wrong) = (Way::new(&client, 0).await, Way::new(&client, -behind).await);

    let response = once(&wrong).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{behind} s");
    assert_eq!(response.headers()[RETRY_AFTER], "2", "{behind} s: 1.5 rounded up, or the bound");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.into()).unwrap();
    assert!(body.contains("further ahead than is allowed"), "{body}");

    let begun = Instant::now();
    let service = RetryLayer::default().http().layer(InTurn::of(&[&wrong, &right]));
    let response = service.clone().oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{behind} s");
    let waited = Instant::now() - begun;
    assert!(waited < Duration::from_secs(4), "{behind} s: after {waited:?}");
    assert_eq!((wrong.executed(), right.executed()), (0, 1));

    let mut refused = 0;
    while wrong.circuit.state() == State::Closed {
        assert_eq!(once(&wrong).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        refused += 1;
        assert!(refused < 30, "{behind} s: its circuit stays closed");
    }
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), StatusCode::OK);
    }
    assert!(Instant::now() - begun < Duration::from_secs(1), "none waits for it any more");
    assert_eq!((wrong.executed(), right.executed()), (0, 11));
}

#[tokio::test]
async fn over_the_network_only_what_is_idempotent_goes_to_another_node() {
    // What the status cannot say: that the node refused before it called its handler.
    let client = off_by(0);
    let (right, wrong) = (Way::new(&client, 0).await, Way::new(&client, -10).await);
    let post = |key: Option<&str>| {
        let key = key.map(|key| ("idempotency-key", key));
        let request = Request::post(Uri::from_static("/a"));
        let request =
            key.into_iter().fold(request, |request, (name, key)| request.header(name, key));
        request.body(Full::<Bytes>::default()).unwrap()
    };
    // The handler answers GET alone: a 405 comes from the node that is right.
    for (key, status) in [
        (None, StatusCode::SERVICE_UNAVAILABLE),
        (Some("\"8e03978e-40d5-43dd-bc93-6894a57f9324\""), StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let service = RetryLayer::default().http().layer(InTurn::of(&[&wrong, &right]));
        assert_eq!(service.oneshot(post(key)).await.unwrap().status(), status, "{key:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_itself_behind_takes_all_nodes_for_wrong() {
    // What no rule can do: it hears the same from all.
    let client = off_by(-10);
    let way = Way::new(&client, 0).await;
    while way.circuit.state() == State::Closed {
        let error = once(&way).await.unwrap_err();
        let refused = cause::<StampRefused>(&*error).unwrap();
        assert!(matches!(refused.fault, StampFault::TooFarAhead(_)), "{refused}");
        assert!(way.executed() < 30, "its circuit stays closed");
    }
}
