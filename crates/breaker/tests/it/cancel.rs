//! Dropped futures, stragglers, panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use steadfast_breaker::{BreakerLayer, State};
use steadfast_core::{Ratio, Verdict};
use steadfast_testkit::{Probe, Reply};
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, service_fn};

use crate::{FAILED, OPEN_TIME, calls, circuit, config, n};

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_its_probe_back() {
    let circuit = circuit(config().probes(n(1), n(1)));
    let probe = Probe::new();
    probe.control().always(Reply::value(1).held());
    let mut service = BreakerLayer::new(circuit.clone()).layer(probe);
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    for polls in 0..3 {
        let mut ready = spawn(());
        ready.enter(|cx, _| assert!(service.poll_ready(cx).is_ready()));
        let mut future = spawn(service.call(7));
        assert_eq!(circuit.snapshot().probes_in_flight, 1);
        for _ in 0..polls {
            assert!(future.poll().is_pending());
        }
        drop(future);
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_straggler_cannot_speak_for_a_later_state() {
    for config in [config(), config().time_window(Duration::from_secs(10), 10)] {
        let circuit = circuit(config.probes(n(1), n(1)));
        let stragglers: Vec<_> = (0..40).map(|_| circuit.try_admit().unwrap()).collect();
        let mut stragglers = stragglers.into_iter();
        calls(&circuit, 4, FAILED);
        // Open: successes and failures of the closed state say nothing.
        stragglers.by_ref().take(10).for_each(|permit| permit.record(Verdict::Success));
        assert_eq!(circuit.state(), State::Open);
        tokio::time::advance(OPEN_TIME).await;
        let probe = circuit.try_admit().unwrap();
        // Half-open: they are no probes.
        stragglers.by_ref().take(10).for_each(|permit| permit.record(Verdict::Success));
        stragglers.by_ref().take(5).for_each(|permit| permit.record(FAILED));
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 1));
        probe.record(Verdict::Success);
        // Closed again: they are not counted.
        stragglers.by_ref().take(10).for_each(|permit| permit.record(FAILED));
        stragglers.for_each(drop);
        let snapshot = circuit.snapshot();
        assert_eq!(
            (snapshot.state, snapshot.counts.total, snapshot.counts.failures),
            (State::Closed, 0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_the_slow_threshold_counts_as_slow() {
    let limit = Duration::from_millis(100);
    let circuit = circuit(config().slow_calls(limit, Ratio::HALF));
    for _ in 0..10 {
        drop(circuit.try_admit().unwrap());
    }
    assert_eq!(circuit.snapshot().counts.total, 0, "dropped early, they say nothing");
    for _ in 0..4 {
        let permit = circuit.try_admit().unwrap();
        tokio::time::advance(limit * 2).await;
        drop(permit);
    }
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_dropped_after_the_slow_threshold_has_failed() {
    let limit = Duration::from_millis(100);
    let circuit = circuit(config().slow_calls(limit, Ratio::HALF).probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let probe = circuit.try_admit().unwrap();
    tokio::time::advance(limit * 2).await;
    drop(probe);
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_has_failed_and_the_circuit_goes_on() {
    let circuit = circuit(config());
    let layer = BreakerLayer::new(circuit.clone());
    let mut in_call =
        layer.layer(service_fn(|_: u32| -> std::future::Ready<Result<u32, BoxError>> {
            panic!("in call")
        }));
    let mut in_poll =
        layer.layer(service_fn(|_: u32| async { panic!("in poll") as Result<u32, BoxError> }));
    for _ in 0..2 {
        catch_unwind(AssertUnwindSafe(|| drop(in_call.call(1)))).unwrap_err();
        let mut future = spawn(in_poll.call(1));
        catch_unwind(AssertUnwindSafe(|| future.poll())).unwrap_err();
        // The runtime drops the future later, when no thread is panicking any more.
        drop(future);
    }
    assert_eq!(circuit.state(), State::Open, "4 failures of 4");
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_leaks_no_probe() {
    let circuit = circuit(config().probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let classifier = |_: Result<&u32, &BoxError>| -> Verdict { panic!("in the classifier") };
    let layer = BreakerLayer::new(circuit.clone()).classify(classifier);
    let mut service = layer.layer(service_fn(|n: u32| async move { Ok::<_, BoxError>(n) }));
    let mut future = spawn(service.call(1));
    catch_unwind(AssertUnwindSafe(|| future.poll())).unwrap_err();
    drop(future);
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 0));
}
