//! Configurations that can never open, or never close, are refused; what only looks so can.

use std::{num::NonZeroU32, time::Duration};

use steadfast_breaker::{Circuit, CircuitConfig, State};
use steadfast_core::{Ratio, Verdict};
use tokio::time::advance;

use crate::{FAILED, call, calls, circuit, n};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn base() -> CircuitConfig {
    CircuitConfig::new()
}

/// A circuit that only slow calls or failures in a row could open.
fn no_ratio() -> CircuitConfig {
    base().failure_ratio(None)
}

#[test]
fn a_configuration_that_can_never_open_or_close_is_refused_by_field_and_value() {
    let table = [
        // No rule at all, whatever the window and the rest.
        (no_ratio().consecutive_failures(None), "failure_ratio", "None"),
        (
            no_ratio().consecutive_failures(None).time_window(10 * SECOND, 10),
            "failure_ratio",
            "None",
        ),
        // A share of more calls than the window ever holds.
        (base().count_window(n(19)), "minimum_calls", "20"),
        (base().minimum_calls(n(101)), "minimum_calls", "101"),
        (base().count_window(n(5)).slow_calls(SECOND, Ratio::HALF), "minimum_calls", "20"),
        // Longer than any call is waited for, and longer than any failure matters.
        (no_ratio().slow_calls(DAY + SECOND, Ratio::HALF), "slow_calls", "(86401s, Ratio(0.5))"),
        (base().consecutive_span(DAY + SECOND), "consecutive_span", "86401s"),
        (no_ratio().consecutive_failures(n(1_000_001)), "consecutive_failures", "1000001"),
        // A span of a rule that is off.
        (base().consecutive_failures(None).consecutive_span(SECOND), "consecutive_span", "1s"),
        (
            base().consecutive_span(SECOND).consecutive_failures(NonZeroU32::new(0)),
            "consecutive_span",
            "1s",
        ),
        // Would open on every call.
        (base().slow_calls(Duration::ZERO, Ratio::HALF), "slow_calls", "(0ns, Ratio(0.5))"),
        // Would never close.
        (base().probes(n(2), n(3)), "probes", "(2, 3)"),
        (base().probe_limit(Duration::ZERO), "probe_limit", "0ns"),
        (base().probe_limit(DAY + SECOND), "probe_limit", "86401s"),
    ];
    for (config, field, value) in table {
        let error = Circuit::new(config.clone()).unwrap_err();
        assert_eq!((error.field, &*error.value), (field, value), "{config:?}: {error}");
    }
}

/// How many calls it takes to open, a second apart, of which each takes another second.
async fn opens_after(config: CircuitConfig, verdict: Verdict) -> Option<usize> {
    let circuit = circuit(config);
    for n in 1..=2000 {
        let permit = circuit.try_admit().unwrap();
        advance(SECOND).await;
        permit.record(verdict);
        if circuit.state() == State::Open {
            return Some(n);
        }
        advance(SECOND).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_as_if_it_could_never_open_can() {
    let long = 1000;
    let slow = |ratio| no_ratio().consecutive_failures(None).slow_calls(SECOND / 2, ratio);
    let table = [
        // Ratios of zero and of one.
        (base().failure_ratio(Ratio::ZERO).consecutive_failures(None), FAILED, 20),
        (base().failure_ratio(Ratio::ONE).consecutive_failures(None), FAILED, 20),
        (slow(Ratio::ZERO), Verdict::Success, 20),
        (slow(Ratio::ONE), Verdict::Success, 20),
        (slow(Ratio::ONE), Verdict::Ignored, 20),
        // A window of one, and one as large as its minimum.
        (base().count_window(n(1)).minimum_calls(n(1)), FAILED, 1),
        (base().minimum_calls(n(100)).consecutive_failures(None), FAILED, 100),
        // More failures in a row than the window holds, and than a time window ever holds.
        (no_ratio().consecutive_failures(n(long)), FAILED, 1000),
        (no_ratio().time_window(SECOND, 1).consecutive_failures(n(long)), FAILED, 1000),
        // A span longer than the time window, than an open time and than a probe may take.
        (
            no_ratio().time_window(SECOND, 1).consecutive_span(1000 * SECOND),
            FAILED,
            // The first at 1 s, the last at 1001 s.
            501,
        ),
        // A time window in which fewer calls end than the minimum: by failures in a row.
        (base().time_window(10 * SECOND, 10), FAILED, 10),
    ];
    for (config, verdict, calls) in table {
        let name = format!("{config:?}");
        assert_eq!(opens_after(config, verdict).await, Some(calls), "{name}");
    }
}

/// What the documentation of `minimum_calls` says: it depends on the traffic, and is not refused.
#[tokio::test(start_paused = true)]
async fn a_time_window_with_fewer_calls_than_the_minimum_never_opens_by_its_ratio() {
    let config = base().time_window(10 * SECOND, 10).consecutive_failures(None);
    assert_eq!(opens_after(config, FAILED).await, None, "a call ends every two seconds");
}

/// What the documentation of `probe_limit` says.
#[tokio::test(start_paused = true)]
async fn a_probe_limit_below_the_services_latency_never_closes() {
    let circuit = circuit(base().probe_limit(SECOND / 2));
    calls(&circuit, 20, FAILED);
    for _ in 0..100 {
        advance(60 * SECOND).await;
        for _ in 0..3 {
            let Ok(probe) = circuit.try_admit() else { break };
            advance(SECOND).await;
            probe.record(Verdict::Success);
        }
        assert!(!call(&circuit, Verdict::Success));
        assert_eq!(circuit.snapshot().state, State::Open);
    }
}
