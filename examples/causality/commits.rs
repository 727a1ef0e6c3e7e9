//! A node's commit log, of which the last entry is shown.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use steadfast::{
    ConfigError, SystemWallClock,
    clock::{BoundedClock, FixedBound, PhysicalClock, Timestamp},
};

use crate::node::{Clock, ERROR, Node};

pub(crate) struct Commits {
    bounded: BoundedClock<FixedBound, Clock>,
    /// The last commit that may be seen.
    last: AtomicU64,
}

impl Commits {
    pub(crate) fn new(clock: Clock) -> Result<Self, ConfigError> {
        Ok(Self {
            bounded: BoundedClock::new(clock, FixedBound::new(ERROR)?),
            last: AtomicU64::new(0),
        })
    }
}

/// Stamps a commit with the latest time it may be, and shows it: once that time has certainly
/// passed, or at once.
pub(crate) async fn commit(
    State(node): State<Arc<Node>>,
    Path(wait): Path<bool>,
) -> Result<String, StatusCode> {
    let Commits { bounded, last } = &node.commits;
    let now = bounded.now().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let stamp = now.latest_stamp();
    if wait {
        bounded.commit_wait(stamp).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    last.fetch_max(stamp.to_bits(), Ordering::SeqCst);
    Ok(stamp.compact().to_string())
}

/// What may be seen, and the true time in grains just after it was seen.
pub(crate) async fn committed(State(node): State<Arc<Node>>) -> String {
    let stamp = Timestamp::from_bits(node.commits.last.load(Ordering::SeqCst));
    format!("{} {}", stamp.compact(), SystemWallClock.physical().grains())
}
