//! The client with Steadfast: retry → choose an upstream → its breaker → its timeout → the client.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use axum::response::IntoResponse;
use steadfast::{
    Backoff, Jitter,
    breaker::{BreakerLayer, Circuit, CircuitConfig, OnOpen, OpenTime},
    guard,
    http::CollectLayer,
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::{
    Failure,
    calls::Calls,
    gateway::{Backend, senders},
    round_robin::RoundRobin,
    upstream::NAMES,
};

/// The same round robin over the same client as without Steadfast, and the circuits of the
/// upstreams.
pub(crate) fn steadfast(
    upstreams: &[SocketAddr],
    calls: &Calls,
) -> Result<(Backend, Vec<Circuit>), Failure> {
    let circuits = NAMES.into_iter().map(circuit).collect::<Result<Vec<_>, _>>()?;
    let mut members = Vec::new();
    for (sender, circuit) in senders(upstreams, calls).zip(&circuits) {
        // What takes twice as long as the slowest of a hundred is not coming; and callers wait a
        // second at most.
        let timeout =
            TimeoutLayer::adaptive(Duration::from_millis(50), Duration::from_millis(300))?;
        let stack = ServiceBuilder::new()
            .layer(BreakerLayer::new(circuit.clone()).http())
            .layer(timeout.http())
            // An answer that breaks off is a failure like any other.
            .layer(CollectLayer::new(64 * 1024));
        members.push(guard(stack).layer(sender));
    }
    // The next attempt goes to another upstream, so there is little to wait for.
    let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(100))?;
    let retry =
        RetryLayer::new(RetryConfig::new().backoff(backoff.with_jitter(Jitter::Equal))).http();
    let service = retry.layer(RoundRobin::new(members)).map_err(BoxError::from);
    Ok((BoxCloneSyncService::new(service.map_response(IntoResponse::into_response)), circuits))
}

fn circuit(name: char) -> Result<Circuit, Failure> {
    // Short: callers do not wait for the upstream to come back, the others serve them.
    let open_time = OpenTime::exponential(Duration::from_secs(1), Duration::from_millis(1500))?;
    let config = CircuitConfig::new()
        .named(name.to_string())
        .consecutive_failures(const { NonZeroU32::new(5).expect("five is not zero") })
        .open_time(open_time)
        // One request at a time is risked on an upstream that has failed.
        .probes(NonZeroU32::MIN, NonZeroU32::MIN)
        // Not ready while open, so that the round robin passes it over.
        .on_open(OnOpen::NotReady);
    Ok(Circuit::new(config)?)
}
