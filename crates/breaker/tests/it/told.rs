//! How long a circuit stays open that was told when to come back.

use std::time::Duration;

use steadfast_breaker::{Circuit, CircuitConfig, OpenTime, State};
use steadfast_core::{Executed, Pushback, Verdict};
use tokio::time::advance;

use crate::{FAILED, call, calls, circuit, config, n};

const SECOND: Duration = Duration::from_secs(1);

fn told(pushback: impl Into<Pushback>) -> Verdict {
    Verdict::Transient { executed: Executed::Maybe, pushback: pushback.into() }
}

fn after(seconds: u64) -> Verdict {
    told(Some(Duration::from_secs(seconds)))
}

/// Five seconds, then ten; at most a minute. One probe decides.
fn growing() -> CircuitConfig {
    let open_time = OpenTime::exponential(5 * SECOND, 60 * SECOND).unwrap().without_jitter();
    config().open_time(open_time).probes(n(1), n(1))
}

/// For how long it is open.
fn left(circuit: &Circuit) -> Duration {
    let snapshot = circuit.snapshot();
    assert_eq!(snapshot.state, State::Open);
    let left = snapshot.open_for.unwrap();
    assert_eq!(circuit.try_admit().unwrap_err().retry_after(), Some(left));
    left
}

#[tokio::test(start_paused = true)]
async fn it_stays_open_for_as_long_as_the_latest_failure_says_and_no_less_than_its_own_time() {
    let throttled =
        Verdict::Throttled { executed: Executed::No, pushback: Pushback::After(30 * SECOND) };
    for (failures, seconds) in [
        ([FAILED, FAILED, FAILED, after(30)], 30),
        // What says nothing of it takes nothing back.
        ([after(30), FAILED, FAILED, told(Pushback::Never)], 30),
        ([after(50), FAILED, after(30), FAILED], 30),
        ([after(30), FAILED, FAILED, after(0)], 5),
        ([after(3), FAILED, FAILED, FAILED], 5),
        ([FAILED, throttled, FAILED, FAILED], 30),
        ([FAILED, FAILED, FAILED, told(Pushback::Never)], 5),
    ] {
        for config in [growing(), growing().time_window(10 * SECOND, 10)] {
            let circuit = circuit(config);
            failures.into_iter().for_each(|verdict| calls(&circuit, 1, verdict));
            assert_eq!(left(&circuit), seconds * SECOND, "{failures:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_told_a_while_ago_counts_from_then() {
    let circuit = circuit(growing());
    calls(&circuit, 1, after(30));
    advance(10 * SECOND).await;
    calls(&circuit, 3, FAILED);
    assert_eq!(left(&circuit), 20 * SECOND);
}

/// 99,999,999 seconds are three years.
#[tokio::test(start_paused = true)]
async fn a_hostile_service_keeps_it_open_for_the_longest_time_at_most() {
    for seconds in [61, 99_999_999, u64::MAX] {
        let circuit = circuit(growing());
        calls(&circuit, 4, after(seconds));
        assert_eq!(left(&circuit), 60 * SECOND);
    }
    let circuit = circuit(config().open_time(OpenTime::constant(5 * SECOND).unwrap()));
    calls(&circuit, 4, after(30));
    assert_eq!(left(&circuit), 5 * SECOND, "a constant time is the longest");
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_told_too_and_the_backoff_grows_as_without() {
    let circuit = circuit(growing());
    calls(&circuit, 4, FAILED);
    advance(5 * SECOND).await;
    calls(&circuit, 1, after(45));
    assert_eq!(left(&circuit), 45 * SECOND);
    advance(45 * SECOND).await;
    calls(&circuit, 1, FAILED);
    assert_eq!((left(&circuit), circuit.snapshot().trips), (20 * SECOND, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_told_in_an_earlier_epoch_is_not_used() {
    // Told in the closed state, then closed afresh.
    let circuit = circuit(growing());
    calls(&circuit, 1, after(50));
    circuit.reset();
    calls(&circuit, 4, FAILED);
    assert_eq!(left(&circuit), 5 * SECOND);
    // A straggler that comes back, and is told, when its epoch is over.
    circuit.reset();
    let straggler = circuit.try_admit().unwrap();
    circuit.reset();
    straggler.record(after(50));
    calls(&circuit, 4, FAILED);
    assert_eq!(left(&circuit), 5 * SECOND);
    // Told before it opened, and a probe fails that is told nothing.
    circuit.reset();
    calls(&circuit, 4, after(50));
    assert_eq!(left(&circuit), 50 * SECOND);
    advance(50 * SECOND).await;
    calls(&circuit, 1, FAILED);
    assert_eq!(left(&circuit), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_passes_and_other_answers_that_are_no_failures_say_nothing_of_it() {
    let circuit = circuit(growing());
    let retry_after = Some(50 * SECOND);
    calls(&circuit, 1, Verdict::Repeatable { executed: Executed::Maybe, retry_after });
    calls(&circuit, 3, FAILED);
    assert_eq!(left(&circuit), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn opened_by_hand_it_stays_open_as_long_as_the_hand_says() {
    let circuit = circuit(growing());
    calls(&circuit, 1, after(50));
    circuit.force_open_for(7 * SECOND);
    assert_eq!(left(&circuit), 7 * SECOND);
    advance(7 * SECOND).await;
    assert!(call(&circuit, Verdict::Success));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_rules_keeps_what_was_told_and_gives_it_another_bound() {
    let circuit = circuit(growing());
    calls(&circuit, 1, after(50));
    let shorter = OpenTime::exponential(5 * SECOND, 40 * SECOND).unwrap().without_jitter();
    circuit.reconfigure(circuit.config().open_time(shorter)).unwrap();
    calls(&circuit, 3, FAILED);
    assert_eq!(left(&circuit), 40 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_bad_end_is_heard_and_one_beyond_the_horizon_is_not() {
    for late in [false, true] {
        let circuit = circuit(growing().horizon(SECOND));
        let permits: Vec<_> = (0..4).map(|_| circuit.try_admit().unwrap()).collect();
        let answered = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
        if late {
            advance(SECOND).await;
        }
        answered.record(after(30));
        for permit in permits {
            permit.record(FAILED);
        }
        assert_eq!(circuit.state(), State::Open);
        assert_eq!(left(&circuit) == 30 * SECOND, !late, "{:?}", left(&circuit));
    }
}
