//! A caller's deadline is not the service's failure: the bars, with the product's own breaker and
//! timeout on paused time, and over real sockets.
//!
//! The rule itself is simulated in more cells in the timeout's own tests.

use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Deadline, Grounds, RefusalKind,
    breaker::{BreakerLayer, Circuit, CircuitConfig, State},
    cause,
    http::{REQUEST_TIMEOUT_MS, respond},
    retry::{RetryConfig, RetryLayer},
    timeout::{
        DeadlineConfig, DeadlineLayer, Elapsed, LimitConfig, PropagateDeadlineLayer, TimeLimit,
        TimeoutLayer,
    },
};
use steadfast_testkit::Traffic;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{
    Status,
    service::Routes,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::serve;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MEDIAN: Duration = Duration::from_millis(20);

/// A call: the caller's deadline, and how long the service takes.
#[derive(Clone, Copy)]
struct Call {
    deadline: Option<Deadline>,
    latency: Duration,
}

/// The breaker and the timeout of the README, round a service that takes as long as it is told.
fn stack(
    circuit: &Circuit,
) -> impl Service<Call, Response = (), Error = BoxError, Future: Send> + Clone + use<> {
    let timeout = TimeoutLayer::adaptive(10 * MS, 5 * SECOND).unwrap();
    ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(timeout.context(|call: &Call| call.deadline))
        .service_fn(|call: Call| async move {
            if call.latency == Duration::MAX {
                return pending().await;
            }
            sleep(call.latency).await;
            Ok::<_, BoxError>(())
        })
}

/// How long a caller waits.
type Draw = fn(&mut Traffic) -> Duration;

/// What callers and service do, at so many calls a second.
#[derive(Clone, Copy)]
struct Cell {
    per_second: f64,
    length: Duration,
    deadline: Draw,
    share: f64,
    dead_from: Duration,
}

const CELL: Cell = Cell {
    per_second: 100.0,
    length: Duration::from_secs(60),
    deadline: |_| MEDIAN,
    share: 0.99,
    dead_from: Duration::MAX,
};

impl Cell {
    /// When the circuit opened for the first time, in seconds from the service's death or the
    /// start.
    async fn opens_after(self, seed: u64) -> Option<f64> {
        let circuit = Circuit::new(CircuitConfig::new()).unwrap();
        let (service, mut traffic) = (stack(&circuit), Traffic::seeded(seed));
        let (start, mut at) = (Instant::now(), Duration::ZERO);
        while at < self.length {
            at += traffic.arrival(self.per_second);
            sleep_until(start + at).await;
            if circuit.snapshot().transitions > 0 {
                let dead_from = if self.dead_from < at { self.dead_from } else { Duration::ZERO };
                return Some((at - dead_from).as_secs_f64());
            }
            let latency = traffic.log_normal(MEDIAN, 0.25);
            let latency = if at >= self.dead_from { Duration::MAX } else { latency };
            let has_deadline = traffic.chance(self.share);
            let left = (self.deadline)(&mut traffic);
            let now = Instant::now().into_std();
            let deadline = has_deadline.then(|| Deadline::after(now, left));
            tokio::spawn(service.clone().oneshot(Call { deadline, latency }));
        }
        None
    }
}

#[tokio::test(start_paused = true)]
async fn impatient_callers_leave_the_circuit_of_a_healthy_service_closed() {
    let cells: [(&str, f64, u64, Draw); 8] = [
        ("1 ms", 0.99, 600, |_| MS),
        ("1 ms", 0.5, 60, |_| MS),
        ("15 ms", 0.9, 60, |_| 15 * MS),
        ("the median", 0.99, 120, |_| MEDIAN),
        ("the median", 0.1, 60, |_| MEDIAN),
        ("91 %", 0.99, 60, |_| Duration::from_micros(27_960)),
        ("what is left of 10 ms", 1.0, 60, |traffic| (10 * MS).mul_f64(traffic.uniform())),
        ("what is left of 60 ms", 1.0, 60, |traffic| (60 * MS).mul_f64(traffic.uniform())),
    ];
    for (seed, (name, share, seconds, deadline)) in (1..).zip(cells) {
        let length = Duration::from_secs(seconds);
        let opened = Cell { deadline, share, length, ..CELL }.opens_after(seed).await;
        assert_eq!(opened, None, "{name}, {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_service_is_found_by_callers_with_deadlines() {
    let dead_from = 30 * SECOND;
    let dead = Cell { share: 1.0, dead_from, ..CELL };
    let cells: [(&str, Cell, f64); 6] = [
        ("half at the median", Cell { share: 0.5, ..dead }, 0.8),
        ("half at the median, 10/s", Cell { share: 0.5, per_second: 10.0, ..dead }, 3.0),
        ("above the quantile", Cell { deadline: |_| 45 * MS, ..dead }, 0.6),
        ("at the median", dead, 2.0),
        ("at the median, 10/s", Cell { per_second: 10.0, ..dead }, 15.0),
        ("cold, 100 ms", Cell { deadline: |_| 100 * MS, dead_from: Duration::ZERO, ..dead }, 1.5),
    ];
    for (name, cell, bar) in cells {
        let mut found = Vec::new();
        for seed in 1..6 {
            found.push(cell.opens_after(seed).await.unwrap());
        }
        let mean = found.iter().sum::<f64>() / 5.0;
        assert!(mean <= bar, "{name}: found after {mean:.2} s of at most {bar}: {found:.2?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_total_below_a_fixed_limit_never_opens_the_circuit() {
    let adaptive = || TimeoutLayer::adaptive(10 * MS, 5 * SECOND).unwrap();
    let fixed = |limit| TimeoutLayer::fixed(limit).unwrap();
    for (timeout, opens) in [(fixed(5 * SECOND), false), (fixed(SECOND), true), (adaptive(), true)]
    {
        let circuit = Circuit::new(CircuitConfig::new()).unwrap();
        let service = ServiceBuilder::new()
            .layer(DeadlineLayer::new(DeadlineConfig::new().total(2 * SECOND)).unwrap())
            .layer(BreakerLayer::new(circuit.clone()).http())
            .layer(timeout.http())
            .service_fn(|_: Request<()>| pending::<Result<Response<()>, BoxError>>());
        for _ in 0..100 {
            tokio::spawn(service.clone().oneshot(Request::new(())));
            sleep(100 * MS).await;
        }
        assert_eq!(circuit.snapshot().transitions > 0, opens, "{:?}", circuit.snapshot());
    }
}

/// An open circuit, its time over, whose next call is a probe.
async fn about_to_probe() -> Circuit {
    let circuit = Circuit::new(CircuitConfig::new()).unwrap();
    for _ in 0..20 {
        let failed = async { Err::<(), BoxError>(io::Error::other("broken").into()) };
        circuit.run(failed).await.unwrap_err();
    }
    assert_eq!(circuit.state(), State::Open);
    sleep(6 * SECOND).await;
    circuit
}

#[tokio::test(start_paused = true)]
async fn impatient_probes_give_their_place_back_and_patient_ones_close_the_circuit() {
    let circuit = about_to_probe().await;
    let service = stack(&circuit);
    let call = |left, latency| {
        let deadline = Some(Deadline::after(Instant::now().into_std(), left));
        service.clone().oneshot(Call { deadline, latency })
    };
    for _ in 0..50 {
        for left in [Duration::ZERO, MS, 15 * MS] {
            let error = call(left, MEDIAN).await.unwrap_err();
            let grounds = error.downcast::<Elapsed>().unwrap().grounds;
            assert_eq!(grounds.kind, RefusalKind::DeadlineExceeded);
        }
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 0));
        // The run of cuts is a second long by now; an honest answer ends it.
        if circuit.snapshot().transitions < 3 {
            call(SECOND, MEDIAN).await.unwrap();
        }
        if circuit.state() == State::Closed {
            return;
        }
    }
    panic!("{:?}", circuit.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_neither_opens_nor_fails_a_probe() {
    let probed = about_to_probe().await;
    for (circuit, state) in
        [(Circuit::new(CircuitConfig::new()).unwrap(), State::Closed), (probed, State::HalfOpen)]
    {
        let (service, called) = (stack(&circuit), Instant::now().into_std());
        for _ in 0..200 {
            let call = Call { deadline: Some(Deadline::at(called)), latency: Duration::ZERO };
            let error = service.clone().oneshot(call).await.unwrap_err();
            assert_eq!(*error.downcast::<Elapsed>().unwrap(), Elapsed::before_the_call());
        }
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (state, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_repeats_nothing_that_a_deadline_has_ended() {
    for (left, calls) in [(Duration::ZERO, 0), (50 * MS, 1)] {
        let called = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&called);
        let context = |&deadline: &Deadline| Some(deadline);
        // The retry does not know of the deadline.
        let service = ServiceBuilder::new()
            .layer(RetryLayer::new(RetryConfig::new()).idempotent())
            .layer(TimeoutLayer::fixed(SECOND).unwrap().context(context))
            .service_fn(move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
                pending::<Result<(), BoxError>>()
            });
        let start = Instant::now();
        let deadline = Deadline::after(start.into_std(), left);
        service.oneshot(deadline).await.unwrap_err();
        assert_eq!((called.load(Ordering::Relaxed), Instant::now() - start), (calls, left));
    }
}

/// Adaptive, with room for a machine that has other things to do: these tests run in real time.
fn roomy() -> TimeoutLayer {
    let config = LimitConfig::quantile(10 * MS, 5 * SECOND).factor(20.0);
    TimeoutLayer::new(TimeLimit::new(config).unwrap())
}

/// A server with the layers of the README, whose handler takes `latency`.
async fn server(circuit: &Circuit, latency: Duration) -> std::net::SocketAddr {
    let stack = ServiceBuilder::new()
        .layer(DeadlineLayer::new(DeadlineConfig::new().headers()).unwrap())
        .layer(BreakerLayer::new(circuit.clone()).http())
        .layer(roomy().http());
    let handler = move || async move {
        sleep(latency).await;
        "answer"
    };
    serve(Router::new().route("/", get(handler)).layer(respond(stack))).await
}

#[tokio::test]
async fn one_client_with_a_deadline_of_a_millisecond_gets_its_504_and_all_others_their_answer() {
    let circuit = Circuit::new(CircuitConfig::new()).unwrap();
    // Long enough that a busy machine polls the deadline's timer before the answer is there.
    let address = server(&circuit, 5 * MEDIAN).await;
    let (url, client) = (format!("http://{address}/"), reqwest::Client::new());
    let call = move |left: &'static str| {
        let request = client.get(&url).header(REQUEST_TIMEOUT_MS, left);
        async move { request.send().await.unwrap().status() }
    };
    let done = Arc::new(AtomicBool::new(false));
    let others = (0..16).map(|_| {
        let (call, done) = (call.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(call("5000").await, StatusCode::OK);
            }
        })
    });
    let others: Vec<_> = others.collect();
    let mut late = 0;
    for _ in 0..200 {
        // Unless the machine stood still until the answer was there too.
        late += u32::from(call("1").await == StatusCode::GATEWAY_TIMEOUT);
    }
    done.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
    assert!(late >= 100, "{late} of 200");
    assert_eq!(circuit.snapshot().transitions, 0);
}

/// A's way to B at `url`, with A's circuit of B, and how often B itself has answered 504.
fn way(
    circuit: &Circuit,
    own_504: &Arc<AtomicU32>,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<hyper::body::Incoming>,
    Error = BoxError,
    Future: Send,
> + Clone
+ use<> {
    let own_504 = Arc::clone(own_504);
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()).http())
        .layer(roomy().http())
        .map_response(move |response: Response<_>| {
            if response.status() == StatusCode::GATEWAY_TIMEOUT {
                own_504.fetch_add(1, Ordering::Relaxed);
            }
            response
        })
        .layer(PropagateDeadlineLayer::new())
        .map_err(BoxError::from)
        .service(client)
}

#[tokio::test]
async fn a_slow_a_does_not_open_the_circuit_of_a_healthy_b() {
    let (at_b, of_b) = [(); 2].map(|()| Circuit::new(CircuitConfig::new()).unwrap()).into();
    let url = format!("http://{}/", server(&at_b, MEDIAN).await);
    let own_504 = Arc::new(AtomicU32::new(0));
    let (service, mut traffic) = (way(&of_b, &own_504), Traffic::seeded(1));
    let mut calls = Vec::new();
    for n in 0..600 {
        // What A has left when it calls B: too little, but for one call in ten.
        let left = if n % 10 == 0 { SECOND } else { (15 * MS).mul_f64(traffic.uniform()) };
        let deadline = Deadline::after(Instant::now().into_std(), left);
        let request = Request::get(&url).extension(deadline).body(Full::default()).unwrap();
        calls.push((left, tokio::spawn(service.clone().oneshot(request))));
        sleep(2 * MS).await;
    }
    for (left, call) in calls {
        match call.await.unwrap() {
            Ok(response) => assert_eq!(response.status(), StatusCode::OK),
            Err(error) => {
                let kind = cause::<Grounds>(&*error).unwrap().kind;
                assert_eq!((kind, left < SECOND), (RefusalKind::DeadlineExceeded, true));
            }
        }
    }
    let (a, b, own_504) = (of_b.snapshot(), at_b.snapshot(), own_504.load(Ordering::Relaxed));
    assert_eq!((a.transitions, b.transitions), (0, 0), "{own_504} times B was first: {a:?}");
}

/// A gRPC server of tonic. It keeps the deadline that a call tells it.
async fn grpc_server(latency: Duration) -> Channel {
    let handler = service_fn(move |_: Request<axum::body::Body>| async move {
        sleep(latency).await;
        Ok::<_, Infallible>(Status::ok("").into_http::<axum::body::Body>())
    });
    let routes = Routes::from(Router::new().fallback_service(handler));
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = incoming.local_addr().unwrap();
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
    Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

#[tokio::test]
async fn over_grpc_no_timer_of_tonic_counts_against_a_healthy_service() {
    // Channel and server of tonic each have a timer of their own, and either may be the first.
    let channel = grpc_server(5 * MEDIAN).await;
    let limits = [5 * SECOND, Duration::MAX].map(|limit| TimeoutLayer::fixed(limit).unwrap());
    for timeout in limits.into_iter().chain([roomy()]) {
        let circuit = Circuit::new(CircuitConfig::new()).unwrap();
        let service = ServiceBuilder::new()
            .layer(BreakerLayer::new(circuit.clone()).grpc())
            .layer(timeout.clone().grpc())
            .layer(PropagateDeadlineLayer::new().grpc_timeout())
            .map_err(BoxError::from)
            .service(channel.clone());
        let (mut traffic, mut calls) = (Traffic::seeded(1), Vec::new());
        for n in 0..200 {
            let left = if n % 10 == 0 { 5 * SECOND } else { (75 * MS).mul_f64(traffic.uniform()) };
            let deadline = Deadline::after(Instant::now().into_std(), left);
            let body = tonic::body::Body::empty();
            let request = Request::post("/shop/Order").extension(deadline).body(body).unwrap();
            calls.push(tokio::spawn(service.clone().oneshot(request)));
            sleep(2 * MS).await;
        }
        let mut cut = 0;
        for call in calls {
            if let Err(error) = call.await.unwrap() {
                let grounds = cause::<Grounds>(&*error);
                let kind = grounds.unwrap_or_else(|| panic!("{timeout:?}: {error:?}")).kind;
                cut += u32::from(kind == RefusalKind::DeadlineExceeded);
            }
        }
        assert!(cut >= 100, "{timeout:?}: {cut} of 180");
        assert_eq!(circuit.snapshot().transitions, 0, "{timeout:?}: {:?}", circuit.snapshot());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_with_its_own_call_at_the_deadline_does_not_open_its_circuit() {
    let circuit = Circuit::new(CircuitConfig::new()).unwrap();
    let timeout = TimeoutLayer::adaptive(10 * MS, 5 * SECOND).unwrap().http();
    let b = timeout.layer(service_fn(|_: Request<()>| async {
        sleep(MEDIAN).await;
        Ok::<_, BoxError>(Response::new(()))
    }));
    // It calls B with its own deadline, and says in its own words that B has failed.
    let handler = move |request: Request<()>| {
        let b = b.clone();
        async move {
            let mut response = Response::new(());
            if b.oneshot(request).await.is_err() {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            Ok::<_, BoxError>(response)
        }
    };
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(DeadlineConfig::new()).unwrap())
        .layer(BreakerLayer::new(circuit.clone()).http())
        .layer(TimeoutLayer::adaptive(10 * MS, 5 * SECOND).unwrap().http())
        .service_fn(handler);
    let mut hasty = 0;
    for n in 0..500 {
        let left = if n % 5 == 0 { SECOND } else { 15 * MS };
        let mut request = Request::new(());
        request.extensions_mut().insert(Deadline::after(Instant::now().into_std(), left));
        match service.clone().oneshot(request).await {
            Ok(response) => assert_eq!(response.status(), StatusCode::OK),
            Err(error) => {
                assert_eq!(*error.downcast::<Elapsed>().unwrap(), Elapsed::at_the_deadline(left));
                hasty += 1;
            }
        }
        assert_eq!(circuit.snapshot().counts.failures, 0, "call {n}");
    }
    assert_eq!((hasty, circuit.snapshot().transitions), (400, 0));
}
