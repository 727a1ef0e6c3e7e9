//! The shape every crate of the house has: a configuration, a handle that checks it, a layer, a
//! service. Most of it is checked by the compiler.

use std::{
    future::{Future, Ready, pending, ready},
    io,
    num::NonZeroUsize,
    task::Poll,
    time::Duration,
};

use steadfast_breaker::{
    Breaker, BreakerLayer, Cause, Circuit, CircuitConfig, CircuitOpen, CircuitSnapshot, OnOpen,
    OpenTime, Permit, Refusals, ResponseFuture, Run, State, Transition, Transitions,
};
use steadfast_core::{
    ConfigError, DefaultClassifier, Error, EveryError, Executed, Failure, PerKey, Ratio, Refusal,
    Select, Selected, TimeSource, Verdict,
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{FAILED, calls, circuit, config, n};

fn shared<T: Send + Sync + 'static>(_: &T) {}

fn spawnable<T: Future + Send + 'static>(future: T) -> T {
    future
}

#[test]
fn configuration_handle_layer_service() {
    let config: CircuitConfig = CircuitConfig::new()
        .named("stock")
        .count_window(n(50))
        .time_window(Duration::from_secs(10), 10)
        .failure_ratio(Ratio::percent(25))
        .slow_calls(Duration::from_millis(300), Ratio::HALF)
        .consecutive_failures(n(5))
        .minimum_calls(n(4))
        .open_time(OpenTime::constant(Duration::from_secs(1)).unwrap())
        .probes(n(2), n(1))
        .probe_limit(Duration::from_secs(5))
        .horizon(Duration::from_secs(2))
        .throttled_fails_probe(true)
        .on_open(OnOpen::Refuse)
        .time_source(TimeSource::Coarse)
        .seed(7);
    let circuit: Circuit = Circuit::new(config.clone()).unwrap();
    shared(&(config, circuit.clone()));
    assert_eq!(circuit.name(), "stock");
    assert_eq!(format!("{circuit:?}"), r#"Circuit { name: "stock", state: Closed, .. }"#);
    let snapshot: CircuitSnapshot = circuit.snapshot();
    let current: CircuitConfig = circuit.config();
    let _changed: Result<(), ConfigError> = circuit.reconfigure(current);
    let refusals: Refusals = snapshot.refusals;
    assert_eq!((refusals.total(), steadfast_core::Snapshot::snapshot(&circuit)), (0, snapshot));
    let _transitions: Transitions = circuit.subscribe();

    let layer: BreakerLayer<DefaultClassifier, Circuit> = BreakerLayer::new(circuit);
    let _handle: &Circuit = layer.handle();
    let mut service: Breaker<u8, BreakerLayer> = layer.layer(7);
    shared(&(layer, service.clone()));
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
}

#[test]
fn what_cannot_work_is_refused_by_the_handle() {
    let error: ConfigError = Circuit::new(CircuitConfig::new().minimum_calls(n(101))).unwrap_err();
    assert_eq!((error.field, error.value.as_str()), ("minimum_calls", "101"));
}

#[tokio::test]
async fn behaviours_are_type_parameters_in_one_order() {
    fn judge(_: Result<&u8, &BoxError>) -> Verdict {
        Verdict::Success
    }
    type Judge = fn(Result<&u8, &BoxError>) -> Verdict;
    let layer: BreakerLayer<Judge> = BreakerLayer::default().classify(judge as Judge);
    let mut service: Breaker<_, BreakerLayer<Judge>> =
        layer.layer(service_fn(|n: u8| ready(Ok::<_, BoxError>(n))));
    let response: ResponseFuture<Ready<Result<u8, BoxError>>, Judge> =
        service.ready().await.unwrap().call(7);
    assert_eq!(spawnable(response).await.unwrap(), 7);
    #[cfg(feature = "http")]
    let _layer: BreakerLayer<steadfast_core::http::HttpClassifier> = BreakerLayer::default().http();
    #[cfg(feature = "tonic")]
    let _layer: BreakerLayer<steadfast_core::tonic::GrpcClassifier> =
        BreakerLayer::default().grpc();
    #[cfg(feature = "http")]
    let _layer: BreakerLayer<
        steadfast_core::http::HttpClassifier,
        Circuit,
        steadfast_breaker::AtEnd,
    > = BreakerLayer::default().http().until_end();
}

#[tokio::test]
async fn a_circuit_for_each_key_and_a_choice_of_ones_own_take_the_same_layer() {
    type Host = fn(&(&'static str, u8)) -> &'static str;
    let circuits: PerKey<&str, Circuit, Host> =
        Circuit::per_key(config(), NonZeroUsize::MIN, (|request| request.0) as Host).unwrap();
    let layer: BreakerLayer<EveryError, PerKey<&str, Circuit, Host>> =
        BreakerLayer::new(circuits).classify(EveryError);
    let service = layer.layer(service_fn(|(_, n): (&str, u8)| ready(Ok::<_, BoxError>(n))));
    shared(&service);
    assert_eq!(service.oneshot(("a", 7)).await.unwrap(), 7);

    #[derive(Clone)]
    struct ByParity([Circuit; 2]);
    impl Select<u8> for ByParity {
        type Handle = Circuit;

        fn select(&self, request: &u8) -> Selected<'_, Circuit> {
            Selected::Shared(&self.0[usize::from(request % 2)])
        }

        fn common(&self) -> Option<&Circuit> {
            None
        }
    }
    let (even, odd) = (circuit(config()), circuit(config()));
    let service = BreakerLayer::new(ByParity([even, odd.clone()]))
        .layer(service_fn(|n| ready(Ok::<u8, BoxError>(n))));
    odd.force_open();
    assert_eq!(service.clone().oneshot(2).await.unwrap(), 2);
    assert!(service.oneshot(3).await.unwrap_err().is::<CircuitOpen>());
}

#[tokio::test(start_paused = true)]
async fn what_runs_without_tower_has_a_name_and_can_be_spawned() {
    let circuit = circuit(config());
    let run: Run<Ready<Result<(), CircuitOpen>>, DefaultClassifier> = circuit.run(ready(Ok(())));
    let judged: Run<Ready<Result<(), CircuitOpen>>, EveryError> =
        circuit.run_judged(ready(Ok(())), EveryError);
    shared(&(run, judged));
    let permit: Permit = circuit.try_admit().unwrap();
    shared(&permit);
    // It owns its way to the circuit.
    let run = circuit.run(async { Ok::<_, BoxError>(7) });
    drop(circuit);
    assert_eq!(tokio::spawn(run).await.unwrap().unwrap(), 7);
}

/// Made early and polled late, a call is let in by the circuit as it is then.
#[tokio::test(start_paused = true)]
async fn a_future_is_let_in_when_it_is_first_polled() {
    let circuit = circuit(config().probes(n(1), n(1)));
    let late = circuit.run(async { Ok::<_, BoxError>(()) });
    calls(&circuit, 4, FAILED);
    assert!(late.await.unwrap_err().is::<CircuitOpen>());
    // Neither polled nor let in, it takes no place among the probes.
    tokio::time::advance(crate::OPEN_TIME).await;
    drop(circuit.run(pending::<Result<(), BoxError>>()));
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::Open, 0));
}

