//! Tests of the crate from outside.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use steadfast_phi::{Detector, DetectorConfig, Peer, Status};

mod contract;
mod heartbeats;
mod hostile;
#[cfg(feature = "load")]
mod load;
#[cfg(feature = "metrics")]
mod metrics;
mod prober;
mod shape;
mod streams;
mod suspect;

mod detector;

const MS: Duration = Duration::from_millis(1);

/// With the defaults.
fn peer() -> Peer {
    Peer::new(DetectorConfig::default()).unwrap()
}

/// A history: fifty heartbeats, one in 100 ms.
async fn beats<K: Eq + std::hash::Hash + Clone>(peer: &Peer<K>) {
    for _ in 0..50 {
        peer.heartbeat();
        tokio::time::advance(100 * MS).await;
    }
    peer.heartbeat();
}

/// Is silent until this is held of the peer.
async fn silence_after<K: Eq + std::hash::Hash + Clone>(peer: &Peer<K>, status: Status) {
    for _ in 0..100_000 {
        if peer.status() == status {
            return;
        }
        tokio::time::advance(10 * MS).await;
    }
    panic!("never {status:?}");
}

/// One that was heard of, and is no more.
async fn convicted() -> Peer {
    let peer = peer();
    beats(&peer).await;
    silence_after(&peer, Status::Convicted).await;
    peer
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_convicted_and_one_that_beats_is_trusted() {
    let detector = Detector::new(DetectorConfig::default()).unwrap();
    for _ in 0..100 {
        detector.heartbeat(&"a").unwrap();
        detector.heartbeat(&"b").unwrap();
        tokio::time::advance(100 * MS).await;
    }
    for _ in 0..100 {
        detector.heartbeat(&"a").unwrap();
        tokio::time::advance(100 * MS).await;
    }
    assert_eq!(detector.status(&"a"), Status::Trusted);
    assert_eq!(detector.dead(), ["b"]);
}
