//! The client with Steadfast: retry → choose an upstream → its breaker → its timeout → the client.
//! The layers and their numbers are those of the README's first example, but for the open time.

use std::{net::SocketAddr, time::Duration};

use axum::response::IntoResponse;
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OnOpen, OpenTime},
    guard,
    http::CollectLayer,
    retry::RetryLayer,
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
        let timeout = TimeoutLayer::adaptive(Duration::from_millis(10), Duration::from_secs(5))?;
        let stack = ServiceBuilder::new()
            .layer(BreakerLayer::new(circuit.clone()).http())
            .layer(timeout.http())
            // An answer that breaks off is a failure like any other.
            .layer(CollectLayer::new(64 * 1024));
        members.push(guard(stack).layer(sender));
    }
    let retry = RetryLayer::default().http();
    let service = retry.layer(RoundRobin::new(members)).map_err(BoxError::from);
    Ok((BoxCloneSyncService::new(service.map_response(IntoResponse::into_response)), circuits))
}

fn circuit(name: char) -> Result<Circuit, Failure> {
    // 1 to 1.5 s instead of 5 to 60: the others serve while an upstream is tried again, and one
    // that is back shall not stand idle.
    let open_time = OpenTime::exponential(Duration::from_secs(1), Duration::from_millis(1500))?;
    let config = CircuitConfig::new()
        .named(name.to_string())
        .open_time(open_time)
        // Not ready while open, so that the round robin passes it over.
        .on_open(OnOpen::NotReady);
    Ok(Circuit::new(config)?)
}
