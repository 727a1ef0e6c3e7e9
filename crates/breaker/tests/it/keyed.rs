//! A circuit for each key.

use std::num::NonZeroUsize;

use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen, OnOpen, State};
use steadfast_core::Verdict;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{FAILED, calls, config, n};

fn itself(request: &u32) -> u32 {
    *request
}

#[tokio::test(start_paused = true)]
async fn one_key_opens_without_the_others() {
    let host = |request: &&'static str| *request;
    let circuits = Circuit::per_key(config(), NonZeroUsize::new(8).unwrap(), host).unwrap();
    let layer = BreakerLayer::new(circuits.clone());
    let service = layer.layer(service_fn(|host: &'static str| async move {
        if host == "broken" { Err(BoxError::from("down")) } else { Ok(host) }
    }));
    for _ in 0..4 {
        service.clone().oneshot("broken").await.unwrap_err();
    }
    let refused = service.clone().oneshot("broken").await.unwrap_err();
    assert!(refused.is::<CircuitOpen>());
    assert_eq!(service.oneshot("healthy").await.unwrap(), "healthy");
    let mut states: Vec<_> =
        circuits.entries().into_iter().map(|(key, circuit)| (key, circuit.state())).collect();
    states.sort_unstable_by_key(|(key, _)| *key);
    assert_eq!(states, [("broken", State::Open), ("healthy", State::Closed)]);
}

#[test]
fn the_number_of_circuits_is_bounded_and_a_busy_one_is_kept() {
    let circuits = Circuit::per_key(config(), NonZeroUsize::new(50).unwrap(), itself).unwrap();
    calls(&circuits.handle(&0), 4, FAILED);
    for key in 1..5_000u32 {
        assert_eq!(circuits.handle(&0).state(), State::Open);
        calls(&circuits.handle(&key), 1, Verdict::Success);
    }
    assert!(circuits.len() <= 50);
}

#[test]
fn a_bad_configuration_is_refused_before_the_first_key() {
    let config = CircuitConfig::new().count_window(n(1_000_001));
    let error = Circuit::per_key::<u32, _>(config, NonZeroUsize::MIN, itself).unwrap_err();
    assert_eq!(error.field, "count_window");
}

/// Readiness is asked before the key is known.
#[test]
fn circuits_for_each_key_cannot_be_not_ready() {
    let config = CircuitConfig::new().on_open(OnOpen::NotReady);
    let error = Circuit::per_key::<u32, _>(config, NonZeroUsize::MIN, itself).unwrap_err();
    assert_eq!((error.field, error.value.as_str()), ("on_open", "NotReady"));
}
