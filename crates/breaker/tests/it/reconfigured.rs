//! Rules that change while calls go through.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use steadfast_breaker::{BreakerLayer, Cause, Circuit, CircuitConfig, OnOpen, OpenTime, State};
use steadfast_core::{ConfigError, Counts, Ratio, TimeSource, Verdict};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task::spawn};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

const SECOND: Duration = Duration::from_secs(1);

fn constant(time: Duration) -> OpenTime {
    OpenTime::constant(time).unwrap()
}

/// Ten seconds in as many buckets.
fn timed() -> CircuitConfig {
    config().time_window(10 * SECOND, 10)
}

fn total(total: u64, failures: u64) -> Counts {
    Counts { total, failures, slow: 0 }
}

type Change = fn(CircuitConfig) -> CircuitConfig;

/// What is refused, and what cannot work: nothing of either is taken over.
#[tokio::test(start_paused = true)]
async fn a_configuration_is_taken_over_as_a_whole_or_not_at_all() {
    let changes: [(Change, &str); 12] = [
        (|config| config.time_window(10 * SECOND, 10), "time_window"),
        (|config| config.named("another"), "named"),
        (|config| config.on_open(OnOpen::NotReady), "on_open"),
        (|config| config.time_source(TimeSource::Coarse), "time_source"),
        (|config| config.seed(8), "seed"),
        (|config| config.count_window(n(3)), "minimum_calls"),
        (|config| config.count_window(n(1_000_001)), "count_window"),
        (|config| config.probe_limit(Duration::ZERO), "probe_limit"),
        (|config| config.probes(n(1), n(2)), "probes"),
        (|config| config.slow_calls(Duration::ZERO, Ratio::HALF), "slow_calls"),
        (|config| config.consecutive_span(Duration::MAX), "consecutive_span"),
        (|config| config.failure_ratio(None).consecutive_failures(None), "failure_ratio"),
    ];
    for (change, field) in changes {
        let circuit = circuit(config().seed(7));
        let before = format!("{:?}", circuit.config());
        // Everything else would be a change that can be made.
        let wanted = circuit.config().open_time(constant(SECOND)).failure_ratio(Ratio::ONE);
        let error: ConfigError = circuit.reconfigure(change(wanted)).unwrap_err();
        assert_eq!(error.field, field);
        assert_eq!(format!("{:?}", circuit.config()), before, "{field}");
        calls(&circuit, 2, Verdict::Success);
        calls(&circuit, 2, FAILED);
        let snapshot = circuit.snapshot();
        assert_eq!((snapshot.state, snapshot.open_for), (State::Open, Some(OPEN_TIME)), "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_window_keeps_its_length_and_buckets() {
    let circuit = circuit(timed());
    for window in [(11 * SECOND, 10), (10 * SECOND, 5)] {
        let other = circuit.config().time_window(window.0, window.1);
        let error = circuit.reconfigure(other).unwrap_err();
        assert_eq!((error.field, error.value), ("time_window", format!("{window:?}")));
    }
    let error = circuit.reconfigure(circuit.config().count_window(n(20))).unwrap_err();
    assert_eq!((error.field, error.value.as_str()), ("count_window", "20"));
    circuit.reconfigure(circuit.config().time_window(10 * SECOND, 10)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_stays_and_a_call_under_way_still_speaks() {
    for config in [config(), timed()] {
        let circuit = circuit(config);
        calls(&circuit, 2, Verdict::Success);
        calls(&circuit, 1, FAILED);
        let under_way = circuit.try_admit().unwrap();
        let before = circuit.snapshot();
        circuit.reconfigure(circuit.config().minimum_calls(n(5))).unwrap();
        assert_eq!(circuit.snapshot(), before);
        under_way.record(FAILED);
        assert_eq!(circuit.snapshot().counts, total(4, 2), "below the new minimum");
        calls(&circuit, 1, FAILED);
        assert_eq!(circuit.state(), State::Open);
    }
}

/// Not at once: and were it left to the next failure, a service that fails a little could go on for
/// long under a rule that it has broken.
#[tokio::test(start_paused = true)]
async fn a_rule_that_is_met_already_opens_at_the_next_outcome_even_a_success() {
    for config in [config(), timed()] {
        let circuit = circuit(config.failure_ratio(Ratio::ONE));
        calls(&circuit, 6, Verdict::Success);
        calls(&circuit, 3, FAILED);
        circuit.reconfigure(circuit.config().failure_ratio(Ratio::percent(20))).unwrap();
        assert_eq!(circuit.state(), State::Closed);
        calls(&circuit, 1, Verdict::Success);
        let snapshot = circuit.snapshot();
        assert_eq!((snapshot.state, snapshot.last_cause), (State::Open, Some(Cause::FailureRatio)));
        assert_eq!(snapshot.counts_at_trip, Some(total(10, 3)));
    }
}

/// The minimum is completed by a success: the word told it nothing of that before.
#[tokio::test(start_paused = true)]
async fn a_lower_minimum_is_completed_by_a_success() {
    for config in [config().minimum_calls(n(10)), timed().minimum_calls(n(10))] {
        let circuit = circuit(config);
        calls(&circuit, 3, FAILED);
        circuit.reconfigure(circuit.config().minimum_calls(n(5))).unwrap();
        calls(&circuit, 1, Verdict::Success);
        assert_eq!(circuit.state(), State::Closed, "four calls");
        calls(&circuit, 1, Verdict::Success);
        assert_eq!(circuit.state(), State::Open, "three of five have failed");
    }
}

/// Fifty outcomes were forgotten: they must not come back as successes.
#[tokio::test(start_paused = true)]
async fn a_window_that_grows_does_not_remember_what_it_had_forgotten() {
    let circuit = circuit(config().failure_ratio(Ratio::ONE).consecutive_failures(None));
    calls(&circuit, 50, Verdict::Success);
    calls(&circuit, 5, FAILED);
    assert_eq!(circuit.snapshot().counts, total(10, 5));
    circuit.reconfigure(circuit.config().count_window(n(40))).unwrap();
    assert_eq!(circuit.snapshot().counts, total(10, 5));
    calls(&circuit, 10, Verdict::Success);
    assert_eq!(circuit.snapshot().counts, total(20, 5));
    circuit.reconfigure(circuit.config().count_window(n(12))).unwrap();
    assert_eq!(circuit.snapshot().counts, total(12, 2), "the latest ten and two failures");
}

#[tokio::test(start_paused = true)]
async fn a_row_of_failures_goes_on_and_begins_anew_after_the_rule_was_off() {
    for config in [config(), timed()] {
        let circuit = circuit(config.failure_ratio(Ratio::ONE).consecutive_failures(n(9)));
        calls(&circuit, 1, Verdict::Success);
        calls(&circuit, 3, FAILED);
        circuit.reconfigure(circuit.config().consecutive_failures(n(5))).unwrap();
        assert_eq!(circuit.snapshot().consecutive_failures, 3);
        circuit.reconfigure(circuit.config().consecutive_failures(None)).unwrap();
        calls(&circuit, 1, Verdict::Success);
        circuit.reconfigure(circuit.config().consecutive_failures(n(5))).unwrap();
        calls(&circuit, 4, FAILED);
        assert_eq!((circuit.state(), circuit.snapshot().consecutive_failures), (State::Closed, 4));
        calls(&circuit, 1, FAILED);
        assert_eq!(circuit.state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_keeps_the_time_that_it_told_and_draws_the_next_from_the_new_ones() {
    let circuit = circuit(config().probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    advance(SECOND).await;
    let before = circuit.snapshot();
    circuit.reconfigure(circuit.config().open_time(constant(60 * SECOND))).unwrap();
    assert_eq!(circuit.snapshot(), before);
    assert_eq!(circuit.try_admit().unwrap_err().retry_after(), Some(OPEN_TIME - SECOND));
    advance(OPEN_TIME - SECOND).await;
    calls(&circuit, 1, FAILED);
    let snapshot = circuit.snapshot();
    assert_eq!((snapshot.trips, snapshot.open_for), (2, Some(60 * SECOND)));
}

async fn half_open(config: CircuitConfig) -> Circuit {
    let circuit = circuit(config);
    calls(&circuit, 4, FAILED);
    advance(OPEN_TIME).await;
    circuit
}

#[tokio::test(start_paused = true)]
async fn probes_under_way_stay_and_decide_by_the_new_numbers() {
    let circuit = half_open(config().probes(n(2), n(2))).await;
    let probes = [circuit.try_admit().unwrap(), circuit.try_admit().unwrap()];
    circuit.reconfigure(circuit.config().probes(n(3), n(1))).unwrap();
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 2));
    let third = circuit.try_admit().unwrap();
    assert!(circuit.try_admit().is_err(), "three places");
    let [first, second] = probes;
    first.record(FAILED);
    assert_eq!(circuit.state(), State::HalfOpen, "two of three may fail");
    second.record(Verdict::Success);
    assert_eq!(circuit.state(), State::Closed);
    third.record(FAILED);
    assert_eq!(circuit.snapshot().counts, Counts::default(), "a straggler");
}

/// Every place is taken, each probe is back, and by the old numbers nothing was decided: without a
/// look at the new ones the circuit would refuse for ever.
#[tokio::test(start_paused = true)]
async fn a_round_that_the_new_numbers_have_decided_ends_at_the_next_call() {
    for (verdicts, numbers, state) in [
        ([Verdict::Success, Verdict::Success, FAILED], (3, 2), State::Closed),
        ([Verdict::Success, FAILED, FAILED], (3, 2), State::Open),
        ([Verdict::Success, Verdict::Success, FAILED], (3, 3), State::Open),
    ] {
        let circuit = half_open(config().probes(n(6), n(3))).await;
        for verdict in verdicts {
            calls(&circuit, 1, verdict);
        }
        circuit.reconfigure(circuit.config().probes(n(numbers.0), n(numbers.1))).unwrap();
        assert_eq!(circuit.state(), State::HalfOpen, "not at once");
        assert_eq!(call(&circuit, Verdict::Success), state == State::Closed);
        assert_eq!(circuit.state(), state, "{verdicts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_given_up_by_the_new_limit_though_the_numbers_have_changed() {
    let circuit = half_open(config().probes(n(5), n(3)).probe_limit(60 * SECOND)).await;
    calls(&circuit, 1, FAILED);
    let hung = [circuit.try_admit().unwrap(), circuit.try_admit().unwrap()];
    circuit.reconfigure(circuit.config().probes(n(3), n(2)).probe_limit(2 * SECOND)).unwrap();
    advance(SECOND).await;
    assert!(!call(&circuit, Verdict::Success), "no place");
    advance(SECOND).await;
    assert!(!call(&circuit, Verdict::Success));
    let snapshot = circuit.snapshot();
    assert_eq!((snapshot.state, snapshot.last_cause), (State::Open, Some(Cause::ProbesOverdue)));
    drop(hung);
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_waits_for_a_place_hears_of_more_of_them() {
    let circuit = half_open(config().on_open(OnOpen::NotReady).probes(n(1), n(1))).await;
    let probe = circuit.try_admit().unwrap();
    let mut service =
        BreakerLayer::new(circuit.clone()).layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    let mut ready = spawn(std::future::poll_fn(|cx| service.poll_ready(cx)));
    assert_pending!(ready.poll());
    circuit.reconfigure(circuit.config().probes(n(2), n(1))).unwrap();
    assert!(ready.is_woken());
    assert_ready_ok!(ready.poll());
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn calls_that_began_without_a_slow_limit_are_never_slow() {
    for config in [config(), timed()] {
        let circuit = circuit(config);
        let without = circuit.config();
        let before = circuit.try_admit().unwrap();
        circuit.reconfigure(circuit.config().slow_calls(SECOND, Ratio::HALF)).unwrap();
        let after = circuit.try_admit().unwrap();
        advance(10 * Duration::from_millis(150)).await;
        before.record(Verdict::Success);
        after.record(Verdict::Success);
        assert_eq!(circuit.snapshot().counts, Counts { total: 2, failures: 0, slow: 1 });
        // And those that are under way when the rule is switched off, or its limit raised.
        let under_way = [circuit.try_admit().unwrap(), circuit.try_admit().unwrap()];
        advance(2 * SECOND).await;
        let [first, second] = under_way;
        circuit.reconfigure(circuit.config().slow_calls(5 * SECOND, Ratio::HALF)).unwrap();
        first.record(Verdict::Success);
        circuit.reconfigure(without).unwrap();
        second.record(Verdict::Success);
        assert_eq!(circuit.snapshot().counts, Counts { total: 4, failures: 0, slow: 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_after_the_change_counts_by_the_new_rules() {
    let circuit = circuit(config().minimum_calls(n(10)));
    let service = BreakerLayer::new(circuit.clone())
        .layer(service_fn(|()| async { panic!("on purpose") as Result<(), BoxError> }));
    let call = service.oneshot(());
    circuit.reconfigure(circuit.config().minimum_calls(n(1))).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        spawn(call).poll().is_ready();
    }));
    assert!(panicked.is_err());
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn clones_layers_and_services_have_the_new_rules() {
    let circuit = circuit(config());
    let (clone, layer) = (circuit.clone(), BreakerLayer::new(circuit.clone()));
    let service = layer.layer(service_fn(|()| async { Err::<(), BoxError>("down".into()) }));
    clone.reconfigure(clone.config().minimum_calls(n(1))).unwrap();
    service.oneshot(()).await.unwrap_err();
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn circuits_of_held_keys_and_of_later_ones_are_changed() {
    let key = |request: &u32| *request;
    let circuits = Circuit::per_key(config().seed(1), NonZeroUsize::new(8).unwrap(), key).unwrap();
    let held = circuits.handle(&1);
    calls(&held, 2, Verdict::Success);
    let wanted = circuits.config().unwrap().minimum_calls(n(1));
    let refused = circuits.reconfigure(wanted.clone().on_open(OnOpen::NotReady)).unwrap_err();
    assert_eq!(refused.field, "on_open");
    calls(&circuits.handle(&2), 1, FAILED);
    assert_eq!(circuits.handle(&2).state(), State::Closed, "nothing has changed");
    circuits.reconfigure(wanted).unwrap();
    assert_eq!(held.snapshot().counts, total(2, 0));
    for (key, failures) in [(1, 2), (3, 1)] {
        calls(&circuits.handle(&key), failures, FAILED);
        assert_eq!(circuits.handle(&key).state(), State::Open, "{key}");
    }
}

/// The last call of each round is alone, and each of the others has ended: nothing is lost, counted
/// twice or invented, whatever size the window had in between.
#[test]
fn every_call_of_four_threads_is_counted_while_the_rules_change() {
    const CALLS: u64 = 5_000;
    for timed in [false, true] {
        let rules = CircuitConfig::new().failure_ratio(Ratio::ONE).consecutive_failures(None);
        let rules = if timed { rules.time_window(3600 * SECOND, 10) } else { rules };
        let sized = |config: CircuitConfig, size: u32| {
            if timed { config } else { config.count_window(n(size)) }
        };
        let circuit = circuit(sized(rules, 1_000_000));
        calls(&circuit, 1, Verdict::Success);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for call in 0..CALLS {
                            calls(
                                &circuit,
                                1,
                                if call % 50 == 0 { FAILED } else { Verdict::Success },
                            );
                        }
                    })
                })
                .collect();
            let (circuit, done) = (&circuit, &done);
            scope.spawn(move || {
                for round in 0u32.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let config = sized(circuit.config(), 500_000 + round % 7 * 1000);
                    let slow = Duration::from_secs(3600 + u64::from(round % 2));
                    circuit
                        .reconfigure(
                            config
                                .minimum_calls(n(1 + round % 50_000))
                                .slow_calls(slow, Ratio::ONE),
                        )
                        .unwrap();
                }
            });
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(circuit.snapshot().counts, total(1 + 4 * CALLS, 4 * CALLS / 50));
    }
}

/// Neither rule alone is met by half of the calls failing, and no mixture of the two may be.
#[test]
fn no_outcome_is_judged_by_half_of_one_configuration_and_half_of_another() {
    let strict =
        |config: CircuitConfig| config.failure_ratio(Ratio::percent(10)).minimum_calls(n(900));
    let early = |config: CircuitConfig| config.failure_ratio(Ratio::ONE).minimum_calls(n(2));
    let base = CircuitConfig::new().count_window(n(1000)).consecutive_failures(None);
    let circuit = circuit(early(base));
    let done = AtomicBool::new(false);
    calls(&circuit, 1, Verdict::Success);
    thread::scope(|scope| {
        let (circuit, done) = (&circuit, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                circuit.reconfigure(strict(circuit.config())).unwrap();
                circuit.reconfigure(early(circuit.config())).unwrap();
            }
        });
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        calls(circuit, 1, FAILED);
                        calls(circuit, 1, Verdict::Success);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((circuit.state(), circuit.snapshot().counts), (State::Closed, total(801, 400)));
}
