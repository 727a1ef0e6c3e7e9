//! Failure detection in a stack and over real sockets: what proves life, what says nothing, and
//! what the layers make of each other.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Backoff, Deadline, Executed, Grounds,
    breaker::{BreakerLayer, Circuit, CircuitConfig, State},
    cause,
    http::respond,
    phi::{
        Detector, DetectorConfig, HeartbeatLayer, Margin, MarginConfig, Peer, Prober, ProberConfig,
        Status, SuspectLayer, Suspected,
    },
    quorum::{Decision, Suspicion, SuspicionTally, Threshold},
    retry::{RetryConfig, RetryLayer},
    timeout::{DeadlineConfig, DeadlineLayer, Elapsed, TimeoutLayer},
};
use tokio::time::{advance, sleep, timeout};
use tonic::{Code, transport::Channel};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    grpc,
    support::{serve, touchy, vacant},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Convicted after 50 ms of silence.
fn brief() -> Peer {
    let margin = MarginConfig::last_arrival(20 * MS, Margin::Constant(30 * MS));
    Peer::new(DetectorConfig::new(margin)).unwrap()
}

fn heard(peer: &Peer) -> u64 {
    peer.snapshot().heartbeats
}

async fn convicted(config: DetectorConfig) -> Peer {
    let peer = Peer::new(config).unwrap();
    for _ in 0..50 {
        peer.heartbeat();
        advance(100 * MS).await;
    }
    while peer.status() != Status::Convicted {
        advance(100 * MS).await;
    }
    peer
}

