//! What a Prometheus exporter shows.

use std::collections::BTreeMap;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use steadfast_phi::{Detector, DetectorConfig, Margin, MarginConfig, Peer, Status};
use tokio::time::{advance, sleep};

use crate::MS;

/// Convicted after 400 ms of silence, suspected after 200.
fn config() -> DetectorConfig {
    DetectorConfig::new(MarginConfig::last_arrival(100 * MS, Margin::Constant(400 * MS)))
        .named("members")
}

fn recorded(test: impl AsyncFnOnce(&PrometheusHandle)) -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(test(&handle)));
    handle
}

/// The values of a metric by its last label, those that are zero left out.
fn values(handle: &PrometheusHandle, metric: &str) -> BTreeMap<String, u32> {
    let start = format!("{metric}{{phi=\"members\"");
    let text = handle.render();
    let lines = text.lines().filter_map(|line| line.strip_prefix(&start));
    let values = lines.map(|line| {
        let (label, value) = line.split_once("} ").unwrap();
        let label = label.split('"').nth(1).unwrap_or_default();
        (label.to_owned(), value.parse().unwrap())
    });
    values.filter(|&(_, value)| value != 0).collect()
}

fn expected<const N: usize>(values: [(&str, u32); N]) -> BTreeMap<String, u32> {
    values.map(|(label, value)| (label.to_owned(), value)).into()
}

const PEERS: &str = "steadfast_phi_peers";
const TRANSITIONS: &str = "steadfast_phi_transitions_total";
const PAUSES: &str = "steadfast_phi_local_pauses_total";

#[test]
fn peers_are_shown_by_status_and_given_back_with_the_last_handle() {
    let after = recorded(async |handle| {
        let shown = || values(handle, PEERS);
        let detector: Detector<u32> = Detector::new(config()).unwrap();
        let mut transitions = detector.transitions();
        let silent = detector.peer(&0).unwrap();
        assert_eq!(shown(), expected([("unknown", 1)]));
        (1..=3).for_each(|key| _ = detector.heartbeat(&key).unwrap());
        assert_eq!(shown(), expected([("unknown", 1), ("trusted", 3)]));
        let task = tokio::spawn(async move {
            while futures::StreamExt::next(&mut transitions).await.is_some() {}
        });
        // The first two beat on.
        for _ in 0..3 {
            sleep(100 * MS).await;
            (1..=2).for_each(|key| _ = detector.heartbeat(&key).unwrap());
        }
        assert_eq!(shown(), expected([("unknown", 1), ("trusted", 2), ("suspected", 1)]));
        sleep(150 * MS).await;
        assert_eq!(shown(), expected([("unknown", 1), ("trusted", 2), ("convicted", 1)]));
        assert_eq!(
            values(handle, TRANSITIONS),
            expected([("trusted", 3), ("suspected", 1), ("convicted", 1)])
        );
        // Each status is left by what is forgotten in it, and what is left of a peer shows nothing.
        let old = detector.get(&2).unwrap();
        for (key, left) in [
            (3, expected([("unknown", 1), ("trusted", 2)])),
            (2, expected([("unknown", 1), ("trusted", 1)])),
            (0, expected([("trusted", 1)])),
        ] {
            assert!(detector.forget(&key) && !detector.forget(&key));
            assert_eq!(shown(), left);
        }
        for left in [&old, &silent] {
            left.heartbeat();
        }
        sleep(1000 * MS).await;
        for left in [&old, &silent] {
            left.heartbeat();
        }
        assert_eq!(shown(), expected([("convicted", 1)]));
        // Two detectors of one name add up.
        let other = Detector::new(config()).unwrap();
        other.heartbeat(&"a").unwrap();
        assert_eq!(shown(), expected([("trusted", 1), ("convicted", 1)]));
        drop(other);
        assert_eq!(shown(), expected([("convicted", 1)]));
        let clone = detector.clone();
        task.abort();
        assert!(task.await.is_err());
        drop((detector, old, silent));
        assert_eq!(shown(), expected([("convicted", 1)]), "a handle is left");
        drop(clone);
        assert_eq!(shown(), expected([]));
    });
    assert_eq!(values(&after, TRANSITIONS)["convicted"], 2, "what was counted stays");
}

#[test]
fn a_peer_alone_is_shown_from_its_first_heartbeat_and_its_silence_when_it_is_noted() {
    recorded(async |handle| {
        let peer = Peer::new(config()).unwrap();
        assert_eq!(values(handle, PEERS), expected([]));
        peer.heartbeat();
        assert_eq!(values(handle, PEERS), expected([("trusted", 1)]));
        advance(1000 * MS).await;
        // No task reads a stream: its last heartbeat's is the last that is shown.
        assert_eq!(peer.status(), Status::Convicted);
        assert_eq!(values(handle, PEERS), expected([("trusted", 1)]));
        peer.heartbeat();
        assert_eq!(values(handle, PEERS), expected([("suspected", 1)]));
        assert_eq!(
            values(handle, TRANSITIONS),
            expected([("trusted", 1), ("suspected", 2), ("convicted", 1)])
        );
        let clone = peer.clone();
        drop(peer);
        assert_eq!(values(handle, PEERS), expected([("suspected", 1)]));
        drop(clone);
        assert_eq!(values(handle, PEERS), expected([]));
    });
}

#[test]
fn each_local_pause_is_counted_once() {
    recorded(async |handle| {
        let detector = Detector::new(config()).unwrap();
        let mut transitions = detector.transitions();
        let task = tokio::spawn(async move {
            while futures::StreamExt::next(&mut transitions).await.is_some() {}
        });
        for pauses in 1..=3 {
            (0..10).for_each(|key| _ = detector.heartbeat(&key).unwrap());
            sleep(10 * MS).await;
            advance(5000 * MS).await;
            (0..10).for_each(|key| _ = detector.heartbeat(&key).unwrap());
            assert_eq!(values(handle, PAUSES), expected([("", pauses)]));
            assert_eq!(values(handle, PEERS), expected([("trusted", 10)]));
        }
        task.abort();
    });
}
