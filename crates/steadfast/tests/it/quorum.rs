//! Quorum calls over real servers, with layers round the call and round each node.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Deadline, Executed, Grounds, RefusalKind,
    breaker::{BreakerLayer, CircuitOpen},
    cause, guard,
    http::{HttpClassifier, HttpContext},
    quorum::{CallConfig, CallError, QuorumCall, Rule, Threshold},
    retry::RetryLayer,
    timeout::{Elapsed, TimeoutLayer},
};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneService,
};

use crate::{
    grpc::server,
    support::{serve, touchy, vacant},
};

type Node = BoxCloneService<Request<Full<Bytes>>, Response<Incoming>, BoxError>;

/// A node at `address` behind a breaker of its own. All nodes get the same request, so each fills
/// in where it goes.
fn node(address: SocketAddr) -> Node {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let to_node = move |mut request: Request<Full<Bytes>>| {
        *request.uri_mut() = format!("http://{address}{}", request.uri()).parse().unwrap();
        request
    };
    let service = ServiceBuilder::new()
        .map_request(to_node)
        .layer(BreakerLayer::new(touchy()).http())
        .map_err(BoxError::from)
        .service(client);
    BoxCloneService::new(service)
}

fn call_over(addresses: [SocketAddr; 3]) -> QuorumCall<Node, HttpClassifier, HttpContext> {
    let nodes = addresses.map(node).into_iter().enumerate();
    QuorumCall::new(Threshold::majority_of(3).unwrap(), nodes, CallConfig::all_at_once())
        .unwrap()
        .http()
}

fn request() -> Request<Full<Bytes>> {
    Request::get("/tea").body(Full::default()).unwrap()
}

/// A server that answers with `status` and counts its calls.
async fn http_server(status: StatusCode) -> (SocketAddr, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&calls);
    let answer = move || async move {
        seen.fetch_add(1, Ordering::SeqCst);
        (status, "green")
    };
    (serve(Router::new().route("/tea", get(answer))).await, calls)
}

#[tokio::test]
async fn a_status_is_a_vote_and_a_node_that_fails_is_left_alone_by_its_own_breaker() {
    let (ok, failing) =
        (http_server(StatusCode::OK).await, http_server(StatusCode::SERVICE_UNAVAILABLE).await);
    let third = http_server(StatusCode::OK).await;
    // A majority is all but the one that fails, so that each call waits for both others.
    let mut call = call_over([ok.0, failing.0, third.0]);
    for _ in 0..4 {
        let answers = call.ready().await.unwrap().call(request()).await.unwrap();
        assert_eq!(answers.yes().to_string(), "{0, 2}");
        for (_, response) in answers.into_replies() {
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "green");
        }
        // The losers of reads are cancelled: an answer of the failing node may not have been seen.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ok.1.load(Ordering::SeqCst), 4);
    let mut call = call_over([failing.0, vacant().await, ok.0]);
    let lost = call.ready().await.unwrap().call(request()).await.unwrap_err();
    assert!(matches!(lost, CallError::Lost { .. }) && lost.grounds().executed == Executed::Maybe);
    let seen = failing.1.load(Ordering::SeqCst);
    for _ in 0..3 {
        call.ready().await.unwrap().call(request()).await.unwrap_err();
    }
    // Two failures open the circuit; from then on the answer is a refusal.
    assert!(failing.1.load(Ordering::SeqCst) <= seen + 1);
    let lost = call.ready().await.unwrap().call(request()).await.unwrap_err();
    assert!(
        lost.answers().errors().any(|(_, error)| cause::<CircuitOpen>(&**error).is_some()),
        "{lost}"
    );
}

