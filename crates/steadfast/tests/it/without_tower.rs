//! Handles round a future, without tower: one line for each kind of error type.

use std::{error::Error as StdError, future::pending, io, time::Duration};

use steadfast::{
    Error, Failure, Grounds,
    breaker::{Circuit, CircuitOpen},
    cause,
    timeout::{Elapsed, LimitConfig, TimeLimit},
};
use tower::BoxError;

#[derive(Debug, thiserror::Error)]
enum MyError {
    #[error(transparent)]
    Open(#[from] CircuitOpen),
    #[error(transparent)]
    Slow(#[from] Elapsed),
}

impl Failure for MyError {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

fn handles() -> (Circuit, TimeLimit) {
    (Circuit::default(), TimeLimit::new(LimitConfig::fixed(Duration::from_millis(100))).unwrap())
}

async fn silence<E>() -> Result<(), E> {
    pending().await
}

#[tokio::test(start_paused = true)]
async fn a_boxed_error_takes_both_refusals() -> Result<(), BoxError> {
    let (circuit, limit) = handles();
    circuit.run(limit.run(async { Ok::<_, BoxError>(()) })).await?;
    let error = circuit.run(limit.run(silence::<BoxError>())).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    circuit.force_open();
    let error = circuit.run(limit.run(silence::<BoxError>())).await.unwrap_err();
    assert!(error.is::<CircuitOpen>(), "{error}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn so_does_an_enum_of_ones_own() -> Result<(), MyError> {
    let (circuit, limit) = handles();
    circuit.run(limit.run(async { Ok::<_, MyError>(()) })).await?;
    assert!(matches!(circuit.run(limit.run(silence())).await, Err(MyError::Slow(_))));
    circuit.force_open();
    assert!(matches!(circuit.run(limit.run(silence())).await, Err(MyError::Open(_))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn so_does_the_guarded_error_of_a_foreign_call() -> Result<(), Error<io::Error>> {
    async fn call() -> Result<(), io::Error> {
        Ok(())
    }

    let (circuit, limit) = handles();
    circuit.run(limit.run(async { call().await.map_err(Error::Service) })).await?;
    let error = circuit.run(limit.run(silence::<Error<io::Error>>())).await.unwrap_err();
    assert_eq!(cause::<Grounds>(&error), Some(&Elapsed::after(Duration::from_millis(100)).grounds));
    // The breaker saw what ended in time and what did not.
    let counts = circuit.snapshot().counts;
    assert_eq!((counts.total, counts.failures), (2, 1));
    circuit.force_open();
    let error = circuit.run(limit.run(silence::<Error<io::Error>>())).await.unwrap_err();
    assert!(error.refusal().is_some());
    Ok(())
}

#[tokio::test]
async fn what_runs_under_both_can_be_spawned() {
    let (circuit, limit) = handles();
    let call = circuit.run(limit.run(async { Ok::<_, BoxError>(7) }));
    drop((circuit, limit));
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 7);
}