/// A future that was refused must not reach the service when it is polled once more.
#[tokio::test(start_paused = true)]
async fn a_refused_future_that_is_polled_again_asks_again() {
    let circuit = circuit(config());
    circuit.force_open();
    let mut run = tokio_test::task::spawn(circuit.run(async { Ok::<_, BoxError>(7) }));
    for _ in 0..2 {
        assert!(matches!(run.poll(), Poll::Ready(Err(error)) if error.is::<CircuitOpen>()));
    }
    circuit.reset();
    assert!(matches!(run.poll(), Poll::Ready(Ok(7))));
}

#[test]
fn a_future_that_is_dropped_gives_its_probe_back() {
    let circuit = circuit(
        config().probes(n(1), n(1)).open_time(OpenTime::constant(Duration::from_nanos(1)).unwrap()),
    );
    calls(&circuit, 4, FAILED);
    let mut run = tokio_test::task::spawn(circuit.run(pending::<Result<(), BoxError>>()));
    assert!(run.poll().is_pending());
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 1));
    drop(run);
    assert_eq!(circuit.snapshot().probes_in_flight, 0);
}

/// An error type of the user's own.
#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error(transparent)]
    Open(#[from] CircuitOpen),
    #[error("out of stock")]
    OutOfStock,
}

impl Failure for Mine {
    fn as_error(&self) -> &(dyn std::error::Error + 'static) {
        self
    }
}

#[tokio::test]
async fn every_kind_of_error_takes_the_refusal() {
    async fn never<E>() -> Result<(), E> {
        unreachable!("the circuit is open")
    }
    let circuit = circuit(config());
    let error = circuit.run(async { Err::<(), _>(Mine::OutOfStock) }).await.unwrap_err();
    assert!(matches!(error, Mine::OutOfStock));
    circuit.force_open();
    let boxed: BoxError = circuit.run(never::<BoxError>()).await.unwrap_err();
    assert_eq!(*boxed.downcast::<CircuitOpen>().unwrap(), CircuitOpen::until_changed());
    let mine = circuit.run(never::<Mine>()).await.unwrap_err();
    assert!(matches!(mine, Mine::Open(open) if open == CircuitOpen::until_changed()));
    let guarded = circuit.run(never::<Error<io::Error>>()).await.unwrap_err();
    assert_eq!(guarded.refusal().map(Refusal::grounds), Some(CircuitOpen::until_changed().grounds));
}

#[test]
fn a_refusal_is_small_and_says_why() {
    let open = CircuitOpen::after(Duration::from_secs(2));
    assert_eq!(open.to_string(), "circuit open");
    assert_eq!(
        (open.retry_after(), open.grounds.executed),
        (Some(Duration::from_secs(2)), Executed::No)
    );
    assert_eq!(CircuitOpen::until_changed().retry_after(), None);
}

#[tokio::test]
async fn a_transition_says_what_changed() {
    let circuit = circuit(config());
    let mut transitions = circuit.subscribe();
    circuit.force_open();
    let Transition { from, to, cause, sequence, .. } = transitions.changed().await;
    assert_eq!(
        (from, to, cause, sequence),
        (State::Closed, State::ForcedOpen, Cause::Commanded, 1)
    );
}