/// A client of hyper's with the layers that a peer needs.
fn client(
    peer: &Peer,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = http::Response<hyper::body::Incoming>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ use<> {
    ServiceBuilder::new()
        .layer(SuspectLayer::new(peer.clone()))
        .layer(HeartbeatLayer::new(peer.clone()).http())
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
}

fn to(url: impl AsRef<str>) -> Request<Full<Bytes>> {
    Request::get(url.as_ref()).body(Full::default()).unwrap()
}

/// One that answers, one that has too much to do, one that is silent.
async fn server() -> String {
    let router = Router::new()
        .route("/well", get(|| async { "well" }))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/silent", get(pending::<&str>))
        .route("/closes", get(|| async { panic!("its connection closes") as &str }));
    format!("http://{}", serve(router).await)
}

#[tokio::test]
async fn over_http_a_503_proves_life_and_silence_does_not() {
    let (peer, url) = (Peer::new(DetectorConfig::default()).unwrap(), server().await);
    let service = client(&peer);
    let answer = service.clone().oneshot(to(format!("{url}/busy"))).await.unwrap();
    assert_eq!((answer.status(), heard(&peer)), (StatusCode::SERVICE_UNAVAILABLE, 1));
    service.clone().oneshot(to(format!("{url}/well"))).await.unwrap();
    assert_eq!(heard(&peer), 2);

    // A timeout further out, that is a call that is dropped, and a connection that breaks off.
    timeout(20 * MS, service.clone().oneshot(to(format!("{url}/silent")))).await.unwrap_err();
    service.clone().oneshot(to(format!("{url}/closes"))).await.unwrap_err();
    // A port that no process listens on: the kernel answers, not the peer.
    let nobody = format!("http://{}/", vacant().await);
    service.oneshot(to(nobody)).await.unwrap_err();
    assert_eq!(heard(&peer), 2);
}

#[tokio::test]
async fn a_timeout_says_nothing_of_the_peer_inside_or_outside() {
    let (peer, url) = (Peer::new(DetectorConfig::default()).unwrap(), server().await);
    let limit = || TimeoutLayer::fixed(20 * MS).unwrap().http();
    let hyper = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let heartbeats = || HeartbeatLayer::new(peer.clone()).http();
    let inside = ServiceBuilder::new()
        .layer(heartbeats())
        .layer(limit())
        .map_err(BoxError::from)
        .service(hyper.clone());
    let outside = ServiceBuilder::new()
        .layer(limit())
        .layer(heartbeats())
        .map_err(BoxError::from)
        .service(hyper.clone());
    // A response that a layer made of the refusal, with its grounds in the extensions.
    let rendered = ServiceBuilder::new()
        .layer(heartbeats())
        .map_err(|never: Infallible| -> BoxError { match never {} })
        .layer(respond(limit()))
        .service(service_fn(|request: Request<Full<Bytes>>| async move {
            if request.uri().path() == "/silent" {
                pending::<()>().await;
            }
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
        }));
    let silent = || to(format!("{url}/silent"));
    for error in
        [inside.oneshot(silent()).await.unwrap_err(), outside.oneshot(silent()).await.unwrap_err()]
    {
        assert!(error.is::<Elapsed>(), "{error}");
    }
    let response = rendered.clone().oneshot(silent()).await.unwrap();
    assert_eq!((response.status(), heard(&peer)), (StatusCode::GATEWAY_TIMEOUT, 0));
    rendered.oneshot(to(format!("{url}/busy"))).await.unwrap();
    assert_eq!(heard(&peer), 1);
}

#[tokio::test]
async fn a_caller_s_deadline_of_a_millisecond_says_nothing_of_the_peer() {
    let (peer, url) = (Peer::new(DetectorConfig::default()).unwrap(), server().await);
    let deadline = DeadlineLayer::new(DeadlineConfig::new().total(MS)).unwrap();
    let service = ServiceBuilder::new().layer(deadline).service(client(&peer));
    // Inside of it a timeout that knows of the deadline: it refuses what comes too late.
    let limit = TimeoutLayer::fixed(SECOND).unwrap().http();
    let hurried = ServiceBuilder::new()
        .layer(HeartbeatLayer::new(peer.clone()).http())
        .layer(limit)
        .service(client(&Peer::new(DetectorConfig::default()).unwrap()));
    for _ in 0..20 {
        service.clone().oneshot(to(format!("{url}/silent"))).await.unwrap_err();
        let mut request = to(format!("{url}/silent"));
        request.extensions_mut().insert(Deadline::after(tokio::time::Instant::now().into(), MS));
        hurried.clone().oneshot(request).await.unwrap_err();
    }
    assert_eq!(heard(&peer), 0);
    assert_eq!(peer.status(), Status::Unknown, "it is expected of nothing");
}

#[tokio::test]
async fn over_http_a_peer_that_is_convicted_is_refused_and_found_again_by_a_trial() {
    let (peer, url) = (brief(), server().await);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let stack = tower::util::MapRequestLayer::new(move |request: Request<Full<Bytes>>| {
        counted.fetch_add(1, Ordering::Relaxed);
        request
    });
    let service = ServiceBuilder::new()
        .layer(SuspectLayer::new(peer.clone()))
        .layer(stack)
        .layer(HeartbeatLayer::new(peer.clone()).http())
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
    let well = || to(format!("{url}/well"));
    service.clone().oneshot(well()).await.unwrap();
    sleep(100 * MS).await;
    assert_eq!(peer.status(), Status::Convicted);
    // The trial is silent.
    timeout(20 * MS, service.clone().oneshot(to(format!("{url}/silent")))).await.unwrap_err();
    let error = service.clone().oneshot(well()).await.unwrap_err();
    assert!(error.is::<Suspected>());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    // To a caller it is a 503 that says when to come back.
    let response = respond(SuspectLayer::new(peer.clone()))
        .layer(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
        }))
        .oneshot(well())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    sleep(SECOND).await;
    service.clone().oneshot(well()).await.unwrap();
    assert_ne!(peer.status(), Status::Convicted);
}

#[tokio::test]
async fn over_grpc_a_status_of_the_peer_proves_life_and_one_made_here_does_not() {
    let peer = Peer::new(DetectorConfig::default()).unwrap();
    let through = |channel: Channel| {
        let layer = HeartbeatLayer::new(peer.clone()).grpc();
        ServiceBuilder::new().layer(layer).map_err(BoxError::from).service(channel)
    };
    let (channel, _) = grpc::server(Code::Unavailable, None).await;
    assert_eq!(grpc::call(through(channel)).await.code(), Code::Unavailable);
    assert_eq!(heard(&peer), 1);

    let address = vacant().await;
    let nobody = Channel::from_shared(format!("http://{address}")).unwrap();
    let status = grpc::call(through(nobody.connect_lazy())).await;
    assert_eq!((status.code(), heard(&peer)), (Code::Unavailable, 1));

    let silent = Router::new().fallback(pending::<&str>);
    let address = serve(silent).await;
    let silent = Channel::from_shared(format!("http://{address}")).unwrap();
    // The channel's own timer.
    let channel = silent.clone().timeout(20 * MS).connect_lazy();
    let status = grpc::call(through(channel)).await;
    assert_ne!(status.code(), Code::Ok);
    // A caller in a hurry.
    timeout(20 * MS, grpc::call(through(silent.connect_lazy()))).await.unwrap_err();
    assert_eq!(heard(&peer), 1);
}

