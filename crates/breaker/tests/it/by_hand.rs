//! Opened by hand for a while, and what the last trip is remembered by.

use std::time::Duration;

use steadfast_breaker::{BreakerLayer, Cause, CircuitConfig, OnOpen, State};
use steadfast_core::{Counts, Verdict};
use steadfast_testkit::Probe;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task::spawn};
use tower::{Layer, Service};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, n};

const MINUTE: Duration = Duration::from_secs(60);

/// One probe decides.
fn config() -> CircuitConfig {
    crate::config().probes(n(1), n(1))
}

#[tokio::test(start_paused = true)]
async fn opened_for_a_minute_it_refuses_until_then_and_lets_probes_decide() {
    let circuit = circuit(config());
    circuit.force_open_for(MINUTE);
    assert_eq!(circuit.try_admit().unwrap_err().retry_after(), Some(MINUTE));
    advance(MINUTE - Duration::from_millis(1)).await;
    assert!(!call(&circuit, Verdict::Success));
    advance(Duration::from_millis(1)).await;
    // A probe fails: open for the first open time, as after a first trip.
    assert!(call(&circuit, FAILED));
    let snapshot = circuit.snapshot();
    assert_eq!((snapshot.state, snapshot.trips), (State::Open, 1));
    assert_eq!(snapshot.open_for, Some(OPEN_TIME));
}

#[tokio::test(start_paused = true)]
async fn it_can_be_lengthened_shortened_and_ended() {
    let circuit = circuit(config());
    let mut transitions = circuit.subscribe();
    for time in [MINUTE, 2 * MINUTE, Duration::from_secs(1)] {
        circuit.force_open_for(time);
        assert_eq!(circuit.snapshot().open_for, Some(time));
    }
    // To the same state is no transition.
    let told = transitions.changed().await;
    assert_eq!((told.from, told.to, told.cause), (State::Closed, State::Open, Cause::Commanded));
    assert_eq!(told.sequence, circuit.snapshot().transitions);
    circuit.reset();
    assert!(call(&circuit, Verdict::Success));
    // For no time at all the next call is a probe, and for ever it is as by `force_open`.
    circuit.force_open_for(Duration::ZERO);
    let probe = circuit.try_admit().unwrap();
    assert_eq!(circuit.state(), State::HalfOpen);
    drop(probe);
    circuit.force_open_for(Duration::MAX);
    advance(1000 * 365 * 24 * 60 * MINUTE).await;
    assert!(!call(&circuit, Verdict::Success));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_under_way_decides_nothing_any_more() {
    let circuit = circuit(config());
    calls(&circuit, 4, FAILED);
    advance(OPEN_TIME).await;
    let probe = circuit.try_admit().unwrap();
    circuit.force_open_for(MINUTE);
    probe.record(Verdict::Success);
    let snapshot = circuit.snapshot();
    assert_eq!((snapshot.state, snapshot.open_for), (State::Open, Some(MINUTE)));
    assert_eq!(snapshot.probes_in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_hears_of_the_new_time() {
    let circuit = circuit(config().on_open(OnOpen::NotReady));
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    circuit.force_open_for(MINUTE);
    let mut task = spawn(());
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    circuit.force_open_for(Duration::from_secs(1));
    assert!(task.is_woken());
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_says_why_it_changed_last_and_what_the_window_held() {
    for config in [config(), config().time_window(Duration::from_secs(10), 10)] {
        let circuit = circuit(config);
        let of = || {
            let snapshot = circuit.snapshot();
            (snapshot.last_cause, snapshot.counts_at_trip)
        };
        assert_eq!(of(), (None, None));
        calls(&circuit, 2, Verdict::Success);
        calls(&circuit, 2, FAILED);
        let mut counts = Counts::default();
        (counts.total, counts.failures) = (4, 2);
        assert_eq!(of(), (Some(Cause::FailureRatio), Some(counts)));
        advance(OPEN_TIME).await;
        // A round that fails is no new trip of a window.
        assert!(call(&circuit, FAILED));
        assert_eq!(of(), (Some(Cause::ProbesFailed), Some(counts)));
        circuit.reset();
        assert_eq!(of(), (Some(Cause::Commanded), Some(counts)));
    }
}
