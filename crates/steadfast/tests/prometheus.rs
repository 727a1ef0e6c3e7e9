//! A real exporter, scraped over HTTP, shows exactly the metrics that the documentation lists.
//!
//! A test binary of its own: the recorder is installed for the whole process.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast::{
    Executed, ManualWallClock, Verdict,
    breaker::{BreakerLayer, Circuit, CircuitConfig},
    clock::{Hlc, HlcConfig, HlcLayer, Timestamp},
    idempotency::{
        Fingerprint, Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, Outcome, RecordId,
    },
    lease::{self, FenceConfig, LeaseClient, LeaseClientConfig, LeaseName},
    phi::{DetectorConfig, Margin, MarginConfig, Peer, Status},
    quorum::{CallConfig, QuorumCall, Threshold},
    retry::{Budget, BudgetConfig, RetryConfig, RetryLayer},
    timeout::{BodyTimeoutConfig, BodyTimeoutLayer, LimitConfig, TimeLimit, TimeoutLayer},
};
use steadfast_testkit::loopback;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

/// Metric name to its label names, and to the values of its second label.
type Shape = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

const DOCUMENT: &str = include_str!("../../../docs/observability.md");

/// What the table in the documentation says.
fn documented() -> Shape {
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `steadfast_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (cells[1].trim().trim_matches('`').to_owned(), (words(cells[3]), words(cells[4])))
    })
    .collect()
}

/// What the exporter says, sample by sample.
fn scraped(text: &str) -> Shape {
    let mut shape = Shape::new();
    for line in text.lines().filter(|line| line.starts_with("steadfast_")) {
        let (name, rest) = line.split_once('{').unwrap();
        let labels = rest.split_once('}').unwrap().0;
        let (names, values) = shape.entry(name.to_owned()).or_default();
        for label in labels.split(',') {
            let (label, value) = label.split_once('=').unwrap();
            names.insert(label.to_owned());
            const CLOSED: [&str; 9] = [
                "cause",
                "direction",
                "event",
                "horizon",
                "outcome",
                "reason",
                "state",
                "status",
                "to",
            ];
            if CLOSED.contains(&label) {
                values.insert(value.trim_matches('"').to_owned());
            }
        }
    }
    shape
}

async fn scrape(address: SocketAddr) -> String {
    reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap()
}

/// A wall clock that is set back and forward, and a stamp from far ahead.
fn jump() {
    let wall = ManualWallClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    let hlc = Hlc::new(wall, HlcConfig::new().named("stock")).unwrap();
    hlc.tick();
    hlc.clock().step_back(Duration::from_secs(60));
    hlc.tick();
    hlc.clock().step_forward(Duration::from_secs(60));
    hlc.update(Timestamp::MAX).unwrap_err();
}

/// A peer that is heard of once, and a thread that stands still past the peer's first deadline.
async fn stand_still() {
    let margin = Margin::Constant(Duration::from_millis(20));
    let method = MarginConfig::last_arrival(Duration::from_millis(10), margin);
    let config = DetectorConfig::new(method).named("stock").local_pause(Duration::from_millis(10));
    let peer = Peer::new(config).unwrap();
    let mut transitions = peer.transitions();
    peer.heartbeat();
    transitions.next().await.unwrap();
    assert!(transitions.next().now_or_never().is_none());
    std::thread::park_timeout(Duration::from_millis(100));
    transitions.next().await.unwrap();
    assert_eq!(peer.status(), Status::Suspected);
}

/// An answer with a good head that breaks off.
fn break_off() {
    let circuit = Circuit::new(CircuitConfig::new().named("stock")).unwrap();
    let answered = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
    answered.record(Verdict::transient(Executed::Maybe));
}

