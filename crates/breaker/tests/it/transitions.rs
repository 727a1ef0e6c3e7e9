//! What opens, what closes, and when.

use std::{num::NonZeroU32, time::Duration};

use futures::StreamExt;
use steadfast_breaker::{Cause, Circuit, CircuitConfig, CircuitOpen, OpenTime, State};
use steadfast_core::{Executed, Ratio, Refusal, Verdict};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

const THROTTLED: Verdict = Verdict::throttled();

#[tokio::test(start_paused = true)]
async fn opens_when_the_failure_ratio_is_reached() {
    let circuit = circuit(config());
    calls(&circuit, 5, Verdict::Success);
    calls(&circuit, 4, FAILED);
    assert_eq!(circuit.state(), State::Closed, "4 of 9");
    calls(&circuit, 1, FAILED);
    assert_eq!(circuit.state(), State::Open, "5 of 10 is half");
    assert!(!call(&circuit, Verdict::Success));
}

#[tokio::test(start_paused = true)]
async fn a_success_can_complete_the_minimum_and_trip() {
    for config in [config(), config().time_window(Duration::from_secs(10), 10)] {
        let circuit = circuit(config);
        calls(&circuit, 3, FAILED);
        assert_eq!(circuit.state(), State::Closed);
        calls(&circuit, 1, Verdict::Success);
        assert_eq!(circuit.state(), State::Open, "3 of 4, and the fourth was a success");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_can_trip_when_older_successes_have_aged_away() {
    let circuit = circuit(config().time_window(Duration::from_secs(10), 10));
    calls(&circuit, 6, Verdict::Success);
    tokio::time::advance(Duration::from_secs(5)).await;
    calls(&circuit, 4, FAILED);
    assert_eq!(circuit.state(), State::Closed, "4 of 10");
    tokio::time::advance(Duration::from_secs(6)).await;
    calls(&circuit, 1, Verdict::Success);
    assert_eq!(circuit.state(), State::Open, "4 of 5");
}

#[tokio::test(start_paused = true)]
async fn the_open_time_must_have_fully_passed() {
    let circuit = circuit(config());
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME - Duration::from_millis(1)).await;
    let refusal = circuit.try_admit().unwrap_err();
    assert_eq!(refusal.retry_after(), Some(Duration::from_millis(1)));
    assert_eq!(refusal.executed(), Executed::No);
    assert_eq!(circuit.state(), State::Open);
    tokio::time::advance(Duration::from_millis(1)).await;
    let probe = circuit.try_admit().unwrap();
    assert_eq!(circuit.state(), State::HalfOpen);
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn slow_is_strictly_longer_than_the_threshold() {
    let limit = Duration::from_millis(100);
    let circuit = circuit(config().failure_ratio(None).slow_calls(limit, Ratio::HALF));
    for _ in 0..4 {
        let permit = circuit.try_admit().unwrap();
        tokio::time::advance(limit).await;
        permit.record(Verdict::Success);
    }
    assert_eq!((circuit.state(), circuit.snapshot().counts.slow), (State::Closed, 0));
    for _ in 0..4 {
        let permit = circuit.try_admit().unwrap();
        tokio::time::advance(limit + Duration::from_millis(1)).await;
        permit.record(Verdict::Success);
    }
    assert_eq!(circuit.state(), State::Open, "4 slow of 8");
}

#[tokio::test(start_paused = true)]
async fn consecutive_failures_open_below_the_minimum_and_a_success_breaks_the_run() {
    for config in [config(), config().time_window(Duration::from_secs(10), 10)] {
        let circuit =
            circuit(config.minimum_calls(n(10)).consecutive_failures(NonZeroU32::new(3).unwrap()));
        for _ in 0..2 {
            calls(&circuit, 2, FAILED);
            assert_eq!(circuit.snapshot().consecutive_failures, 2);
            calls(&circuit, 1, Verdict::Success);
            assert_eq!(circuit.snapshot().consecutive_failures, 0);
        }
        calls(&circuit, 3, FAILED);
        assert_eq!(circuit.state(), State::Open);
    }
}

/// Ten failures, each `gap` after the one before; how many of them were let in.
async fn fails_ten_times(circuit: &Circuit, gap: Duration) -> usize {
    let mut failed = 0;
    for n in 0..10 {
        tokio::time::advance(if n == 0 { Duration::ZERO } else { gap }).await;
        failed += usize::from(call(circuit, FAILED));
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn by_default_ten_failures_in_a_row_open_if_they_span_half_a_second() {
    for config in [
        CircuitConfig::new(),
        CircuitConfig::new().time_window(Duration::from_secs(10), 10),
        CircuitConfig::new().failure_ratio(None),
    ] {
        let quick = circuit(config.clone());
        calls(&quick, 100, Verdict::Success);
        assert_eq!(fails_ten_times(&quick, Duration::from_millis(55)).await, 10);
        assert_eq!(quick.state(), State::Closed, "ten, but in 495 ms");
        assert!(call(&quick, FAILED), "at 495 ms");
        tokio::time::advance(Duration::from_millis(5)).await;
        let mut transitions = quick.subscribe();
        assert!(call(&quick, FAILED), "the twelfth, at 500 ms");
        assert_eq!(transitions.changed().await.cause, Cause::ConsecutiveFailures);

        let slow = circuit(config.clone());
        calls(&slow, 100, Verdict::Success);
        fails_ten_times(&slow, Duration::from_millis(56)).await;
        assert_eq!(slow.state(), State::Open, "ten in 504 ms");

        let broken = circuit(config.clone());
        calls(&broken, 100, Verdict::Success);
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            calls(&broken, 9, FAILED);
            calls(&broken, 1, Verdict::Success);
        }
        assert_eq!(broken.state(), State::Closed, "nine, a success, nine …");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_ones_own_has_no_span_unless_set_and_none_switches_the_rule_off() {
    let half = Duration::from_millis(500);
    let opens = async |config: CircuitConfig| {
        let circuit = circuit(config.failure_ratio(Ratio::ONE));
        calls(&circuit, 100, Verdict::Success);
        fails_ten_times(&circuit, half).await;
        let consecutive_failures = circuit.snapshot().consecutive_failures;
        (circuit.state() == State::Open).then_some(()).ok_or(consecutive_failures)
    };
    let base = CircuitConfig::new;
    assert_eq!(opens(base()).await, Ok(()));
    assert_eq!(opens(base().consecutive_failures(n(10))).await, Ok(()));
    assert_eq!(opens(base().consecutive_failures(n(11))).await, Err(10));
    let five = Duration::from_secs(5);
    assert_eq!(opens(base().consecutive_span(five)).await, Err(10), "the default's, with 4.5 s");
    // In whatever order they are set.
    assert_eq!(opens(base().consecutive_span(five).consecutive_failures(n(3))).await, Err(10));
    assert_eq!(opens(base().consecutive_failures(n(3)).consecutive_span(five)).await, Err(10));
    assert_eq!(opens(base().consecutive_failures(None)).await, Err(0));

    let at_once = circuit(base().consecutive_failures(n(3)));
    calls(&at_once, 3, FAILED);
    assert_eq!(at_once.state(), State::Open, "no span");
}

#[tokio::test(start_paused = true)]
async fn half_open_decides_as_early_as_the_result_is_certain() {
    let two_of_three = || circuit(config().probes(n(3), n(2)));
    let circuit = two_of_three();
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    calls(&circuit, 1, Verdict::Success);
    calls(&circuit, 1, FAILED);
    assert_eq!(circuit.state(), State::HalfOpen, "one each");
    calls(&circuit, 1, Verdict::Success);
    assert_eq!(circuit.state(), State::Closed);

    let circuit = two_of_three();
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    calls(&circuit, 2, FAILED);
    assert_eq!(circuit.state(), State::Open, "two of three can no longer succeed");
}

#[tokio::test(start_paused = true)]
async fn half_open_is_bounded_in_time_by_default() {
    let circuit = circuit(CircuitConfig::new().open_time(OpenTime::constant(OPEN_TIME).unwrap()));
    calls(&circuit, 20, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let hung: Vec<_> = (0..3).map(|_| circuit.try_admit().unwrap()).collect();
    assert_eq!(
        circuit.try_admit().unwrap_err().retry_after(),
        None,
        "a probe has no time to come back"
    );
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(circuit.try_admit().is_err());
    assert_eq!(circuit.state(), State::Open, "probes that hang have failed");
    tokio::time::advance(OPEN_TIME).await;
    calls(&circuit, 2, Verdict::Success);
    assert_eq!(circuit.state(), State::Closed);
    drop(hung);
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_without_calls_waits_for_ever() {
    let circuit = circuit(config());
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    calls(&circuit, 1, Verdict::Success);
    tokio::time::advance(Duration::from_secs(365 * 24 * 3600)).await;
    calls(&circuit, 1, Verdict::Success);
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn whether_throttling_fails_a_probe_is_policy() {
    for (fails, state) in [(false, State::Closed), (true, State::Open)] {
        let circuit = circuit(config().throttled_fails_probe(fails));
        calls(&circuit, 4, THROTTLED);
        assert_eq!(circuit.state(), State::Open, "it counts against the ratio either way");
        tokio::time::advance(OPEN_TIME).await;
        calls(&circuit, 2, THROTTLED);
        assert_eq!(circuit.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_says_that_the_service_is_healthy() {
    let circuit = circuit(config());
    calls(&circuit, 100, Verdict::Permanent);
    assert_eq!((circuit.state(), circuit.snapshot().counts.failures), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_passes_is_a_success_in_the_window_and_a_good_probe() {
    let conflict = Verdict::Repeatable { executed: Executed::Maybe, retry_after: Some(OPEN_TIME) };
    let circuit = circuit(config());
    calls(&circuit, 100, conflict);
    assert_eq!((circuit.state(), circuit.snapshot().counts.failures), (State::Closed, 0));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    calls(&circuit, 2, conflict);
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn ignored_outcomes_are_not_counted_and_release_the_probe() {
    let circuit = circuit(config());
    calls(&circuit, 100, Verdict::Ignored);
    assert_eq!(circuit.snapshot().counts.total, 0);
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    calls(&circuit, 100, Verdict::Ignored);
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 0));
    calls(&circuit, 2, Verdict::Success);
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_open_time_grows_with_each_trip_and_starts_over_on_close() {
    let seconds = Duration::from_secs;
    let open_time = OpenTime::exponential(seconds(1), seconds(8)).unwrap().without_jitter();
    let circuit = circuit(config().open_time(open_time).probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    for expected in [1, 2, 4, 8, 8] {
        assert_eq!(circuit.snapshot().open_for, Some(seconds(expected)));
        tokio::time::advance(seconds(expected)).await;
        calls(&circuit, 1, FAILED);
    }
    tokio::time::advance(seconds(8)).await;
    calls(&circuit, 1, Verdict::Success);
    assert_eq!(circuit.snapshot().trips, 0);
    calls(&circuit, 4, FAILED);
    assert_eq!(circuit.snapshot().open_for, Some(seconds(1)));
}

#[tokio::test(start_paused = true)]
async fn commands_are_obeyed_and_self_transitions_are_silent() {
    let circuit = circuit(config());
    let mut transitions = circuit.subscribe();
    circuit.reset();
    circuit.force_open();
    circuit.force_open();
    assert_eq!(circuit.try_admit().unwrap_err(), CircuitOpen::until_changed());
    let first = transitions.changed().await;
    assert_eq!(
        (first.from, first.to, first.cause),
        (State::Closed, State::ForcedOpen, Cause::Commanded)
    );
    assert_eq!(first.sequence, 1, "closing a closed circuit and forcing a forced one are silent");
    circuit.disable();
    calls(&circuit, 100, FAILED);
    assert_eq!((circuit.state(), circuit.snapshot().counts.total), (State::Disabled, 0));
    circuit.reset();
    calls(&circuit, 4, FAILED);
    assert_eq!(circuit.state(), State::Open);
    let last = transitions.next().await.unwrap();
    assert_eq!(
        (last.to, last.cause, last.sequence),
        (State::Open, Cause::FailureRatio, 4),
        "two were missed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_refuses_no_call_and_changes_state_all_the_same() {
    let circuit = circuit(config());
    circuit.dry_run();
    calls(&circuit, 4, FAILED);
    assert_eq!((circuit.state(), circuit.snapshot().dry_run), (State::Open, true));
    calls(&circuit, 50, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let probes: Vec<_> = (0..50).map(|_| circuit.try_admit().unwrap()).collect();
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 3));
    probes.into_iter().for_each(|probe| probe.record(Verdict::Success));
    assert_eq!((circuit.state(), circuit.snapshot().dry_run), (State::Closed, true));
    circuit.reset();
    assert!(!circuit.snapshot().dry_run);
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_woken_and_see_the_latest() {
    let circuit = circuit(config());
    let mut transitions = circuit.subscribe();
    let mut waiting = tokio_test::task::spawn(transitions.changed());
    assert!(waiting.poll().is_pending());
    calls(&circuit, 3, FAILED);
    assert!(!waiting.is_woken(), "nothing has changed yet");
    calls(&circuit, 1, FAILED);
    assert!(waiting.is_woken());
    assert!(waiting.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn run_works_without_tower_and_does_not_poll_when_open() {
    let circuit = circuit(config());
    for _ in 0..4 {
        let outcome: Result<(), tower::BoxError> =
            circuit.run(async { Err("broken".into()) }).await;
        assert_eq!(outcome.unwrap_err().to_string(), "broken");
    }
    let outcome: Result<(), tower::BoxError> =
        circuit.run(async { unreachable!("the circuit is open") }).await;
    assert!(outcome.unwrap_err().is::<CircuitOpen>());
}

#[test]
fn bad_configuration_is_refused_by_field_and_value() {
    let refused = |config: CircuitConfig| {
        let error = Circuit::new(config).unwrap_err();
        (error.field, error.value)
    };
    let base = CircuitConfig::new;
    assert_eq!(refused(base().count_window(n(1_000_001))), ("count_window", "1000001".into()));
    assert_eq!(
        refused(base().minimum_calls(n(101))),
        ("minimum_calls", "101".into()),
        "never to be reached"
    );
    assert_eq!(
        refused(base().failure_ratio(None).consecutive_failures(None)),
        ("failure_ratio", "None".into()),
        "nothing could open it"
    );
    let span = |span| base().consecutive_span(span);
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(refused(span(2 * day)), ("consecutive_span", "172800s".into()));
    assert_eq!(
        refused(span(Duration::ZERO).consecutive_failures(None)),
        ("consecutive_span", "0ns".into()),
        "of no rule"
    );
    assert_eq!(
        refused(base().consecutive_failures(n(1_000_001))),
        ("consecutive_failures", "1000001".into())
    );
    assert_eq!(refused(base().probes(n(2), n(3))), ("probes", "(2, 3)".into()));
    assert_eq!(refused(base().probe_limit(Duration::ZERO)), ("probe_limit", "0ns".into()));
    assert_eq!(refused(base().time_window(Duration::ZERO, 10)), ("time_window", "0ns".into()));
    assert_eq!(refused(base().time_window(Duration::from_secs(1), 0)), ("time_window", "0".into()));
}
