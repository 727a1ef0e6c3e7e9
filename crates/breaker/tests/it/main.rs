//! Integration tests of the breaker.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod bodies;
mod by_hand;
mod can_open;
mod cancel;
mod contract;
mod edges;
mod half_open;
mod keyed;
mod metrics;
mod model;
mod readiness;
mod reconfigured;
mod refusals;
mod shape;
mod silence;
mod told;
mod transitions;
mod traps;
#[cfg(feature = "http")]
mod until_end;

use std::{num::NonZeroU32, time::Duration};

use steadfast_breaker::{Circuit, CircuitConfig, OpenTime};
use steadfast_core::{Executed, Verdict};

const FAILED: Verdict = Verdict::transient(Executed::Maybe);
const OPEN_TIME: Duration = Duration::from_secs(10);

const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// A small window and an open time without jitter.
fn config() -> CircuitConfig {
    CircuitConfig::new()
        .count_window(n(10))
        .minimum_calls(n(4))
        .open_time(OpenTime::constant(OPEN_TIME).unwrap())
}

fn circuit(config: CircuitConfig) -> Circuit {
    Circuit::new(config).unwrap()
}

/// One call that comes to this verdict; false when it was refused.
fn call(circuit: &Circuit, verdict: Verdict) -> bool {
    circuit.try_admit().map(|permit| permit.record(verdict)).is_ok()
}

fn calls(circuit: &Circuit, number: usize, verdict: Verdict) {
    for _ in 0..number {
        assert!(call(circuit, verdict), "let in");
    }
}
