//! The stack that the README shows, with its numbers.

use std::time::Duration;

use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OpenTime},
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use tower::{BoxError, ServiceBuilder, service_fn, util::BoxCloneSyncService};

use crate::upstream::Upstream;

/// How a stack is made round a service, from a seed.
pub(crate) type Round = fn(&Upstream, u64) -> Stack;

/// The stack round a service, and its circuit.
pub(crate) struct Stack {
    pub(crate) service: BoxCloneSyncService<(), (), BoxError>,
    pub(crate) circuit: Circuit,
}

impl Stack {
    /// The README's stack, round requests that may be sent again or that may not. Only the seeds
    /// are set, and the circuit's numbers.
    fn of(config: CircuitConfig, idempotent: bool, upstream: &Upstream, seed: u64) -> Self {
        let circuit = Circuit::new(config.seed(seed)).unwrap();
        let retry = RetryLayer::new(RetryConfig::new().seed(seed));
        let (floor, ceiling) = (Duration::from_millis(10), Duration::from_secs(5));
        let upstream = upstream.clone();
        let service = ServiceBuilder::new()
            .layer(retry.idempotent_if(move |(): &()| idempotent))
            .layer(BreakerLayer::new(circuit.clone()))
            .layer(TimeoutLayer::adaptive(floor, ceiling).unwrap())
            .service(service_fn(move |()| {
                let upstream = upstream.clone();
                async move {
                    upstream.answer().await;
                    Ok::<_, BoxError>(())
                }
            }));
        Self { service: BoxCloneSyncService::new(service), circuit }
    }
}

/// The defaults, round requests that may be sent again.
pub(crate) fn defaults(upstream: &Upstream, seed: u64) -> Stack {
    Stack::of(CircuitConfig::new(), true, upstream, seed)
}

/// The defaults, round requests that may not be sent again once they may have been executed.
pub(crate) fn sent_once(upstream: &Upstream, seed: u64) -> Stack {
    Stack::of(CircuitConfig::new(), false, upstream, seed)
}

/// The defaults, over the calls of the last ten seconds.
pub(crate) fn time_window(upstream: &Upstream, seed: u64) -> Stack {
    let config = CircuitConfig::new().time_window(Duration::from_secs(10), 10);
    Stack::of(config, true, upstream, seed)
}

/// The defaults, with a first open time of 1 s instead of 5 s.
pub(crate) fn open_for_a_second(upstream: &Upstream, seed: u64) -> Stack {
    let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
    let open_time = OpenTime::exponential(first, longest).unwrap();
    Stack::of(CircuitConfig::new().open_time(open_time), true, upstream, seed)
}
