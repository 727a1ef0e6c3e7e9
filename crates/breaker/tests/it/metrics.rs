//! What a real Prometheus exporter shows.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Wake, Waker},
};

use futures::StreamExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_breaker::{Circuit, OpenTime};
use steadfast_core::{Executed, Verdict};
use tokio::time::advance;

use crate::{FAILED, OPEN_TIME, call, calls, config, n};

#[test]
fn every_call_is_one_increment_and_the_gauges_return_to_zero() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    let circuit = Circuit::new(config().named("orders")).unwrap();
    metrics::with_local_recorder(&recorder, || {
        calls(&circuit, 2, Verdict::Success);
        calls(&circuit, 1, Verdict::Permanent);
        calls(&circuit, 1, Verdict::Ignored);
        calls(&circuit, 1, Verdict::Repeatable { executed: Executed::Maybe, retry_after: None });
        drop(circuit.try_admit().unwrap());
        calls(&circuit, 4, FAILED);
        assert!(!call(&circuit, Verdict::Success));
    });
    let text = scrape.render();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    for (outcome, count) in [
        ("success", 2),
        ("permanent", 1),
        ("repeatable", 1),
        ("ignored", 1),
        ("cancelled", 1),
        ("failure", 4),
        ("refused", 1),
        ("throttled", 0),
    ] {
        has(&format!(
            "steadfast_breaker_calls_total{{breaker=\"orders\",outcome=\"{outcome}\"}} {count}"
        ));
    }
    has("steadfast_breaker_transitions_total{breaker=\"orders\",to=\"open\"} 1");
    has("steadfast_breaker_state{breaker=\"orders\",state=\"open\"} 1");
    has("steadfast_breaker_state{breaker=\"orders\",state=\"closed\"} 0");
    metrics::with_local_recorder(&recorder, || drop(circuit));
    let text = scrape.render();
    assert!(
        text.contains("steadfast_breaker_state{breaker=\"orders\",state=\"open\"} 0"),
        "{text}"
    );
}

#[test]
fn a_change_of_the_rules_is_counted_once_whether_taken_over_or_refused_and_by_key_too() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let circuit = Circuit::new(config().named("orders")).unwrap();
        circuit.reconfigure(circuit.config().minimum_calls(n(5))).unwrap();
        circuit.reconfigure(circuit.config().minimum_calls(n(6))).unwrap();
        circuit.reconfigure(circuit.config().named("others")).unwrap_err();
        let key = |request: &u32| *request;
        let circuits =
            Circuit::per_key(config().named("hosts"), NonZeroUsize::new(50).unwrap(), key).unwrap();
        (0..9).for_each(|key| calls(&circuits.handle(&key), 1, Verdict::Success));
        circuits.reconfigure(circuits.config().unwrap().minimum_calls(n(5))).unwrap();
    });
    let text = scrape.render();
    for (breaker, outcome, count) in
        [("orders", "applied", 2), ("orders", "refused", 1), ("hosts", "applied", 1)]
    {
        let labels = format!("{{breaker=\"{breaker}\",outcome=\"{outcome}\"}}");
        let line = format!("steadfast_breaker_reconfigurations_total{labels} {count}");
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains("breaker=\"others\""));
}

#[test]
fn circuits_by_key_are_counted_together_and_a_forgotten_one_gives_its_state_back() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    let shown = |line: &str, value: u32| {
        let (text, line) = (scrape.render(), format!("steadfast_breaker_{line}}} {value}"));
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    };
    metrics::with_local_recorder(&recorder, || {
        let key = |request: &u32| *request;
        let circuits =
            Circuit::per_key(config().named("hosts"), NonZeroUsize::new(50).unwrap(), key).unwrap();
        calls(&circuits.handle(&0), 4, FAILED);
        calls(&circuits.handle(&1), 1, Verdict::Success);
        shown("calls_total{breaker=\"hosts\",outcome=\"failure\"", 4);
        shown("calls_total{breaker=\"hosts\",outcome=\"success\"", 1);
        shown("transitions_total{breaker=\"hosts\",to=\"open\"", 1);
        shown("state{breaker=\"hosts\",state=\"open\"", 1);
        shown("state{breaker=\"hosts\",state=\"closed\"", 1);
        // Each of these is asked for twice, and so is in use while the first two are not.
        (2..1_000).for_each(|key| {
            (0..2).for_each(|_| calls(&circuits.handle(&key), 1, Verdict::Success));
        });
        shown("state{breaker=\"hosts\",state=\"open\"", 0);
        shown("state{breaker=\"hosts\",state=\"closed\"", circuits.len().try_into().unwrap());
        drop(circuits);
        shown("state{breaker=\"hosts\",state=\"closed\"", 0);
    });
}

/// A program that only watches a circuit still shows it.
#[test]
fn a_subscriber_keeps_its_circuit_alive_and_shown() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    let shown = |value: u32| {
        let line = format!("steadfast_breaker_state{{breaker=\"watched\",state=\"open\"}} {value}");
        let text = scrape.render();
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    };
    metrics::with_local_recorder(&recorder, || {
        let circuit = Circuit::new(config().named("watched")).unwrap();
        let transitions = circuit.subscribe();
        calls(&circuit, 4, FAILED);
        drop(circuit);
        shown(1);
        drop(transitions);
        shown(0);
    });
}

/// A waker that does not work.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

/// A round that was lost a while ago opens the circuit and starts another, at one call.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_at_one_transition_does_not_keep_the_gauges_from_the_next() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    let _local = metrics::set_default_local_recorder(&recorder);
    let open_time = OpenTime::constant(OPEN_TIME).unwrap();
    let config = config().named("lost").probes(n(1), n(1)).open_time(open_time);
    let circuit = Circuit::new(config.probe_limit(OPEN_TIME)).unwrap();
    calls(&circuit, 4, FAILED);
    advance(OPEN_TIME).await;
    let _hung = circuit.try_admit().unwrap();
    let mut transitions = circuit.subscribe();
    let waker = Waker::from(Arc::new(Panics));
    assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    advance(2 * OPEN_TIME).await;
    catch_unwind(AssertUnwindSafe(|| circuit.try_admit())).unwrap_err();
    let text = scrape.render();
    for (state, circuits) in [("open", 0), ("half_open", 1)] {
        let line =
            format!("steadfast_breaker_state{{breaker=\"lost\",state=\"{state}\"}} {circuits}");
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_ends_are_counted_apart_from_the_calls_by_when_they_came() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    let circuit = Circuit::new(config().named("orders").horizon(OPEN_TIME / 2)).unwrap();
    let answered = || circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let [bad, good, late] = [answered(), answered(), answered()];
    bad.record(FAILED);
    good.record(Verdict::Success);
    advance(OPEN_TIME / 2).await;
    late.record(FAILED);
    let text = scrape.render();
    for line in [
        "steadfast_breaker_bad_ends_total{breaker=\"orders\",horizon=\"within\"} 1",
        "steadfast_breaker_bad_ends_total{breaker=\"orders\",horizon=\"beyond\"} 1",
        "steadfast_breaker_calls_total{breaker=\"orders\",outcome=\"success\"} 3",
        "steadfast_breaker_calls_total{breaker=\"orders\",outcome=\"failure\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}