#[tokio::test]
async fn a_prober_over_http_keeps_an_idle_peer_trusted() {
    let (peer, url) = (brief(), server().await);
    let probe = move || to(format!("{url}/busy"));
    let service = ServiceBuilder::new()
        .layer(HeartbeatLayer::new(peer.clone()).http())
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
    let prober = Prober::new(ProberConfig::new(10 * MS), peer.clone()).unwrap();
    let task = tokio::spawn(prober.run(service, probe));
    while heard(&peer) < 20 {
        sleep(5 * MS).await;
    }
    drop(prober);
    timeout(SECOND, task).await.expect("it ends with the last handle").unwrap();
}

/// The stack of docs/composition.md.
fn stack<S>(
    peer: &Peer,
    circuit: &Circuit,
    service: S,
) -> impl Service<u32, Response = u32, Error = BoxError, Future: Send> + Clone + Send + use<S>
where
    S: Service<u32, Response = u32, Error = BoxError, Future: Send> + Clone + Send,
{
    let backoff = Backoff::constant(10 * MS).unwrap();
    ServiceBuilder::new()
        .layer(RetryLayer::new(RetryConfig::new().backoff(backoff).seed(7)))
        .layer(SuspectLayer::new(peer.clone()))
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(TimeoutLayer::fixed(100 * MS).unwrap())
        .layer(HeartbeatLayer::new(peer.clone()))
        .service(service)
}

#[tokio::test(start_paused = true)]
async fn a_retry_knows_that_a_refused_request_was_not_executed_and_waits_for_the_trial() {
    let peer = convicted(DetectorConfig::default()).await;
    let circuit = Circuit::new(CircuitConfig::new()).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let service = stack(
        &peer,
        &circuit,
        service_fn(move |n: u32| {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if first { pending().await } else { Ok::<_, BoxError>(n) } }
        }),
    );
    // The trial: it hangs, may have been executed, and is not repeated.
    let error = service.clone().oneshot(1).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    // A request that is not idempotent is repeated all the same: it was refused, and goes through
    // as the next trial.
    let start = tokio::time::Instant::now();
    assert_eq!(service.clone().oneshot(2).await.unwrap(), 2);
    assert!(start.elapsed_ms() >= 900, "it waited until the trial was due");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let counts = circuit.snapshot().counts;
    assert_eq!((counts.total, counts.failures), (2, 1), "no refusal was counted inside");
    assert_eq!(peer.status(), Status::Suspected);
}

/// Milliseconds since, on tokio's clock.
trait Elapsing {
    fn elapsed_ms(self) -> u128;
}

impl Elapsing for tokio::time::Instant {
    fn elapsed_ms(self) -> u128 {
        (tokio::time::Instant::now() - self).as_millis()
    }
}

