//! One node: two registers for each key, and a commit log, on a clock that is wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, put},
};
use steadfast::{
    SystemWallClock, WallClock,
    clock::{
        BoundedClock, FixedBound, Hlc, HlcConfig, HlcLayer, LwwRegister, NodeId, PhysicalClock, Received, ShiftedClock,
        Stamp, Timestamp,
    },
    http::respond,
};
use steadfast_testkit::{loopback, process};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    Failure, SKEWS_MS,
    peer::{MAX_DRIFT, Peer},
};

/// ε: what the clocks are promised to be within, once they are set right.
pub(crate) const ERROR: Duration = Duration::from_millis(4);

/// What replication takes. A client is faster, so order must travel with it.
const LATENCY: Duration = Duration::from_millis(30);

type Clock = Arc<ShiftedClock<SystemWallClock>>;

/// What this node's clock said, in nanoseconds, and who it is.
type WallStamp = (u128, NodeId);

#[derive(Default)]
struct Key {
    by_wall: LwwRegister<String, WallStamp>,
    by_hlc: LwwRegister<String, Stamp>,
}

struct Node {
    id: NodeId,
    clock: Clock,
    bounded: BoundedClock<FixedBound, Clock>,
    client: Peer<Clock>,
    peers: OnceLock<Vec<Peer<Clock>>>,
    keys: Mutex<BTreeMap<String, Key>>,
    under_way: AtomicUsize,
    /// The last commit that may be seen.
    committed: AtomicU64,
}

/// Serves until the parent is gone.
pub(crate) async fn serve(id: &str) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let id: usize = id.parse()?;
    let skew = SKEWS_MS.get(id).ok_or("no such node")?;
    let clock = Arc::new(ShiftedClock::new(SystemWallClock).ahead_by_nanos(skew * 1_000_000));
    let hlc = Hlc::new(Arc::clone(&clock), HlcConfig::new().max_drift(MAX_DRIFT))?;
    let node = Arc::new(Node {
        id: NodeId(id as u64),
        bounded: BoundedClock::new(Arc::clone(&clock), FixedBound::new(ERROR)?),
        clock,
        client: Peer::with(hlc.clone()),
        peers: OnceLock::new(),
        keys: Mutex::default(),
        under_way: AtomicUsize::new(0),
        committed: AtomicU64::new(0),
    });
    let routes = Router::new()
        .route("/peers", put(peers))
        .route("/offset", put(offset))
        .route("/keys/{key}", put(write).get(read))
        .route("/replicas/{key}", put(replicate))
        .route("/under-way", get(under_way))
        .route("/commit/{wait}", put(commit))
        .route("/committed", get(committed))
        .with_state(node)
        .layer(respond(HlcLayer::new(hlc)));
    let (listener, address) = loopback()?;
    process::announce_ready(address.port())?;
    axum::serve(TcpListener::from_std(listener)?, routes).await?;
    Ok(())
}

async fn peers(State(node): State<Arc<Node>>, addresses: String) -> Result<(), StatusCode> {
    let peers = addresses.split(' ').map(|address| address.parse().map(|address| node.client.at(address)));
    let peers = peers.collect::<Result<_, _>>().map_err(|_| StatusCode::BAD_REQUEST)?;
    node.peers.set(peers).map_err(|_| StatusCode::CONFLICT)
}

/// Sets the node's clock to so many nanoseconds from the true time.
async fn offset(State(node): State<Arc<Node>>, nanos: String) -> Result<(), StatusCode> {
    node.clock.set_offset_nanos(nanos.parse().map_err(|_| StatusCode::BAD_REQUEST)?);
    Ok(())
}

/// A client's write: stamped by both clocks, done at once here, and told to the others later.
async fn write(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
    Extension(received): Extension<Received>,
    value: String,
) {
    let stamp = Stamp::new(received.at, node.id);
    let wall = node.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    node.adopt(&key, &value, (wall, node.id), stamp);
    for peer in node.peers.get().into_iter().flatten() {
        let (node, peer, path) = (Arc::clone(&node), peer.clone(), format!("/replicas/{key}"));
        let body = format!("{wall} {} {value}", stamp.compact());
        node.under_way.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            sleep(LATENCY).await;
            peer.put(&path, &body).await.expect("a peer takes what it is told");
            node.under_way.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Another node's write.
async fn replicate(State(node): State<Arc<Node>>, Path(key): Path<String>, body: String) -> Result<(), StatusCode> {
    let mut words = body.splitn(3, ' ');
    let mut word = || words.next().ok_or(StatusCode::BAD_REQUEST);
    let wall = word()?.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let stamp: Stamp = word()?.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    node.adopt(&key, word()?, (wall, stamp.node), stamp);
    Ok(())
}

/// What either register holds, the wall clock's first.
async fn read(State(node): State<Arc<Node>>, Path(key): Path<String>) -> Result<String, StatusCode> {
    let keys = node.keys.lock().expect("nothing panics while it is held");
    let key = keys.get(&key).ok_or(StatusCode::NOT_FOUND)?;
    let (Some(by_wall), Some(by_hlc)) = (key.by_wall.value(), key.by_hlc.value()) else {
        return Err(StatusCode::NOT_FOUND);
    };
    Ok(format!("{by_wall} {by_hlc}"))
}

async fn under_way(State(node): State<Arc<Node>>) -> String {
    node.under_way.load(Ordering::SeqCst).to_string()
}

/// Stamps a commit with the latest time it may be, and shows it: once that time has certainly passed, or at once.
async fn commit(State(node): State<Arc<Node>>, Path(wait): Path<bool>) -> Result<String, StatusCode> {
    let now = node.bounded.now().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let stamp = now.latest_stamp();
    if wait {
        node.bounded.commit_wait(stamp).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    node.committed.fetch_max(stamp.to_bits(), Ordering::SeqCst);
    Ok(stamp.compact().to_string())
}

/// What may be seen, and the true time in grains just after it was seen.
async fn committed(State(node): State<Arc<Node>>) -> String {
    let stamp = Timestamp::from_bits(node.committed.load(Ordering::SeqCst));
    format!("{} {}", stamp.compact(), SystemWallClock.physical().grains())
}

impl Node {
    fn adopt(&self, key: &str, value: &str, wall: WallStamp, stamp: Stamp) {
        let mut keys = self.keys.lock().expect("nothing panics while it is held");
        let key = keys.entry(key.to_owned()).or_default();
        // What has an old stamp is not written: that is all there is to it.
        let _ = key.by_wall.write(wall, value.to_owned());
        let _ = key.by_hlc.write(stamp, value.to_owned());
    }
}
