//! What a fault is to the layers it is to prove.

use std::{io, num::NonZeroU32};

use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig};
use steadfast_chaos::{Fault, FaultKind, FaultLayer, Injected};
use steadfast_core::{
    Classify, DefaultClassifier, Error, Executed, Grounds, Refusal, RefusalKind, Verdict, cause,
    guard,
};
use steadfast_retry::{RetryConfig, RetryLayer};
use steadfast_testkit::BoxError;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{always, counts, once, under};

fn judged<E: steadfast_core::Failure>(error: &E) -> Verdict {
    DefaultClassifier.classify(Err::<&(), _>(error))
}

#[test]
fn a_crash_before_is_a_refused_connection_to_every_layer() {
    let injected = Injected::new(FaultKind::CrashedBefore);
    assert_eq!(injected.to_string(), "injected fault: crashed_before");
    assert_eq!(
        (injected.kind(), injected.executed()),
        (RefusalKind::Unavailable, Executed::No),
        "the peer failed, and not the caller"
    );
    let refused = Verdict::transient(Executed::No);
    let real: BoxError = io::Error::from(io::ErrorKind::ConnectionRefused).into();
    assert_eq!(judged(&real), refused);
    let boxed: BoxError = injected.into();
    assert_eq!(judged(&boxed), refused);
    assert_eq!(cause::<Grounds>(&*boxed), Some(&injected.grounds));
    assert_eq!(
        cause::<io::Error>(&*boxed).map(io::Error::kind),
        Some(io::ErrorKind::ConnectionRefused)
    );
    // A program that walks `source` by itself finds it too.
    let source = boxed.source().and_then(|error| error.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
    assert_eq!(judged(&Error::<io::Error>::from(injected)), refused, "under guard");
    let _copied = (injected, injected);
}

#[test]
fn any_other_error_may_have_been_executed() {
    for &kind in FaultKind::ALL {
        let executed = match kind {
            FaultKind::CrashedBefore => Executed::No,
            _ => Executed::Maybe,
        };
        let boxed: BoxError = Injected::new(kind).into();
        assert_eq!(judged(&boxed), Verdict::transient(executed), "{kind:?}");
    }
    let error = Injected::new(FaultKind::Error);
    assert!(cause::<io::Error>(&error).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_over_crashes() {
    let faults = always(Fault::CrashedBefore);
    let circuit = Circuit::new(CircuitConfig::new()).unwrap();
    let stack = ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(FaultLayer::new(faults.clone()));
    let (probe, service) = under(&stack);
    for request in 0..200 {
        assert!(service.clone().oneshot(request).await.is_err());
    }
    assert_ne!(circuit.state(), steadfast_breaker::State::Closed);
    assert!(counts(&faults).0 < 200 && probe.counts().calls == 0);
}

/// Safe to repeat whatever it does: it was not executed.
#[tokio::test(start_paused = true)]
async fn a_retry_repeats_a_crash_before_and_nothing_that_may_have_been_executed() {
    for (fault, is_repeated) in [(Fault::CrashedBefore, true), (Fault::Error, false)] {
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::new(RetryConfig::new().attempts(NonZeroU32::new(2).unwrap())))
            .layer(FaultLayer::new(once(fault)));
        let (probe, service) = under(&stack);
        assert_eq!(service.oneshot(1).await.is_ok(), is_repeated, "{fault:?}");
        assert_eq!(probe.counts().calls, u64::from(is_repeated));
    }
}

#[tokio::test]
async fn a_service_with_a_foreign_error_is_put_under_guard() {
    let inner = service_fn(|request: u32| async move { Ok::<_, io::Error>(request) });
    let service = guard(FaultLayer::new(once(Fault::CrashedBefore))).layer(inner);
    let error: Error<io::Error> = service.clone().oneshot(1).await.unwrap_err();
    assert_eq!(error.refusal().map(Refusal::executed), Some(Executed::No));
    assert_eq!(service.oneshot(2).await.unwrap(), 2);
}
