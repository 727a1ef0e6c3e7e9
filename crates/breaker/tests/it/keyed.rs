//! A circuit for each key.

use std::num::NonZeroUsize;

use steadfast_breaker::{BreakerConfig, CircuitOpen, Circuits, KeyedBreakerLayer, State};
use steadfast_core::Verdict;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{FAILED, calls, config};

#[tokio::test(start_paused = true)]
async fn one_key_opens_without_the_others() {
    let circuits = Circuits::new(config(), NonZeroUsize::new(8).unwrap()).unwrap();
    let layer = KeyedBreakerLayer::new(circuits.clone(), |host: &&'static str| *host);
    let service = layer.layer(service_fn(|host: &'static str| async move {
        if host == "broken" { Err(BoxError::from("down")) } else { Ok(host) }
    }));
    for _ in 0..4 {
        service.clone().oneshot("broken").await.unwrap_err();
    }
    let refused = service.clone().oneshot("broken").await.unwrap_err();
    assert!(refused.is::<CircuitOpen>());
    assert_eq!(service.oneshot("healthy").await.unwrap(), "healthy");
    let mut states: Vec<_> = circuits.all().into_iter().map(|(key, circuit)| (key, circuit.state())).collect();
    states.sort_unstable_by_key(|(key, _)| *key);
    assert_eq!(states, [("broken", State::Open), ("healthy", State::Closed)]);
}

#[test]
fn the_number_of_circuits_is_bounded_and_a_busy_one_is_kept() {
    let circuits = Circuits::new(config(), NonZeroUsize::new(50).unwrap()).unwrap();
    calls(&circuits.circuit(&0), 4, FAILED);
    for key in 1..5_000u32 {
        assert_eq!(circuits.circuit(&0).state(), State::Open);
        calls(&circuits.circuit(&key), 1, Verdict::Success);
    }
    assert!(circuits.all().len() <= 50);
}

#[test]
fn a_bad_configuration_is_refused_before_the_first_key() {
    let error = Circuits::<u32>::new(BreakerConfig::new().count_window(0), NonZeroUsize::MIN).unwrap_err();
    assert_eq!(error.field, "count_window");
}
