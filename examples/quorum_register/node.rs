//! One node: for each key the value with the newest stamp, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use steadfast::{
    clock::{Hlc, HlcLayer, LwwRegister},
    http::respond,
};
use steadfast_chaos::process;
use steadfast_testkit::loopback;
use tokio::net::TcpListener;

use crate::{Failure, entry::Entry};

/// A node that is killed stays dead: started again, it would deny what it had acknowledged, and
/// reads and writes would no longer meet.
#[derive(Default)]
struct Node {
    hlc: Hlc,
    keys: Mutex<BTreeMap<String, LwwRegister<String>>>,
}

/// Serves until the parent is gone.
pub(crate) async fn serve() -> Result<(), Failure> {
    let node = Arc::new(Node::default());
    let stamped = respond(HlcLayer::new(node.hlc.clone()));
    serve_routes(
        Router::new().route("/keys/{key}", get(read).put(write)).with_state(node).layer(stamped),
    )
    .await
}

/// Serves `routes` on a free port until the parent is gone.
pub(crate) async fn serve_routes(routes: Router) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let (listener, address) = loopback()?;
    let listener = TcpListener::from_std(listener)?;
    process::announce_ready(address.port())?;
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn read(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
) -> Result<String, StatusCode> {
    let keys = node.keys.lock().expect("nothing panics while it is held");
    let register = keys.get(&key).ok_or(StatusCode::NOT_FOUND)?;
    let (stamp, value) = register.stamp().zip(register.value()).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Entry { stamp: *stamp, value: value.clone() }.to_string())
}

/// Takes a value unless it holds a newer one. Either way the write is in the past now, which is all
/// that its writer wants to know.
async fn write(
    State(node): State<Arc<Node>>,
    Path(key): Path<String>,
    body: String,
) -> Result<StatusCode, StatusCode> {
    let entry: Entry = body.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    // A stamp from the far future would win for ever. And once the clock has heard of a stamp,
    // every answer tells its reader's.
    node.hlc.merge(entry.stamp.time).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    let mut keys = node.keys.lock().expect("nothing panics while it is held");
    let _ = keys.entry(key).or_default().write(entry.stamp, entry.value);
    Ok(StatusCode::NO_CONTENT)
}
