use std::time::Duration;

use steadfast_testkit::contract;
use tower::{Layer, layer::util::Identity, limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};

#[test]
fn the_bare_probe_passes() {
    contract::suite(|probe| Identity::new().layer(probe));
}

#[test]
fn the_timeout_of_tower_passes() {
    contract::suite(|probe| TimeoutLayer::new(Duration::from_secs(1)).layer(probe));
}

#[test]
fn a_wide_concurrency_limit_passes_and_a_narrow_one_is_caught_holding_calls_back() {
    contract::suite(|probe| ConcurrencyLimitLayer::new(8).layer(probe));
    let broken = contract::broken(|probe| ConcurrencyLimitLayer::new(1).layer(probe));
    assert!(
        broken.iter().any(|breach| breach.clause == contract::Clause::CallsRunSideBySide),
        "{broken:?}"
    );
}

#[tokio::test]
async fn the_suite_runs_inside_a_runtime_too() {
    contract::suite(|probe| TimeoutLayer::new(Duration::from_secs(1)).layer(probe));
}
