//! Three layers round a service that fails: what is safe is sent again, and a service that stays
//! broken is left alone.
//!
//! `cargo run --example quickstart`

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use steadfast::{
    Executed, Refusal, RefusalKind,
    breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen, State},
    cause,
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

/// How often the service was called.
static CALLS: AtomicU32 = AtomicU32::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let config = CircuitConfig::new()
        .count_window(10.try_into()?)
        .minimum_calls(5.try_into()?)
        .named("doubler");
    let circuit = Circuit::new(config)?;
    // An open circuit says when to come back. A caller who would have to wait longer than this
    // hears so at once.
    let retry = RetryLayer::new(RetryConfig::new().retry_after_limit(Duration::from_millis(500)));
    let service = ServiceBuilder::new()
        .layer(retry)
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(TimeoutLayer::adaptive(Duration::from_millis(10), Duration::from_secs(5))?)
        .service(service_fn(double));

    // The first call is refused a connection. That was certainly not executed, so it is sent again.
    assert_eq!(service.clone().oneshot(21).await?, 42);
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);

    // What fails and may have been executed is not sent again: the caller gets the failure itself.
    while circuit.state() == State::Closed {
        let error = service.clone().oneshot(0).await.expect_err("zero breaks the connection");
        assert_eq!(
            cause::<io::Error>(&*error).map(io::Error::kind),
            Some(io::ErrorKind::ConnectionReset)
        );
    }
    assert_eq!(CALLS.load(Ordering::Relaxed), 5, "one success and four failures, of at least five");

    // From now on the service is left alone.
    let error = service.oneshot(21).await.expect_err("the circuit is open");
    let refusal = cause::<CircuitOpen>(&*error).ok_or("not refused")?;
    assert_eq!((refusal.kind(), refusal.executed()), (RefusalKind::Unavailable, Executed::No));
    assert_eq!(CALLS.load(Ordering::Relaxed), 5);
    println!("{error}; come back after {:?}", refusal.retry_after());
    Ok(())
}

/// Doubles numbers, but refuses the first connection, and breaks it for 0.
async fn double(n: u32) -> Result<u32, BoxError> {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    match (call, n) {
        (0, _) => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        (_, 0) => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        _ => Ok(n * 2),
    }
}
