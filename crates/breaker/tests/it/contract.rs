//! The contract of every layer, kept in each of the breaker's modes.

use std::time::Duration;

use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig, OnOpen};
use steadfast_core::Ratio;
use steadfast_testkit::contract;
use tower::Layer;

use crate::n;

fn keeps_the_contract(config: &CircuitConfig) {
    contract::suite(|probe| {
        // The suite's own failures must not open the circuit.
        let config = config.clone().minimum_calls(n(100));
        BreakerLayer::new(Circuit::new(config).unwrap()).layer(probe)
    });
}

#[test]
fn the_default_breaker_keeps_the_contract() {
    keeps_the_contract(&CircuitConfig::new());
}

#[test]
fn a_breaker_on_a_time_window_with_a_slow_rule_keeps_the_contract() {
    let config = CircuitConfig::new().time_window(Duration::from_secs(10), 10);
    keeps_the_contract(&config.slow_calls(Duration::from_secs(1), Ratio::HALF));
}

#[test]
fn a_breaker_for_balancers_keeps_the_contract() {
    keeps_the_contract(&CircuitConfig::new().on_open(OnOpen::NotReady));
}
