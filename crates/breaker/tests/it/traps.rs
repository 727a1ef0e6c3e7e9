//! Bugs that were shipped elsewhere, each by name.

use std::{
    future::Future,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use steadfast_breaker::{BreakerLayer, CircuitOpen, State};
use steadfast_core::{Ratio, Verdict};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

#[tokio::test(start_paused = true)]
async fn a_count_window_slides_and_does_not_only_grow() {
    let circuit = circuit(steadfast_breaker::CircuitConfig::new());
    calls(&circuit, 10_000, Verdict::Success);
    let failures = (1..).find(|_| call(&circuit, FAILED) && circuit.state() == State::Open);
    assert_eq!(failures, Some(50));
}

#[tokio::test(start_paused = true)]
async fn the_minimum_of_calls_is_obeyed_below_the_window_size() {
    let circuit = circuit(config().count_window(n(100)).minimum_calls(n(10)));
    calls(&circuit, 9, FAILED);
    assert_eq!(circuit.state(), State::Closed);
    calls(&circuit, 1, FAILED);
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_idle_gap_of_years_costs_a_time_window_nothing_and_forgets_everything() {
    let circuit = circuit(config().time_window(Duration::from_secs(10), 10));
    calls(&circuit, 3, FAILED);
    tokio::time::advance(Duration::from_secs(3 * 365 * 24 * 3600)).await;
    calls(&circuit, 1, FAILED);
    assert_eq!((circuit.state(), circuit.snapshot().counts.total), (State::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn half_open_admits_exactly_as_many_as_it_should() {
    for number in 1..5 {
        let circuit = circuit(config().probes(n(number), n(1)));
        calls(&circuit, 4, FAILED);
        tokio::time::advance(OPEN_TIME).await;
        let probes: Vec<_> = (0..100).filter_map(|_| circuit.try_admit().ok()).collect();
        assert_eq!(probes.len(), number as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_does_not_close_the_circuit() {
    let circuit = circuit(config().probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    (0..100).for_each(|_| drop(circuit.try_admit().unwrap()));
    assert_eq!(circuit.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_stale_ignored_result_does_not_inflate_the_probes() {
    let circuit = circuit(config().probes(n(1), n(1)));
    let stale: Vec<_> = (0..5).map(|_| circuit.try_admit().unwrap()).collect();
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let probe = circuit.try_admit().unwrap();
    stale.into_iter().for_each(|permit| permit.record(Verdict::Ignored));
    assert!(circuit.try_admit().is_err(), "one probe is under way, and one is all there are");
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_round_does_not_count_in_a_later_one() {
    let circuit = circuit(config().probes(n(1), n(1)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let hung = circuit.try_admit().unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(circuit.try_admit().is_err(), "overdue");
    tokio::time::advance(OPEN_TIME).await;
    let probe = circuit.try_admit().unwrap();
    hung.record(Verdict::Success);
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 1));
    probe.record(FAILED);
    assert_eq!(circuit.state(), State::Open);
}

/// Fifty calls that an outer timeout drops are outcomes, once the breaker knows what slow is.
#[tokio::test(start_paused = true)]
async fn calls_dropped_by_an_outer_timeout_open_the_circuit() {
    let circuit = circuit(config().slow_calls(Duration::from_millis(50), Ratio::HALF));
    let service = ServiceBuilder::new()
        .timeout(Duration::from_millis(100))
        .layer(BreakerLayer::new(circuit.clone()))
        .service(service_fn(|_: u32| std::future::pending::<Result<u32, BoxError>>()));
    let mut timeouts = 0;
    for _ in 0..50 {
        let error = service.clone().oneshot(1).await.unwrap_err();
        timeouts += u32::from(!error.is::<CircuitOpen>());
        if circuit.state() == State::Open {
            break;
        }
    }
    assert_eq!((timeouts, circuit.state()), (4, State::Open));
}

/// Inside the breaker a timeout is an error like any other, and no slow rule is needed.
#[tokio::test(start_paused = true)]
async fn calls_timed_out_inside_the_breaker_are_failures() {
    let circuit = circuit(config());
    let service = ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()))
        .timeout(Duration::from_millis(100))
        .service(service_fn(|_: u32| std::future::pending::<Result<u32, BoxError>>()));
    for _ in 0..4 {
        service.clone().oneshot(1).await.unwrap_err();
    }
    assert_eq!(circuit.state(), State::Open);
}

/// axum applies a layer once for each route and each connection; all of them must meet at one
/// circuit.
#[tokio::test(start_paused = true)]
async fn a_layer_applied_many_times_is_one_circuit() {
    let circuit = circuit(config());
    let layer = BreakerLayer::new(circuit.clone());
    for _ in 0..4 {
        let service = layer
            .clone()
            .layer(service_fn(|_: u32| async { Err::<u32, BoxError>("broken".into()) }));
        service.oneshot(1).await.unwrap_err();
    }
    let service = layer.layer(service_fn(|n: u32| async move { Ok::<_, BoxError>(n) }));
    let error = service.oneshot(1).await.unwrap_err();
    assert_eq!(error.downcast_ref::<CircuitOpen>().unwrap().retry_after(), Some(OPEN_TIME));
}

/// Only the first of many threads that find the open time over may start the round, and exactly n
/// pass.
#[test]
fn a_crowd_at_the_edge_of_half_open_gets_exactly_its_probes() {
    let open_time = steadfast_breaker::OpenTime::constant(Duration::from_nanos(1)).unwrap();
    for _ in 0..200 {
        let circuit = circuit(config().open_time(open_time).probes(n(3), n(3)));
        calls(&circuit, 4, FAILED);
        let admitted: usize = std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..4)
                .map(|_| {
                    let circuit = circuit.clone();
                    scope.spawn(move || {
                        (0..4).filter_map(|_| circuit.try_admit().ok()).collect::<Vec<_>>()
                    })
                })
                .collect();
            let permits: Vec<_> =
                crowd.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            permits.len()
        });
        assert_eq!(admitted, 3);
    }
}

/// Successes are counted outside the lock: none may be lost while others fail.
#[test]
fn eight_threads_lose_no_outcome_in_a_count_window() {
    let run = NonZeroU32::new(1_000_000).unwrap();
    let circuit = circuit(
        config().count_window(n(100_000)).failure_ratio(Ratio::ONE).consecutive_failures(run),
    );
    let total = Arc::new(std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (circuit, total) = (circuit.clone(), Arc::clone(&total));
            scope.spawn(move || {
                // From 1, with a success: eight first calls that all fail could be a window of
                // nothing but failures.
                for n in 1..=10_000 {
                    let failed = n % (thread + 2) == 0;
                    total.fetch_add(u64::from(failed), std::sync::atomic::Ordering::Relaxed);
                    calls(&circuit, 1, if failed { FAILED } else { Verdict::Success });
                }
            });
        }
    });
    let counts = circuit.snapshot().counts;
    assert_eq!(counts.total, 80_000);
    assert_eq!(counts.failures, total.load(std::sync::atomic::Ordering::Relaxed));
}

/// Under a time window a success writes only its stripe: it must see the flag that a failure
/// raises, or be summed by it.
#[test]
fn under_a_time_window_the_outcome_that_completes_the_minimum_is_judged() {
    let barrier = std::sync::Barrier::new(2);
    let circuits: Vec<_> = (0..2_000)
        .map(|_| circuit(config().time_window(Duration::from_secs(36_000), 1).minimum_calls(n(2))))
        .collect();
    std::thread::scope(|scope| {
        for verdict in [FAILED, Verdict::Success] {
            let (circuits, barrier) = (&circuits, &barrier);
            scope.spawn(move || {
                for circuit in circuits {
                    barrier.wait();
                    call(circuit, verdict);
                }
            });
        }
    });
    assert!(circuits.iter().all(|circuit| circuit.state() == State::Open));
}

/// Classifiers and wakers are user code: they run with the lock free, and may use the circuit
/// themselves.
#[tokio::test(start_paused = true)]
async fn classifiers_and_wakers_may_use_the_circuit() {
    struct Curious(steadfast_breaker::Circuit, std::sync::atomic::AtomicU32);
    impl std::task::Wake for Curious {
        fn wake(self: Arc<Self>) {
            assert_eq!(self.0.snapshot().state, State::Open);
            self.0.reset();
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    let circuit = circuit(config());
    let curious = Arc::new(Curious(circuit.clone(), 0.into()));
    let waker = Arc::clone(&curious).into();
    let mut transitions = circuit.subscribe();
    let mut changed = std::pin::pin!(transitions.changed());
    assert!(changed.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());

    let looking = circuit.clone();
    let layer = BreakerLayer::new(circuit.clone()).classify(move |_: Result<&u32, &BoxError>| {
        assert_eq!(looking.snapshot().state, State::Closed);
        FAILED
    });
    let service = layer.layer(service_fn(|n: u32| async move { Ok::<_, BoxError>(n) }));
    for _ in 0..4 {
        service.clone().oneshot(1).await.unwrap();
    }
    assert_eq!(curious.1.load(std::sync::atomic::Ordering::Relaxed), 1, "woken once, by the trip");
    assert_eq!(circuit.state(), State::Closed, "the waker has reset it");
}

/// A time window costs what its buckets cost: it keeps counts, not records.
#[tokio::test(start_paused = true)]
async fn a_time_window_of_a_hundred_thousand_calls_is_counted_exactly_and_slides() {
    let circuit =
        circuit(config().time_window(Duration::from_secs(10), 10).failure_ratio(Ratio::ONE));
    for second in 0..20 {
        calls(&circuit, 10_000, Verdict::Success);
        calls(&circuit, 10, FAILED);
        let counts = circuit.snapshot().counts;
        let seconds = (second + 1).min(10);
        assert_eq!((counts.total, counts.failures), (10_010 * seconds, 10 * seconds));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

/// One thread's successes end another's failures in a row, under both windows: between any two
/// failures there is a success that was over before the second, so they are never two in a row.
#[test]
fn a_success_of_another_thread_is_never_overlooked_between_two_failures() {
    for config in [config(), config().time_window(Duration::from_secs(10), 10)] {
        let config = config.failure_ratio(None).consecutive_failures(n(2));
        let circuit = circuit(config);
        let successes = AtomicU64::new(0);
        let failures = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while failures.load(Ordering::Acquire) < 2_000 {
                    call(&circuit, Verdict::Success);
                    successes.fetch_add(1, Ordering::Release);
                }
            });
            for _ in 0..2_000 {
                let seen = successes.load(Ordering::Acquire);
                // The one under way may have begun before the failure.
                while successes.load(Ordering::Acquire) < seen + 2 {
                    std::thread::yield_now();
                }
                call(&circuit, FAILED);
                failures.fetch_add(1, Ordering::Release);
            }
        });
        assert_eq!(circuit.snapshot().transitions, 0, "two in a row were seen");
    }
}