/// A breaker further out takes it for what it is: a service that cannot be called.
#[tokio::test(start_paused = true)]
async fn a_breaker_outside_counts_the_refusals_and_one_inside_does_not() {
    let peer = convicted(DetectorConfig::default()).await;
    let (outside, inside) = (touchy(), touchy());
    let silent = service_fn(|_: u32| async { Err::<u32, BoxError>("no answer".into()) });
    let service = ServiceBuilder::new()
        .layer(BreakerLayer::new(outside.clone()))
        .layer(SuspectLayer::new(peer))
        .layer(BreakerLayer::new(inside.clone()))
        .service(silent);
    for _ in 0..2 {
        service.clone().oneshot(1).await.unwrap_err();
    }
    assert_eq!((outside.state(), inside.state()), (State::Open, State::Closed));
    assert_eq!(inside.snapshot().counts.total, 1, "the trial");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_says_so_in_its_grounds_through_every_layer() {
    let peer = convicted(DetectorConfig::default()).await;
    let silent = service_fn(|_: u32| async { Err::<u32, BoxError>("no answer".into()) });
    let service = ServiceBuilder::new()
        .buffer(8)
        .layer(RetryLayer::new(RetryConfig::new().retry_after_limit(500 * MS)))
        .layer(BreakerLayer::default())
        .layer(SuspectLayer::new(peer))
        .layer(TimeoutLayer::fixed(SECOND).unwrap())
        .service(silent);
    let mut last = None;
    for _ in 0..2 {
        last = service.clone().oneshot(1).await.err();
    }
    let error = last.unwrap();
    let grounds = cause::<Grounds>(&*error).unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(grounds.executed, Executed::No, "{error:?}");
}

/// The report of a detector as the reports of a tally: the two crates know nothing of each other.
fn tell(
    tally: &mut SuspicionTally<Threshold>,
    members: &BTreeMap<&str, usize>,
    observer: &str,
    detector: &Detector<&'static str>,
    // The observer's own, such as its wall clock at the start: each report's is above the last.
    base: u64,
) {
    let report = detector.suspicions();
    for (key, suspected) in report.peers {
        let said = Suspicion {
            observer: members[observer],
            suspect: members[key],
            suspected,
            sequence: base + report.sequence,
        };
        let _ = tally.report(said, tokio::time::Instant::now().into());
    }
}

#[tokio::test(start_paused = true)]
async fn three_of_five_observers_decide_what_one_may_not() {
    const NAMES: [&str; 5] = ["ada", "ben", "cyd", "dot", "eve"];
    let members: BTreeMap<_, _> = NAMES.iter().enumerate().map(|(n, name)| (*name, n)).collect();
    let detectors = NAMES.map(|_| Detector::new(DetectorConfig::default()).unwrap());
    // Who hears whom. Eve dies in the middle; ada's link from ben breaks as well.
    let beat = |alive: &dyn Fn(&str, &str) -> bool| {
        for (observer, detector) in NAMES.iter().zip(&detectors) {
            for sender in NAMES.iter().filter(|sender| *sender != observer) {
                if alive(observer, sender) {
                    detector.heartbeat(sender).unwrap();
                }
            }
        }
    };
    for _ in 0..100 {
        beat(&|_, _| true);
        advance(100 * MS).await;
    }
    for _ in 0..300 {
        beat(&|observer, sender| sender != "eve" && (observer, sender) != ("ada", "ben"));
        advance(100 * MS).await;
    }
    let mut alone = detectors[0].dead();
    alone.sort_unstable();
    assert_eq!(alone, ["ben", "eve"], "what ada holds");

    let rule = Threshold::majority_of(5).unwrap();
    let mut tally = SuspicionTally::new(rule, SECOND).unwrap();
    let decide = |tally: &SuspicionTally<Threshold>, name| {
        tally.decide(members[name], tokio::time::Instant::now().into())
    };
    tell(&mut tally, &members, "ada", &detectors[0], 0);
    assert_eq!(
        (decide(&tally, "ben"), decide(&tally, "eve")),
        (Decision::Pending, Decision::Pending)
    );
    for (name, detector) in NAMES.iter().zip(&detectors).skip(1).take(3) {
        tell(&mut tally, &members, name, detector, 0);
    }
    assert_eq!((decide(&tally, "ben"), decide(&tally, "eve")), (Decision::Lost, Decision::Won));
    let dead = tally.dead(tokio::time::Instant::now().into());
    assert_eq!(dead.iter().collect::<Vec<_>>(), [members["eve"]]);

    // Eve comes back: the newer reports count.
    for _ in 0..50 {
        beat(&|_, _| true);
        advance(100 * MS).await;
    }
    for (name, detector) in NAMES.iter().zip(&detectors) {
        tell(&mut tally, &members, name, detector, 1_000);
    }
    assert_eq!((decide(&tally, "ben"), decide(&tally, "eve")), (Decision::Lost, Decision::Lost));
}
