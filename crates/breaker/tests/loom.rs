//! Every interleaving of two threads at the edges of the circuit.
//!
//! Not here: a success under a time window against the failure that completes its minimum. That
//! store buffering rests on the single total order of sequentially consistent operations, which
//! loom does not model; real threads race for it in `it::traps`.
//!
//! Run with `RUSTFLAGS="--cfg steadfast_loom" cargo test --release --test loom`.

#![cfg(steadfast_loom)]
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::{num::NonZeroU32, time::Duration};

use loom::thread;
use steadfast_breaker::{Circuit, CircuitConfig, OpenTime, State};
use steadfast_core::{Executed, Ratio, Verdict};

const FAILED: Verdict = Verdict::transient(Executed::Maybe);

const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn circuit(config: CircuitConfig) -> Circuit {
    let hour = OpenTime::constant(Duration::from_secs(3600)).unwrap();
    Circuit::new(config.open_time(hour)).unwrap()
}

fn call(circuit: &Circuit, verdict: Verdict) {
    if let Ok(permit) = circuit.try_admit() {
        permit.record(verdict);
    }
}

/// A success that counts down while a failure is being taken in is neither lost nor counted twice.
#[test]
fn successes_and_failures_are_all_counted() {
    loom::model(|| {
        let circuit = circuit(
            CircuitConfig::new().count_window(n(8)).minimum_calls(n(8)).failure_ratio(Ratio::ONE),
        );
        let other = circuit.clone();
        let thread = thread::spawn(move || {
            call(&other, Verdict::Success);
            call(&other, Verdict::Success);
        });
        call(&circuit, FAILED);
        call(&circuit, Verdict::Success);
        thread.join().unwrap();
        let counts = circuit.snapshot().counts;
        assert_eq!((counts.total, counts.failures), (4, 1));
    });
}

/// The outcome that comes last completes the minimum: the circuit cannot stay closed because each
/// thought that the other would judge.
#[test]
fn the_outcome_that_completes_the_minimum_is_judged() {
    loom::model(|| {
        let circuit = circuit(
            CircuitConfig::new()
                .count_window(n(4))
                .minimum_calls(n(3))
                .failure_ratio(Ratio::percent(33)),
        );
        let other = circuit.clone();
        let thread = thread::spawn(move || call(&other, FAILED));
        call(&circuit, Verdict::Success);
        call(&circuit, Verdict::Success);
        thread.join().unwrap();
        assert_eq!(circuit.state(), State::Open);
    });
}

/// Two failures at once open the circuit once, and both are counted before it does.
#[test]
fn two_failures_at_the_edge_open_once() {
    loom::model(|| {
        let circuit = circuit(CircuitConfig::new().count_window(n(4)).minimum_calls(n(2)));
        let other = circuit.clone();
        let thread = thread::spawn(move || call(&other, FAILED));
        call(&circuit, FAILED);
        thread.join().unwrap();
        let snapshot = circuit.snapshot();
        assert_eq!((snapshot.state, snapshot.trips, snapshot.transitions), (State::Open, 1, 1));
    });
}

/// A straggler of an earlier epoch leaves the new window empty, wherever it is overtaken.
#[test]
fn a_straggler_overtaken_by_a_reset_counts_for_nothing() {
    loom::model(|| {
        let circuit = circuit(CircuitConfig::new().count_window(n(4)).minimum_calls(n(4)));
        let straggler = circuit.try_admit().unwrap();
        let other = circuit.clone();
        let thread = thread::spawn(move || {
            other.force_open();
            other.reset();
        });
        straggler.record(Verdict::Success);
        thread.join().unwrap();
        assert_eq!(circuit.snapshot().counts.total, 0);
    });
}

/// With one place among the probes, two callers never both get it.
#[test]
fn one_place_is_given_to_one_probe() {
    loom::model(|| {
        let at_once = OpenTime::constant(Duration::from_nanos(1)).unwrap();
        let config = CircuitConfig::new()
            .count_window(n(1))
            .minimum_calls(n(1))
            .probes(n(1), n(1))
            .open_time(at_once);
        let circuit = Circuit::new(config).unwrap();
        call(&circuit, FAILED);
        let other = circuit.clone();
        let thread = thread::spawn(move || other.try_admit().ok());
        let here = circuit.try_admit().ok();
        let there = thread.join().unwrap();
        assert_eq!(u32::from(here.is_some()) + u32::from(there.is_some()), 1);
    });
}

