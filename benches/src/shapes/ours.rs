//! The layers of this workspace, and a quorum call.

use steadfast_core::TimeSource;
use steadfast_quorum::{CallConfig, QuorumCall};
use steadfast_retry::RetryLayer;
use tower::{BoxError, Service, layer::layer_fn};

use crate::{
    ours::{adaptive, breaker, count, fixed, stack, time},
    quorums::{five, three_of_five},
    row::Row,
    service::{Fault, Inner},
};

pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let breakers = in_every_shape!(Ours, "breaker, count window (default)", breaker(count()))
        .chain(unguarded!(Ours, "breaker, small error", breaker(count()), Fault))
        .chain(in_every_shape!(
            Ours,
            "breaker, time window, coarse clock",
            breaker(time(TimeSource::Coarse))
        ))
        .chain(in_every_shape!(
            Ours,
            "breaker, time window, tokio's clock",
            breaker(time(TimeSource::Tokio))
        ));
    breakers
        .chain(in_every_shape!(Ours, "timeout, fixed", fixed()))
        .chain(in_every_shape!(Ours, "timeout, adaptive", adaptive()))
        .chain(in_every_shape!(Ours, "retry with budget (default)", RetryLayer::default()))
        .chain(in_every_shape!(Ours, "retry + breaker + adaptive timeout", stack(count())))
        .chain(unguarded!(Ours, "quorum call, 3 of 5 services", layer_fn(|inner| quorum(&inner))))
}

/// Without `guard`: it has an error type of its own, into which it puts the services' errors.
fn quorum<S: Inner<BoxError>>(
    service: &S,
) -> impl Service<u64, Response: 'static, Error: 'static, Future: Send> + Clone + Send + use<S> {
    let call = QuorumCall::new(
        three_of_five(),
        five(service).into_iter().enumerate(),
        CallConfig::all_at_once(),
    );
    call.expect("each node has one service")
}