/// One message with a stamp of its own, one call of a quorum, one success, one timeout that opens
/// the circuit, one refusal that is not retried for want of budget or patience.
async fn exercise() {
    let clock = Hlc::system(HlcConfig::new().named("stock")).unwrap();
    let stamped = HlcLayer::new(clock)
        .layer(service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(())) }));
    stamped.oneshot(Request::new(())).await.unwrap();

    let config = BodyTimeoutConfig::new().between_frames(Duration::from_secs(1)).named("stock");
    let read = BodyTimeoutLayer::new(config).unwrap().layer(service_fn(|(): ()| async {
        Ok::<_, BoxError>(Response::new(axum::body::Body::from("read")))
    }));
    axum::body::to_bytes(axum::body::Body::new(read.oneshot(()).await.unwrap().into_body()), 10)
        .await
        .unwrap();

    let nodes = (0..3).map(|node| (node, service_fn(|(): ()| async { Ok::<_, BoxError>(()) })));
    let config = CallConfig::all_at_once().named("stock");
    QuorumCall::new(Threshold::majority_of(3).unwrap(), nodes, config)
        .unwrap()
        .oneshot(())
        .await
        .unwrap();

    let circuit =
        Circuit::new(CircuitConfig::new().named("stock").minimum_calls(2.try_into().unwrap()))
            .unwrap();
    let budget = Budget::new(BudgetConfig::new().named("stock")).unwrap();
    budget.reconfigure(budget.config().floor_per_second(5)).unwrap();
    // The call that hangs is let go on beyond its limit.
    let limit = LimitConfig::quantile(Duration::from_millis(10), Duration::from_millis(100))
        .cold_start(Duration::from_millis(20))
        .named("stock");
    let limit = TimeLimit::new(limit).unwrap();
    limit.reconfigure(limit.config()).unwrap();
    let service = ServiceBuilder::new()
        .layer(
            RetryLayer::new(RetryConfig::new().retry_after_limit(Duration::ZERO).named("stock"))
                .idempotent(),
        )
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(TimeoutLayer::new(limit))
        .service(service_fn(|hangs: bool| async move {
            match hangs {
                true => std::future::pending().await,
                false => {
                    tokio::task::yield_now().await;
                    Ok::<_, BoxError>(())
                }
            }
        }));
    service.clone().oneshot(false).await.unwrap();
    service.clone().oneshot(true).await.unwrap_err();
    service.oneshot(false).await.unwrap_err();
    circuit.reconfigure(circuit.config()).unwrap();
}

/// A key that runs, is replayed, and is refused another payload; one that is abandoned; and a count
/// while a third is under way.
async fn use_keys() {
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let keys = Idempotency::new(IdempotencyConfig::new().named("stock"), store).unwrap();
    let id = |key: &str| RecordId::new("alice", key).unwrap();
    let run = async |payload: &str| {
        let operation = async |_| ((), Outcome::Store("ok".into()));
        keys.execute(id("a"), Fingerprint::of([payload]), operation).await
    };
    assert!(run("5").await.is_ok() && run("5").await.is_ok() && run("6").await.is_err());
    let abandoned = async |_| ((), Outcome::Abandon);
    keys.execute(id("b"), Fingerprint::of(["5"]), abandoned).await.unwrap();
    let counted = keys.clone();
    let count = async move |_| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let census = counted.census().await.unwrap().unwrap();
        assert_eq!((census.in_flight, census.abandoned), (1, 1));
        ((), Outcome::Release)
    };
    keys.execute(id("c"), Fingerprint::of(["5"]), count).await.unwrap();
    keys.shutdown(Duration::from_secs(1)).await;
}

/// A lease that is granted and given back, and a call that passes a fence by its token.
async fn lead() {
    let store = lease::MemoryStore::new(lease::MemoryConfig::new()).unwrap();
    let client = LeaseClient::new(LeaseClientConfig::new().named("stock"), store).unwrap();
    let held = client.acquire(LeaseName::new("stock").unwrap(), None).await.unwrap();
    let fence = lease::Fence::new(FenceConfig::new().named("stock")).unwrap();
    drop(fence.enter(held.token()).await.unwrap());
    assert!(held.release().await.unwrap());
    assert!(client.shutdown(Duration::from_secs(1)).await);
}

fn sum(text: &str, metric: &str) -> u64 {
    let samples = text.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

#[tokio::test]
async fn the_exporter_shows_what_the_documentation_lists_and_gauges_return_to_zero() {
    let (listener, address) = loopback().unwrap();
    drop(listener);
    PrometheusBuilder::new().with_http_listener(address).install().unwrap();
    jump();
    break_off();
    exercise().await;
    use_keys().await;
    lead().await;
    stand_still().await;
    let text = scrape(address).await;
    assert_eq!(scraped(&text), documented(), "\n{text}");
    assert_eq!(sum(&text, "steadfast_retry_calls_total"), 3, "one increment a call\n{text}");
    let attempts = 3 + sum(&text, "steadfast_retry_retries_total");
    let broken_off = 1;
    assert_eq!(sum(&text, "steadfast_breaker_calls_total"), attempts + broken_off, "{text}");
    for gauge in [
        "steadfast_breaker_state",
        "steadfast_clock_lead_seconds",
        "steadfast_idempotency_in_flight",
        "steadfast_idempotency_oldest_seconds",
        "steadfast_idempotency_store_abandoned",
        "steadfast_idempotency_store_in_flight",
        "steadfast_idempotency_store_oldest_seconds",
        "steadfast_phi_peers",
        "steadfast_timeout_limit_seconds",
    ] {
        assert_eq!(sum(&text, gauge), 0, "the handles are gone\n{text}");
    }
}
