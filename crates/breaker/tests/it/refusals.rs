//! What a refusal says, to the reader of a log and to a stranger, and how refusals are counted.

use std::{error::Error, thread, time::Duration};

use steadfast_breaker::{CircuitConfig, CircuitOpen};
use steadfast_core::{Grounds, Refusal, Verdict, cause};
use tokio::time::advance;

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

/// Such as a service whose name a stranger must not learn.
const SECRET: &str = "ledger of the vault";

fn opened(config: CircuitConfig) -> CircuitOpen {
    let circuit = circuit(config);
    calls(&circuit, 4, FAILED);
    circuit.try_admit().unwrap_err()
}

/// Each error of the chain, as a log prints it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_circuit_to_logs_and_not_in_its_detail() {
    let refusal = opened(config().named(SECRET));
    let copy = refusal;
    assert_eq!(copy.to_string(), "circuit \"ledger of the vault\" open");
    assert_eq!(refusal.detail(), "circuit open");
    assert_eq!(refusal.grounds.handle.unwrap().as_str(), SECRET);
    assert_eq!(cause::<Grounds>(&refusal), Some(&refusal.grounds));
    let opened = opened(config());
    assert_eq!((opened.to_string(), opened.grounds.handle), ("circuit open".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn the_time_to_come_back_is_rounded_for_people_and_exact_for_programs() {
    let circuit = circuit(config().named(SECRET));
    calls(&circuit, 4, FAILED);
    advance(Duration::from_nanos(5_000_000_127)).await;
    let refusal = circuit.try_admit().unwrap_err();
    assert_eq!(refusal.retry_after(), Some(Duration::from_nanos(4_999_999_873)));
    let text = chain(&refusal);
    assert!(text.contains("unavailable, not executed, retry after 5 s"), "{text}");
    assert_eq!(text.matches(SECRET).count(), 1, "once is enough: {text}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_the_state_on_all_threads_and_stay() {
    let circuit = circuit(config().probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| assert!(!call(&circuit, Verdict::Success))));
        }
    });
    advance(OPEN_TIME).await;
    let probe = circuit.try_admit().unwrap();
    (0..3).for_each(|_| assert!(!call(&circuit, Verdict::Success)));
    probe.record(Verdict::Success);
    circuit.force_open();
    (0..2).for_each(|_| assert!(!call(&circuit, Verdict::Success)));
    circuit.reset();
    let refusals = circuit.snapshot().refusals;
    assert_eq!((refusals.open, refusals.half_open, refusals.forced_open), (40, 3, 2));
    assert_eq!(refusals.total(), 45);
}

#[tokio::test(start_paused = true)]
async fn what_a_dry_run_lets_in_is_no_refusal() {
    let circuit = circuit(config());
    circuit.dry_run();
    calls(&circuit, 20, FAILED);
    assert_eq!(circuit.snapshot().refusals.total(), 0);
}
