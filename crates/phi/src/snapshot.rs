//! State as plain data.

use std::time::Duration;

use crate::{Calibration, Status};

/// What a detector holds of one peer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerSnapshot {
    /// What is held of it.
    pub status: Status,
    /// The suspicion now.
    pub phi: f64,
    /// How long it has been silent; `None` before the first heartbeat.
    pub silence: Option<Duration>,
    /// Heartbeats heard.
    pub heartbeats: u64,
    /// Convictions that a heartbeat of the same incarnation refuted.
    pub mistakes: u64,
    /// Asked, observed, margin, where the margin is calibrated.
    pub calibration: Option<Calibration>,
}

/// A detector of many peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DetectorSnapshot {
    /// Peers watched.
    pub peers: usize,
    /// How many of them are not yet known.
    pub unknown: usize,
    /// How many of them are trusted.
    pub trusted: usize,
    /// How many of them are suspected.
    pub suspected: usize,
    /// How many of them are convicted.
    pub convicted: usize,
    /// Heartbeats heard, of the peers that are watched now.
    pub heartbeats: u64,
    /// Convictions of theirs that a heartbeat of the same incarnation refuted.
    pub mistakes: u64,
    /// How often this process was seen to have stood still, and convictions were put off.
    pub local_pauses: u64,
}
