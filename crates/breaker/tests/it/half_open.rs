//! Rounds of probes of which some do not come back in time.

use std::{future::poll_fn, time::Duration};

use futures::StreamExt;
use steadfast_breaker::{BreakerLayer, Cause, Circuit, OnOpen, Permit, State};
use steadfast_core::{Ratio, Verdict};
use steadfast_testkit::Probe;
use tokio::time::{Instant, advance};
use tower::{Layer, Service};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

const LIMIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// Half-open: of three probes two must succeed.
async fn two_of_three() -> Circuit {
    let circuit = circuit(config().probes(n(3), n(2)).probe_limit(LIMIT));
    calls(&circuit, 4, FAILED);
    advance(OPEN_TIME).await;
    circuit
}

fn probe(circuit: &Circuit) -> Permit {
    circuit.try_admit().unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_overdue_probe_does_not_reopen_while_the_required_number_can_succeed() {
    let circuit = two_of_three().await;
    let hung = probe(&circuit);
    calls(&circuit, 1, Verdict::Success);
    advance(2 * LIMIT).await;
    assert!(call(&circuit, Verdict::Success), "the third place");
    assert_eq!(circuit.state(), State::Closed);
    hung.record(FAILED);
    assert_eq!((circuit.state(), circuit.snapshot().counts.total), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn an_overdue_probe_is_one_failed_probe_and_keeps_its_place() {
    let circuit = two_of_three().await;
    let hung = probe(&circuit);
    advance(LIMIT).await;
    assert_eq!(circuit.snapshot().probes_in_flight, 0, "what is under way is overdue");
    let others = [probe(&circuit), probe(&circuit)];
    assert!(circuit.try_admit().is_err(), "three were let in");
    drop(hung);
    assert!(circuit.try_admit().is_err(), "no place comes back from it");
    let [good, bad] = others;
    good.record(Verdict::Success);
    bad.record(FAILED);
    assert_eq!(circuit.state(), State::Open, "two of three can no longer succeed");
}

#[tokio::test(start_paused = true)]
async fn what_an_overdue_probe_says_late_counts_nowhere() {
    for late in [Verdict::Success, FAILED, Verdict::Ignored] {
        let circuit = two_of_three().await;
        let hung = probe(&circuit);
        calls(&circuit, 1, Verdict::Success);
        advance(LIMIT).await;
        // The first to look at the clock, too: it was overdue before it came back.
        hung.record(late);
        assert_eq!(circuit.state(), State::HalfOpen, "{late:?}");
        calls(&circuit, 1, Verdict::Success);
        assert_eq!(circuit.state(), State::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_after_the_round_was_lost_does_not_close() {
    let circuit = two_of_three().await;
    calls(&circuit, 1, Verdict::Success);
    let _hung = probe(&circuit);
    advance(SECOND).await;
    let good = probe(&circuit);
    advance(LIMIT).await;
    let mut transitions = circuit.subscribe();
    good.record(Verdict::Success);
    let last = transitions.changed().await;
    assert_eq!((last.to, last.cause), (State::Open, Cause::ProbesOverdue), "both are overdue");
}

/// The open time runs from when the round was lost, not from when a call finds it so.
#[tokio::test(start_paused = true)]
async fn a_round_that_was_lost_while_no_call_came_has_been_open_since() {
    let circuit = two_of_three().await;
    let _hung = [probe(&circuit), probe(&circuit)];
    advance(LIMIT + 4 * SECOND).await;
    circuit.try_admit().unwrap_err();
    assert_eq!(circuit.snapshot().open_for, Some(OPEN_TIME - 4 * SECOND));

    advance(OPEN_TIME - 4 * SECOND).await;
    let _hung = [probe(&circuit), probe(&circuit)];
    advance(LIMIT + OPEN_TIME).await;
    let mut transitions = circuit.subscribe();
    let before = circuit.snapshot();
    // It was lost, opened, and its open time is over: this call is the first of the next round.
    let next = probe(&circuit);
    let after = circuit.snapshot();
    assert_eq!((after.state, after.probes_in_flight), (State::HalfOpen, 1));
    assert_eq!(after.trips, before.trips + 1);
    let last = transitions.next().await.unwrap();
    assert_eq!((last.from, last.to), (State::Open, State::HalfOpen));
    assert_eq!(last.sequence, before.transitions + 2, "both are told");
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn a_balancers_service_is_woken_when_the_round_is_lost_and_not_before() {
    let circuit = circuit(config().probes(n(3), n(2)).probe_limit(LIMIT).on_open(OnOpen::NotReady));
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    advance(OPEN_TIME).await;
    let mut probes = Vec::new();
    for _ in 0..3 {
        probes.push(probe(&circuit));
        advance(SECOND).await;
    }
    let (began, mut polls) = (Instant::now(), 0);
    poll_fn(|cx| {
        polls += 1;
        Service::<u32>::poll_ready(&mut service, cx)
    })
    .await
    .unwrap();
    // The second is overdue 8 s from now: then the circuit opens, and is half-open 10 s later.
    // Four polls: the first, one at each timer, one that the transition wakes.
    assert_eq!((Instant::now() - began, polls), (8 * SECOND + OPEN_TIME, 4));
    assert_eq!(circuit.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_balancers_service_is_woken_when_a_place_is_given_back() {
    let circuit = circuit(config().probes(n(2), n(1)).probe_limit(LIMIT).on_open(OnOpen::NotReady));
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    advance(OPEN_TIME).await;
    let _hung = probe(&circuit);
    advance(LIMIT - SECOND).await;
    let other = probe(&circuit);
    let mut task = tokio_test::task::spawn(());
    task.enter(|cx, _| assert!(Service::<u32>::poll_ready(&mut service, cx).is_pending()));
    advance(SECOND).await;
    assert!(!task.is_woken(), "one is overdue, which frees no place");
    other.record(Verdict::Ignored);
    assert!(task.is_woken());
    task.enter(|cx, _| assert!(Service::<u32>::poll_ready(&mut service, cx).is_ready()));
}

/// A caller's deadline that cuts a probe short says nothing of the service, unless the probe had
/// been slow by then.
#[tokio::test(start_paused = true)]
async fn an_ignored_probe_gives_its_place_back_unless_it_was_slow() {
    let slow = Duration::from_millis(100);
    for (waited, state) in [(slow, State::HalfOpen), (2 * slow, State::Open)] {
        let circuit = circuit(config().slow_calls(slow, Ratio::HALF).probes(n(1), n(1)));
        calls(&circuit, 4, FAILED);
        advance(OPEN_TIME).await;
        let cut = probe(&circuit);
        advance(waited).await;
        cut.record(Verdict::Ignored);
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (state, 0));
    }
}
