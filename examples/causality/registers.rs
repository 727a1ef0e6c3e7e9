//! A node's registers: for each key the same writes twice, by wall clock and by hybrid time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
};
use steadfast::{
    WallClock,
    clock::{LwwRegister, NodeId, Received, Stamp},
};
use tokio::time::sleep;

use crate::node::Node;

/// What replication takes. A client is faster, so order must travel with it.
const LATENCY: Duration = Duration::from_millis(30);

/// What a node's clock said, in nanoseconds, and which node's it was.
type WallStamp = (u128, NodeId);

#[derive(Default)]
pub(crate) struct Registers {
    keys: Mutex<BTreeMap<String, Key>>,
    /// How many writes have not been told to a peer yet.
    under_way: AtomicUsize,
    /// Each time that two writes met, in the words of [`dropped`].
    dropped: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Key {
    by_wall: LwwRegister<String, WallStamp>,
    by_hlc: LwwRegister<String, Stamp>,
}

/// A client's write: stamped by both clocks, done at once here, and told to the others later.
/// Answers whether each register took it, the wall clock's first.
pub(crate) async fn write(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
    Extension(received): Extension<Received>,
    value: String,
) -> String {
    let stamp = Stamp::new(received.at, node.id);
    let wall =
        node.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let took = node.registers.adopt(&key, &value, (wall, node.id), stamp);
    for peer in node.peers() {
        let (node, peer, path) = (Arc::clone(&node), peer.clone(), format!("/replicas/{key}"));
        let body = format!("{wall} {} {value}", stamp.compact());
        node.registers.under_way.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            sleep(LATENCY).await;
            peer.put(&path, &body).await.expect("a peer takes what it is told");
            node.registers.under_way.fetch_sub(1, Ordering::SeqCst);
        });
    }
    took
}

/// Another node's write.
pub(crate) async fn replicate(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
    body: String,
) -> Result<String, StatusCode> {
    let mut words = body.splitn(3, ' ');
    let mut word = || words.next().ok_or(StatusCode::BAD_REQUEST);
    let wall = word()?.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let stamp: Stamp = word()?.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    // The stamp came in a body, not in the layers' header. One from too far ahead would win against
    // all that is written until then. A reading of the wall clock cannot be checked like that.
    node.hlc.merge(stamp.time).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    Ok(node.registers.adopt(&key, word()?, (wall, stamp.node), stamp))
}

/// What either register holds, the wall clock's first.
pub(crate) async fn read(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
) -> Result<String, StatusCode> {
    let keys = node.registers.keys.lock().expect("nothing panics while it is held");
    let key = keys.get(&key).ok_or(StatusCode::NOT_FOUND)?;
    let (Some(by_wall), Some(by_hlc)) = (key.by_wall.value(), key.by_hlc.value()) else {
        return Err(StatusCode::NOT_FOUND);
    };
    Ok(format!("{by_wall} {by_hlc}"))
}

pub(crate) async fn under_way(State(node): State<Arc<Node>>) -> String {
    node.registers.under_way.load(Ordering::SeqCst).to_string()
}

/// Of each two writes that met in a register of this node, a line: by which clock, the key, what
/// was dropped, and what was kept.
pub(crate) async fn dropped(State(node): State<Arc<Node>>) -> String {
    node.registers.dropped.lock().expect("nothing panics while it is held").join("\n")
}

impl Registers {
    fn adopt(&self, key: &str, value: &str, wall: WallStamp, stamp: Stamp) -> String {
        let mut keys = self.keys.lock().expect("nothing panics while it is held");
        let Key { by_wall, by_hlc } = keys.entry(key.to_owned()).or_default();
        let mut dropped = self.dropped.lock().expect("nothing panics while it is held");
        let mut put = |clock, (took, met): (bool, Option<[String; 2]>)| {
            dropped.extend(met.map(|[lost, kept]| format!("{clock} {key} {lost} {kept}")));
            took
        };
        format!(
            "{} {}",
            put("wall", meet(by_wall, wall, value)),
            put("hlc", meet(by_hlc, stamp, value))
        )
    }
}

/// Writes, and says whether it was taken, and if there was a value already, which of the two was
/// dropped and which kept.
fn meet<S: Ord>(
    register: &mut LwwRegister<String, S>,
    stamp: S,
    value: &str,
) -> (bool, Option<[String; 2]>) {
    let held = register.value().cloned();
    let took = register.write(stamp, value.to_owned());
    let met =
        held.map(|held| if took { [held, value.to_owned()] } else { [value.to_owned(), held] });
    (took, met)
}
