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

/// What the table calls for: each of them described, with a sentence.
fn is_described(text: &str) {
    for name in documented().keys() {
        let start = format!("# HELP {name} ");
        let help = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default();
        assert!(help.len() > 10 && help.ends_with('.'), "{name}: {help:?}");
    }
}

/// The rules that the documentation gives for Prometheus, as a file.
fn alerts() -> &'static str {
    DOCUMENT.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0
}

/// Label, operator and values.
type Matcher<'a> = (&'a str, &'a str, Vec<&'a str>);

/// The selectors of an expression: the metric and its matchers.
fn selectors(expr: &str) -> Vec<(&str, Vec<Matcher<'_>>)> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let starts = expr.match_indices("steadfast_").map(|(at, _)| &expr[at..]);
    starts
        .map(|rest| {
            let (name, rest) = rest.split_at(rest.find(|at| !is_name(at)).unwrap_or(rest.len()));
            let inside = rest.strip_prefix('{').map_or("", |rest| rest.split_once('}').unwrap().0);
            let matchers = inside.split(',').filter(|matcher| !matcher.is_empty());
            let matchers = matchers.map(|matcher| {
                let (label, rest) = matcher.split_at(matcher.find(['=', '!']).unwrap());
                let (operator, rest) = rest.split_at(rest.find('"').unwrap());
                let values = rest.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                (label, operator, values.split('|').collect())
            });
            (name, matchers.collect())
        })
        .collect()
}

/// Whether every bracket is closed by one of its kind.
fn is_balanced(expr: &str) -> bool {
    let mut open = Vec::new();
    for letter in expr.chars() {
        match letter {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(letter) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

#[test]
fn the_alerts_ask_for_metrics_labels_and_values_that_there_are() {
    let table = documented();
    let mut names = BTreeSet::new();
    let rules: Vec<&str> = alerts().split("- alert: ").skip(1).collect();
    for rule in &rules {
        let (name, rest) = rule.split_once('\n').unwrap();
        assert!(names.insert(name.to_owned()), "{name} comes twice");
        let line = |key: &str| rest.lines().find_map(|line| line.trim().strip_prefix(key));
        let (expr, summary) = (line("expr: ").unwrap(), line("summary: ").unwrap());
        assert!(is_balanced(expr) && expr.matches('"').count() % 2 == 0, "{name}: {expr}");
        let selectors = selectors(expr);
        assert!(!selectors.is_empty(), "{name}: {expr}");
        for (metric, matchers) in selectors {
            let (labels, values) =
                table.get(metric).unwrap_or_else(|| panic!("{name}: there is no {metric}"));
            for (label, operator, wanted) in matchers {
                assert!(labels.contains(label), "{name}: {metric} has no label {label}");
                let operators: &[&str] =
                    if wanted.len() > 1 { &["=~", "!~"] } else { &["=", "!="] };
                assert!(operators.contains(&operator), "{name}: {operator}");
                for value in wanted {
                    assert!(values.contains(value), "{name}: {metric} has no {label}={value}");
                }
            }
            let by = labels.iter().filter(|label| expr.contains(&format!("by ({label})"))).count();
            assert!(by > 0, "{name}: {metric} is summed by no label of its own: {expr}");
        }
        for (at, _) in summary.match_indices("{{ $labels.") {
            let label = summary[at..].trim_start_matches("{{ $labels.").split(' ').next().unwrap();
            assert!(expr.contains(&format!("by ({label})")), "{name}: {label}");
        }
    }
    assert!(rules.len() >= 10, "{names:?}");
}

#[test]
fn a_selector_is_read_with_its_matchers_and_brackets_are_counted() {
    let found = selectors(r#"rate(steadfast_a_total{b="c",d!~"e|f"}[5m]) > steadfast_g"#);
    let matchers = vec![("b", "=", vec!["c"]), ("d", "!~", vec!["e", "f"])];
    assert_eq!(found, [("steadfast_a_total", matchers), ("steadfast_g", Vec::new())]);
    assert!(
        is_balanced("a({[]})") && !is_balanced("a(]") && !is_balanced("a(") && !is_balanced(")")
    );
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
    is_described(&text);
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
