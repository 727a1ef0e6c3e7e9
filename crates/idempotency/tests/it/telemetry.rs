//! What an exporter shows, and what events say.

use steadfast_idempotency::{IdempotencyConfig, Outcome};

use crate::support::{Fault, Faulty, Process};

/// A reply, its replay, another payload, a store that is down, and a key that is abandoned.
fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = Faulty::new();
        let process = Process::new(IdempotencyConfig::new().named("payments"), &store);
        for _ in 0..2 {
            assert!(process.pay().await.is_ok());
        }
        assert!(process.pay_for(crate::support::MS, 2).await.is_err());
        store.next("claim", Fault::Unreached, 1);
        assert!(process.pay().await.is_err());
        assert!(process.handle.forget(&crate::support::id()).await.unwrap());
        assert!(process.end(Outcome::Abandon).await.is_ok());
        assert!(process.pay().await.is_err());
    });
}

#[cfg(feature = "metrics")]
#[test]
fn an_exporter_shows_what_became_of_requests_and_keys() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, run);
    let text = handle.render();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.ends_with(" 0"))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "steadfast_idempotency_events_total{idempotency=\"payments\",event=\"abandoned\"} 1",
            "steadfast_idempotency_events_total{idempotency=\"payments\",event=\"ran\"} 2",
            "steadfast_idempotency_events_total{idempotency=\"payments\",event=\"replayed\"} 1",
            "steadfast_idempotency_events_total{idempotency=\"payments\",event=\"stored\"} 1",
            "steadfast_idempotency_refused_total{idempotency=\"payments\",reason=\"abandoned\"} 1",
            "steadfast_idempotency_refused_total{idempotency=\"payments\",reason=\"mismatch\"} 1",
            "steadfast_idempotency_refused_total{idempotency=\"payments\",reason=\"store\"} 1",
        ]
    );
}

#[cfg(feature = "metrics")]
#[test]
fn gauges_show_what_is_under_way_and_a_census_what_the_store_keeps() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    let gauges = || {
        let text = exporter.render();
        let gauges = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_total"));
        let gauges = gauges.filter_map(|line| line.strip_prefix("steadfast_idempotency_"));
        let mut gauges: Vec<_> =
            gauges.map(|line| line.replace("{idempotency=\"shown\"}", "")).collect();
        gauges.sort_unstable();
        gauges.join(", ")
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let store = Faulty::new();
            // A name of its own: handles of one name share the gauges, and other tests have some.
            let process = Process::new(IdempotencyConfig::new().named("shown"), &store);
            assert!(process.end(Outcome::Abandon).await.is_ok());
            let id = |n: u8| steadfast_idempotency::RecordId::new("bob", [n]).unwrap();
            let hang = |n, seconds| {
                let operation = move |_| async move {
                    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
                    ((), Outcome::Store("ok".into()))
                };
                process.handle.execute(id(n), crate::support::print(1), operation)
            };
            let census = async {
                tokio::time::sleep(std::time::Duration::from_secs(25)).await;
                assert_eq!(gauges(), "in_flight 2, oldest_seconds 20", "at a renewal");
                assert_eq!(process.snapshot().oldest, Some(crate::support::MS * 25_000));
                let census = process.handle.census().await.unwrap().unwrap();
                assert_eq!((census.in_flight, census.abandoned), (2, 1));
                assert_eq!(
                    gauges(),
                    "in_flight 2, oldest_seconds 25, store_abandoned 1, store_in_flight 2, \
                     store_oldest_seconds 25"
                );
            };
            let (one, two, ()) = tokio::join!(hang(1, 26), hang(2, 40), census);
            assert!(one.is_ok() && two.is_ok());
            assert_eq!(process.snapshot().oldest, None);
            process.handle.census().await.unwrap();
            assert_eq!(
                gauges(),
                "in_flight 0, oldest_seconds 0, store_abandoned 1, store_in_flight 0, \
                 store_oldest_seconds 0"
            );
        });
    });
}

#[cfg(feature = "tracing")]
#[test]
fn what_an_operator_should_know_is_a_warning_and_names_no_key() {
    let lines = steadfast_testkit::events(run);
    let text = format!("{lines:?}");
    assert_eq!(lines.len(), 2, "{text}");
    assert!(text.contains("the store failed") && text.contains("its key is abandoned"), "{text}");
    assert!(!text.contains("alice") && !text.contains("7f3a"), "{text}");
}

/// Knows how deep in spans the thread is, of which there is one.
#[cfg(feature = "tracing")]
struct Depth(std::sync::Mutex<(usize, Option<&'static tracing::Metadata<'static>>)>);

#[cfg(feature = "tracing")]
impl tracing::Subscriber for Depth {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("steadfast::")
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0.lock().unwrap().1 = Some(span.metadata());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {
        self.0.lock().unwrap().0 += 1;
    }

    fn exit(&self, _: &tracing::span::Id) {
        self.0.lock().unwrap().0 -= 1;
    }

    fn current_span(&self) -> tracing_core::span::Current {
        match *self.0.lock().unwrap() {
            (1.., Some(metadata)) => {
                tracing_core::span::Current::new(tracing::span::Id::from_u64(1), metadata)
            }
            _ => tracing_core::span::Current::none(),
        }
    }
}

#[cfg(feature = "tracing")]
#[test]
fn an_operation_runs_in_the_span_of_its_caller() {
    use steadfast_idempotency::Claim;
    use tracing::Instrument;

    let depth = std::sync::Arc::new(Depth(std::sync::Mutex::default()));
    tracing::subscriber::with_default(std::sync::Arc::clone(&depth), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(async {
            let handle = Process::new(IdempotencyConfig::new(), &Faulty::new()).handle;
            let operation = async move |_: Claim| (depth.0.lock().unwrap().0, Outcome::Release);
            let call = handle.execute(crate::support::id(), crate::support::print(1), operation);
            let span = tracing::info_span!(target: "steadfast::test", "request");
            // It runs in a task, where its caller does not poll it.
            let answer = call.instrument(span).await;
            assert_eq!(answer, Ok(steadfast_idempotency::Answer::Executed(1)));
        });
    });
}
