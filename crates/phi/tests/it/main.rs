//! Tests of the crate from outside.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use steadfast_phi::{Detector, DetectorConfig, Status};
use tokio_test as _;

const MS: Duration = Duration::from_millis(1);

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
