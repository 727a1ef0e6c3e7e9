//! The contract every layer keeps.

use steadfast_core::Backoff;
use steadfast_retry::{RetryConfig, RetryLayer};
use steadfast_testkit::contract;
use tower::Layer;

use crate::support::{ample, attempts};

#[test]
fn the_layer_keeps_the_contract() {
    let layer = RetryLayer::default();
    contract::suite(|probe| layer.layer(probe));
}

#[test]
fn a_layer_that_makes_one_attempt_keeps_the_contract() {
    let layer = RetryLayer::new(RetryConfig::new().attempts(attempts(1)).backoff(Backoff::NONE))
        .budget(ample());
    contract::suite(|probe| layer.layer(probe));
}