#[tokio::test]
async fn where_nobody_listens_it_is_lost_at_once_and_certainly_was_not_executed() {
    let nodes = [vacant().await, vacant().await, vacant().await].map(node).into_iter().enumerate();
    let call =
        QuorumCall::new(Threshold::of(1, 3).unwrap(), nodes, CallConfig::all_at_once()).unwrap();
    let mut call = call.http();
    let lost = call.ready().await.unwrap().call(request()).await.unwrap_err();
    for (node, error) in lost.answers().errors() {
        assert_eq!(
            cause::<io::Error>(&**error).unwrap().kind(),
            io::ErrorKind::ConnectionRefused,
            "node {node}"
        );
    }
    assert_eq!(lost.grounds(), Grounds::not_executed(RefusalKind::Unavailable));
    let error = BoxError::from(lost);
    assert_eq!(cause::<tonic::Status>(&*error).unwrap().code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn the_deadline_in_the_extensions_ends_it() {
    let hangs = serve(Router::new().route("/tea", get(std::future::pending::<()>))).await;
    let (ok, _) = http_server(StatusCode::OK).await;
    let mut call = call_over([ok, hangs, hangs]);
    let mut request = request();
    let now = tokio::time::Instant::now().into_std();
    request.extensions_mut().insert(Deadline::after(now, Duration::from_millis(200)));
    let incomplete = call.ready().await.unwrap().call(request).await.unwrap_err();
    assert!(matches!(incomplete, CallError::Incomplete { .. }));
    assert_eq!(
        (incomplete.answers().yes().to_string(), incomplete.answers().out().to_string()),
        ("{0}".into(), "{1, 2}".into())
    );
}

#[tokio::test]
async fn over_grpc_a_status_is_a_vote() {
    // Channels take a body that cannot be copied: each node makes its own of one that can.
    let to_channel = |request: Request<Full<Bytes>>| request.map(tonic::body::Body::new);
    let codes = [
        tonic::Code::Ok,
        tonic::Code::Unavailable,
        tonic::Code::NotFound,
        tonic::Code::Ok,
        tonic::Code::Ok,
    ];
    let mut nodes = Vec::new();
    for (number, code) in codes.into_iter().enumerate() {
        let (channel, _) = server(code, None).await;
        nodes.push((
            number,
            ServiceBuilder::new().map_request(to_channel).map_err(BoxError::from).service(channel),
        ));
    }
    let over =
        |rule| QuorumCall::new(rule, nodes.clone(), CallConfig::all_at_once()).unwrap().grpc();
    let mut call = over(Threshold::majority_of(5).unwrap());
    // A gRPC message without content: not compressed, and no bytes.
    let request = || {
        let request =
            Request::post("http://nodes/tea.Pot/Fill").header("content-type", "application/grpc");
        request.header("te", "trailers").body(Full::from(Bytes::from_static(&[0; 5]))).unwrap()
    };
    let answers = call.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(answers.yes().to_string(), "{0, 3, 4}");
    let mut call = over(Threshold::of(4, 5).unwrap());
    let lost = call.ready().await.unwrap().call(request()).await.unwrap_err();
    assert_eq!(lost.answers().no().to_string(), "{1, 2}");
    // Bodies cannot be shared between threads, and a `BoxError` must be.
    let status = BoxError::from(lost.without_results());
    assert_eq!(cause::<tonic::Status>(&*status).unwrap().code(), tonic::Code::Unavailable);
}

/// Three functions for nodes: two of them refuse their first call, before it is executed.
fn shy_nodes() -> impl Iterator<Item = (usize, BoxCloneService<u32, u32, BoxError>)> {
    (0..3).map(|number| {
        let calls = Arc::new(AtomicU32::new(u32::from(number == 0)));
        let node = service_fn(move |n: u32| {
            let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if is_first {
                    Err(BoxError::from(Grounds::not_executed(RefusalKind::Unavailable)))
                } else {
                    Ok(n)
                }
            }
        });
        (number, BoxCloneService::new(node))
    })
}

#[tokio::test(start_paused = true)]
async fn retries_breakers_and_timeouts_go_round_a_call() {
    let rule = || Threshold::majority_of(3).unwrap();
    let stack = || {
        ServiceBuilder::new()
            .layer(RetryLayer::default().idempotent())
            .layer(BreakerLayer::new(touchy()))
            .layer(TimeoutLayer::fixed(Duration::from_secs(1)).unwrap())
    };
    // A node has executed it by the time the call is lost: only what may be repeated is. As a
    // `BoxError` …
    let call = QuorumCall::new(rule(), shy_nodes(), CallConfig::quorum_first()).unwrap();
    let call = ServiceExt::<u32>::map_err(call, BoxError::from);
    assert_eq!(stack().service(call).oneshot(7).await.unwrap().replies().count(), 2);
    // … and as it is.
    let call = QuorumCall::new(rule(), shy_nodes(), CallConfig::quorum_first()).unwrap();
    assert_eq!(guard(stack()).layer(call).oneshot(7).await.unwrap().replies().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_from_outside_gives_up_its_nodes() {
    let probes: Vec<_> = (0..3).map(|node| (node, steadfast_testkit::Probe::new())).collect();
    let controls: Vec<_> = probes.iter().map(|(_, probe)| probe.control()).collect();
    controls.iter().for_each(|control| control.always(steadfast_testkit::Reply::echo().held()));
    let call =
        QuorumCall::new(Threshold::majority_of(3).unwrap(), probes, CallConfig::all_at_once())
            .unwrap();
    let call = ServiceExt::<u32>::map_err(call, BoxError::from);
    let service = TimeoutLayer::fixed(Duration::from_secs(1)).unwrap().layer(call);
    let error = service.oneshot(7).await.unwrap_err();
    assert!(cause::<Elapsed>(&*error).is_some());
    assert!(controls.iter().all(|control| control.counts().live_futures == 0));
}

#[test]
fn stamps_of_the_clock_are_what_a_newest_tally_compares() {
    use steadfast::{
        clock::{Hlc, NodeId, Stamp},
        quorum::{Decision, NewestTally},
    };
    let hlc = Hlc::default();
    let (old, new) = (Stamp::new(hlc.tick(), NodeId(1)), Stamp::new(hlc.tick(), NodeId(0)));
    let mut tally = NewestTally::new(Threshold::majority_of(3).unwrap());
    let _ = (tally.reply(0, old, "old"), tally.reply(1, new, "new"));
    assert_eq!((tally.decide(), tally.newest()), (Decision::Won, Some((&new, &"new"))));
    assert!(tally.stale().contains(0) && Threshold::majority_of(3).unwrap().members().contains(0));
}