/// A success between two failures ends their row, wherever it comes in: either the two open, or it
/// was between them.
#[test]
fn a_success_between_two_failures_is_seen() {
    loom::model(|| {
        let circuit = circuit(
            CircuitConfig::new()
                .count_window(n(8))
                .minimum_calls(n(8))
                .failure_ratio(None)
                .consecutive_failures(n(2)),
        );
        let other = circuit.clone();
        let thread = thread::spawn(move || call(&other, Verdict::Success));
        call(&circuit, FAILED);
        call(&circuit, FAILED);
        thread.join().unwrap();
        let snapshot = circuit.snapshot();
        let was_between = snapshot.consecutive_failures == 1 && snapshot.counts.total == 3;
        assert!(snapshot.state == State::Open || was_between, "{snapshot:?}");
    });
}

/// Rules that change while successes count down: the countdown was made for the old minimum, so it
/// is made anew, or the new one would never be judged.
#[test]
fn a_new_minimum_is_judged_whatever_it_meets() {
    loom::model(|| {
        let config = CircuitConfig::new().count_window(n(8)).failure_ratio(Ratio::percent(20));
        let circuit = circuit(config.minimum_calls(n(8)));
        call(&circuit, FAILED);
        let (other, wanted) = (circuit.clone(), circuit.config().minimum_calls(n(3)));
        let thread = thread::spawn(move || other.reconfigure(wanted).unwrap());
        call(&circuit, Verdict::Success);
        call(&circuit, Verdict::Success);
        thread.join().unwrap();
        // Where the change came last, the next outcome opens.
        call(&circuit, Verdict::Success);
        assert_eq!(circuit.state(), State::Open);
    });
}

/// The countdown is made anew by an exchange: a success that counts at this moment is not lost.
#[test]
fn successes_beside_a_change_of_the_windows_size_are_all_counted() {
    loom::model(|| {
        let config = CircuitConfig::new().count_window(n(8)).failure_ratio(Ratio::ONE);
        let circuit = circuit(config.minimum_calls(n(4)));
        call(&circuit, FAILED);
        let (other, wanted) = (circuit.clone(), circuit.config().count_window(n(5)));
        let thread = thread::spawn(move || other.reconfigure(wanted).unwrap());
        call(&circuit, Verdict::Success);
        call(&circuit, Verdict::Success);
        thread.join().unwrap();
        let counts = circuit.snapshot().counts;
        assert_eq!((counts.total, counts.failures), (3, 1));
    });
}

/// An end that turns a success while other successes count down: none of them is lost, and the
/// failure is counted once.
#[test]
fn a_success_is_turned_beside_others() {
    loom::model(|| {
        let circuit = circuit(
            CircuitConfig::new().count_window(n(8)).minimum_calls(n(8)).failure_ratio(Ratio::ONE),
        );
        let answered = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
        let other = circuit.clone();
        let thread = thread::spawn(move || {
            call(&other, Verdict::Success);
            call(&other, Verdict::Success);
        });
        answered.record(FAILED);
        thread.join().unwrap();
        let counts = circuit.snapshot().counts;
        assert_eq!((counts.total, counts.failures), (3, 1));
    });
}

/// Of a bad end and the success that completes the minimum the later one is judged with both.
#[test]
fn a_turned_success_is_judged_with_the_one_that_completes_the_minimum() {
    loom::model(|| {
        let circuit = circuit(CircuitConfig::new().count_window(n(4)).minimum_calls(n(2)));
        let answered = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
        let other = circuit.clone();
        let thread = thread::spawn(move || call(&other, Verdict::Success));
        answered.record(FAILED);
        thread.join().unwrap();
        let snapshot = circuit.snapshot();
        assert_eq!((snapshot.state, snapshot.trips), (State::Open, 1));
    });
}

/// A full window of successes is quiet, and nothing is counted in it: the turn is all the same.
#[test]
fn a_turn_in_a_quiet_window_is_one_failure_beside_a_success() {
    loom::model(|| {
        let circuit = circuit(CircuitConfig::new().count_window(n(3)).minimum_calls(n(3)));
        (0..4).for_each(|_| call(&circuit, Verdict::Success));
        let answered = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
        let other = circuit.clone();
        let thread = thread::spawn(move || call(&other, Verdict::Success));
        answered.record(FAILED);
        thread.join().unwrap();
        let snapshot = circuit.snapshot();
        assert_eq!((snapshot.counts.total, snapshot.counts.failures), (3, 1), "{snapshot:?}");
    });
}

/// An end that is overtaken by a reset says nothing of the new epoch.
#[test]
fn an_end_overtaken_by_a_reset_turns_nothing() {
    loom::model(|| {
        let circuit = circuit(CircuitConfig::new().count_window(n(4)).minimum_calls(n(4)));
        let answered = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
        let other = circuit.clone();
        let thread = thread::spawn(move || {
            other.force_open();
            other.reset();
            call(&other, Verdict::Success);
        });
        answered.record(FAILED);
        thread.join().unwrap();
        let counts = circuit.snapshot().counts;
        assert_eq!((counts.total, counts.failures), (1, 0));
    });
}
