//! One node: its clock, which is wrong, and what it serves.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, put},
};
use steadfast::{
    SystemWallClock,
    clock::{Hlc, HlcConfig, HlcLayer, NodeId},
    http::respond,
};
use steadfast_chaos::process;
use steadfast_testkit::{FaultyClock, loopback};
use tokio::net::TcpListener;

use crate::{
    Failure, SKEWS_MS,
    commits::{self, Commits},
    peer::{MAX_DRIFT, Peer},
    registers::{self, Registers},
};

/// ε: what the clocks are promised to be within, once they are set right.
pub(crate) const ERROR: Duration = Duration::from_millis(4);

pub(crate) type Clock = Arc<FaultyClock<SystemWallClock>>;

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) clock: Clock,
    pub(crate) hlc: Hlc<Clock>,
    pub(crate) registers: Registers,
    pub(crate) commits: Commits,
    peers: OnceLock<Vec<Peer<Clock>>>,
}

/// Serves until the parent is gone.
pub(crate) async fn serve(id: &str) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let id: usize = id.parse()?;
    let skew = SKEWS_MS.get(id).ok_or("no such node")?;
    let clock = Arc::new(FaultyClock::new(SystemWallClock).ahead_by_nanos(skew * 1_000_000));
    let hlc = Hlc::new(Arc::clone(&clock), HlcConfig::new().max_drift(MAX_DRIFT))?;
    let node = Arc::new(Node {
        id: NodeId(id as u64),
        registers: Registers::default(),
        commits: Commits::new(Arc::clone(&clock))?,
        clock,
        hlc: hlc.clone(),
        peers: OnceLock::new(),
    });
    let routes = Router::new()
        .route("/peers", put(peers))
        .route("/offset", put(offset))
        .route("/keys/{key}", put(registers::write).get(registers::read))
        .route("/replicas/{key}", put(registers::replicate))
        .route("/under-way", get(registers::under_way))
        .route("/dropped", get(registers::dropped))
        .route("/commit/{wait}", put(commits::commit))
        .route("/committed", get(commits::committed))
        .with_state(node)
        .layer(respond(HlcLayer::new(hlc)));
    let (listener, address) = loopback()?;
    process::announce_ready(address.port())?;
    axum::serve(TcpListener::from_std(listener)?, routes).await?;
    Ok(())
}

async fn peers(State(node): State<Arc<Node>>, addresses: String) -> Result<(), StatusCode> {
    let client = Peer::with(node.hlc.clone());
    let peers =
        addresses.split(' ').map(|address| address.parse().map(|address| client.at(address)));
    let peers = peers.collect::<Result<_, _>>().map_err(|_| StatusCode::BAD_REQUEST)?;
    node.peers.set(peers).map_err(|_| StatusCode::CONFLICT)
}

/// Sets the node's clock to so many nanoseconds from the true time.
async fn offset(State(node): State<Arc<Node>>, nanos: String) -> Result<(), StatusCode> {
    node.clock.set_offset_nanos(nanos.parse().map_err(|_| StatusCode::BAD_REQUEST)?);
    Ok(())
}

impl Node {
    /// The other nodes.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer<Clock>> {
        self.peers.get().into_iter().flatten()
    }
}
