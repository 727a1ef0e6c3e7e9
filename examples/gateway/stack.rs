//! The client with Steadfast: retry → choose an upstream → its breaker → its timeout → the client.
//! The layers and their numbers are those of the README's first example, but for the open time. And
//! round the client a failure detector listens to the answers: an upstream that is silent is passed
//! over before its breaker has seen enough to open.

use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, http, response::IntoResponse};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, OnOpen, OpenTime},
    guard,
    http::CollectLayer,
    phi::{DetectorConfig, HeartbeatLayer, Peer, PhiConfig, Prober, ProberConfig},
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

/// An upstream that was not heard for so long is asked whether it lives: often enough for one that
/// is back to be trusted soon, and seldom beside its requests.
const PROBE: Duration = Duration::from_millis(50);

/// A client, and what it knows of the upstreams.
pub(crate) struct Stack {
    pub(crate) backend: Backend,
    pub(crate) circuits: Vec<Circuit>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) probers: Vec<Prober>,
}

/// The same round robin over the same client as without Steadfast.
pub(crate) fn steadfast(upstreams: &[SocketAddr], calls: &Calls) -> Result<Stack, Failure> {
    let circuits = NAMES.into_iter().map(circuit).collect::<Result<Vec<_>, _>>()?;
    let peers = NAMES.into_iter().map(peer).collect::<Result<Vec<_>, _>>()?;
    let mut members = Vec::new();
    for ((sender, circuit), peer) in senders(upstreams, calls).zip(&circuits).zip(&peers) {
        let timeout = TimeoutLayer::adaptive(Duration::from_millis(10), Duration::from_secs(5))?;
        let stack = ServiceBuilder::new()
            .layer(BreakerLayer::new(circuit.clone()).http())
            .layer(timeout.http())
            // An answer that breaks off is a failure like any other.
            .layer(CollectLayer::new(64 * 1024))
            .layer(HeartbeatLayer::new(peer.clone()).http());
        members.push((guard(stack).layer(sender), peer.clone()));
    }
    let probers = probe(upstreams, &peers)?;
    let retry = RetryLayer::default().http();
    let service = retry.layer(RoundRobin::watched(members)).map_err(BoxError::from);
    let backend = BoxCloneSyncService::new(service.map_response(IntoResponse::into_response));
    Ok(Stack { backend, circuits, peers, probers })
}

/// Asks each upstream for an item when it is silent, past its breaker. These are not the calls that
/// are counted: they are for no caller. It goes on while the probers live.
fn probe(upstreams: &[SocketAddr], peers: &[Peer]) -> Result<Vec<Prober>, Failure> {
    let uncounted = Calls::default();
    let probed = senders::<Body>(upstreams, &uncounted).zip(peers).map(|(sender, peer)| {
        let stack = ServiceBuilder::new()
            .layer(CollectLayer::new(64 * 1024))
            .layer(HeartbeatLayer::new(peer.clone()).http());
        let question = || http::Request::get("/items/0").body(Body::empty()).expect("a path");
        let config = ProberConfig::new(PROBE).timeout(2 * PROBE);
        let prober = Prober::new(config, peer.clone())?;
        tokio::spawn(prober.run(guard(stack).layer(sender), question));
        Ok(prober)
    });
    probed.collect()
}

/// Silent for 150 ms is well, three probes or a hiccup of a busy machine. The time from one answer
/// to the next comes on top: some 10 ms, and as much again for how much that varies.
fn peer(name: &str) -> Result<Peer, Failure> {
    let phi = PhiConfig::new()
        .first_interval(PROBE)
        .minimum_deviation(Duration::from_millis(10))
        .acceptable_pause(Duration::from_millis(150));
    Ok(Peer::new(DetectorConfig::new(phi).named(name))?)
}

fn circuit(name: &str) -> Result<Circuit, Failure> {
    // 1 to 1.5 s instead of 5 to 60: the others serve while an upstream is tried again, and one
    // that is back shall not stand idle.
    let open_time = OpenTime::exponential(Duration::from_secs(1), Duration::from_millis(1500))?;
    let config = CircuitConfig::new()
        .named(name)
        .open_time(open_time)
        // Not ready while open, so that the round robin passes it over.
        .on_open(OnOpen::NotReady);
    Ok(Circuit::new(config)?)
}
