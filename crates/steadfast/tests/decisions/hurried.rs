//! Callers in a hurry beside others: what they do to a healthy service's circuit.

use std::time::Duration;

use steadfast::{
    Deadline, Grounds, RefusalKind,
    breaker::{BreakerLayer, Circuit, CircuitConfig, State},
    cause,
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use steadfast_testkit::Traffic;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};

const MS: Duration = Duration::from_millis(1);

/// A call that is wanted until then.
type Call = Option<Deadline>;

/// The README's stack, told of each call's deadline, round a service that answers in 20 ms.
fn stack(circuit: &Circuit) -> BoxCloneSyncService<Call, (), BoxError> {
    let timeout = TimeoutLayer::adaptive(10 * MS, 5_000 * MS).unwrap();
    let service = ServiceBuilder::new()
        .layer(
            RetryLayer::new(RetryConfig::new().seed(1)).idempotent().context(|call: &Call| *call),
        )
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(timeout.context(|call: &Call| *call))
        .service(service_fn(|_: Call| async {
            sleep(20 * MS).await;
            Ok::<_, BoxError>(())
        }));
    BoxCloneSyncService::new(service)
}

/// Calls at this rate for a minute, each with so much time left.
async fn callers(
    service: BoxCloneSyncService<Call, (), BoxError>,
    per_second: f64,
    left: Option<Duration>,
) -> Vec<Result<(), BoxError>> {
    let (mut traffic, mut calls) = (Traffic::seeded(1), JoinSet::new());
    let (start, mut due) = (Instant::now(), Instant::now());
    while due - start < Duration::from_secs(60) {
        due += traffic.arrival(per_second);
        sleep_until(due).await;
        let call = left.map(|left| Deadline::after(Instant::now().into_std(), left));
        calls.spawn(service.clone().oneshot(call));
    }
    calls.join_all().await
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_a_millisecond_closes_no_service_to_the_others() {
    // Of all calls 9 %, 50 % and 91 % are in a hurry.
    for (others, hurried) in [(100.0, 10.0), (50.0, 50.0), (10.0, 100.0)] {
        let circuit = Circuit::new(CircuitConfig::new().seed(1)).unwrap();
        let service = stack(&circuit);
        let (others, hurried) = tokio::join!(
            callers(service.clone(), others, None),
            callers(service, hurried, Some(MS)),
        );
        let snapshot = circuit.snapshot();
        assert_eq!((snapshot.state, snapshot.transitions), (State::Closed, 0), "{snapshot:?}");
        assert!(others.len() > 500 && others.iter().all(Result::is_ok));
        // They are told that it was their deadline.
        let kind = |outcome: &Result<(), BoxError>| {
            let error = outcome.as_ref().unwrap_err();
            cause::<Grounds>(&**error).map(|grounds| grounds.kind)
        };
        let blamed =
            hurried.iter().filter(|call| kind(call) != Some(RefusalKind::DeadlineExceeded));
        assert_eq!(blamed.count(), 0);
    }
}
