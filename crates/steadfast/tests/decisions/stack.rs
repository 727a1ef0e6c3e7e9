//! The stack that the README shows, with its numbers.

use std::time::Duration;

use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OpenTime},
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use tower::{BoxError, ServiceBuilder, service_fn, util::BoxCloneSyncService};

use crate::upstream::Upstream;

/// The stack round a service, and its circuit.
pub(crate) struct Stack {
    pub(crate) service: BoxCloneSyncService<(), (), BoxError>,
    pub(crate) circuit: Circuit,
}

impl Stack {
    /// The README's stack, round requests that may be sent again. Only the seeds are set, and
    /// what `configure` sets.
    pub(crate) fn round(
        upstream: &Upstream,
        seed: u64,
        configure: fn(CircuitConfig) -> CircuitConfig,
    ) -> Self {
        let circuit = Circuit::new(configure(CircuitConfig::new().seed(seed))).unwrap();
        let (floor, ceiling) = (Duration::from_millis(10), Duration::from_secs(5));
        let upstream = upstream.clone();
        let service = ServiceBuilder::new()
            .layer(RetryLayer::new(RetryConfig::new().seed(seed)).idempotent())
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

/// The defaults.
pub(crate) fn defaults(config: CircuitConfig) -> CircuitConfig {
    config
}

/// The defaults, over the calls of the last ten seconds.
pub(crate) fn time_window(config: CircuitConfig) -> CircuitConfig {
    config.time_window(Duration::from_secs(10), 10)
}

/// The defaults, with a first open time of 1 s instead of 5 s.
pub(crate) fn open_for_a_second(config: CircuitConfig) -> CircuitConfig {
    let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
    config.open_time(OpenTime::exponential(first, longest).unwrap())
}
