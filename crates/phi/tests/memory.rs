//! What a peer weighs, all told: the bytes that were allocated and not given back, by peer.
#![cfg(feature = "tokio")]
#![allow(clippy::cast_precision_loss, clippy::unwrap_used, reason = "a test")]

use std::{num::NonZeroUsize, time::Duration};

use steadfast_phi::{
    Detector, DetectorConfig, Heartbeat, Margin, MarginConfig, Method, MistakeRate, PhiConfig,
};

const PERIOD: Duration = Duration::from_millis(100);

fn calibrated() -> Margin {
    Margin::Calibrated(MistakeRate::once_in(Duration::from_secs(3_600)))
}

/// Bytes a peer, after so many heartbeats of each.
fn weight(method: impl Into<Method>, peers: usize, beats: u64) -> f64 {
    let config = DetectorConfig::new(method).capacity(NonZeroUsize::new(peers).unwrap());
    let mut detector = None;
    let allocated = allocation_counter::measure(|| {
        let made = detector.insert(Detector::new(config).unwrap());
        for beat in 0..beats {
            for key in 0..peers as u64 {
                made.heartbeat_with(&key, Heartbeat::new().sequence(beat)).unwrap();
            }
        }
    });
    assert_eq!(detector.unwrap().len(), peers);
    allocated.bytes_current as f64 / peers as f64
}

#[track_caller]
fn at_most(most: f64, name: &str, weight: f64) {
    println!("{name}: {weight:.1} bytes a peer");
    assert!(weight <= most, "{name}: {weight:.1} bytes a peer, {most} are asked");
}

#[test]
fn a_peer_of_constant_memory_takes_256_bytes_all_told() {
    const PEERS: usize = 100_000;
    let two_windows = MarginConfig::two_windows(PERIOD, calibrated()).weighted();
    at_most(256.0, "phi, decaying", weight(PhiConfig::new().decaying(1_000), PEERS, 2));
    at_most(256.0, "2W, weighted, calibrated", weight(two_windows, PEERS, 2));
    let last_arrival = MarginConfig::last_arrival(PERIOD, calibrated());
    at_most(256.0, "last arrival, calibrated", weight(last_arrival, PEERS, 2));
}

/// Each heartbeat of a row of quick ones brings the deadline nearer, and files the peer anew.
#[test]
fn a_deadline_that_comes_nearer_leaves_no_garbage_behind() {
    const PEERS: u64 = 10_000;
    let capacity = NonZeroUsize::new(PEERS as usize).unwrap();
    let config = DetectorConfig::new(PhiConfig::new().decaying(1_000)).capacity(capacity);
    let mut made = None;
    let allocated = allocation_counter::measure(|| {
        let detector = made.insert(Detector::new(config).unwrap());
        for key in 0..PEERS {
            for _ in 0..20 {
                detector.heartbeat(&key).unwrap();
            }
        }
    });
    at_most(256.0, "phi, decaying", allocated.bytes_current as f64 / PEERS as f64);
}

#[test]
fn a_peer_of_a_full_default_window_takes_5_kib_all_told() {
    const PEERS: usize = 2_000;
    let two_windows = MarginConfig::two_windows(PERIOD, calibrated());
    at_most(5_120.0, "phi, window of 1,000", weight(PhiConfig::new(), PEERS, 1_100));
    at_most(5_120.0, "2W, windows of 1,000", weight(two_windows, PEERS, 1_100));
}
