//! The layers round a service that is watched: for the section of the failure detectors.

use std::time::Duration;

use steadfast_phi::{DetectorConfig, HeartbeatLayer, Peer, PhiConfig, SuspectLayer};

use crate::row::Row;

/// The bare service of this table.
const BARE: &str = "bare service beside a peer";

pub(crate) fn rows() -> Vec<Row> {
    let bare = unguarded!(Reference, BARE, ());
    // Once heard of, a peer is trusted for as long as the program takes.
    let config = PhiConfig::new().acceptable_pause(Duration::from_secs(3600));
    let peer = || Peer::new(DetectorConfig::new(config)).expect("the configuration is valid");
    let (heard, trusted, both) = (peer(), peer(), peer());
    trusted.heartbeat();
    let mut rows = bare;
    rows.extend(unguarded!(Ours, "HeartbeatLayer", HeartbeatLayer::new(heard.clone())));
    rows.extend(unguarded!(Ours, "SuspectLayer", SuspectLayer::new(trusted.clone())));
    rows.extend(unguarded!(
        Ours,
        "SuspectLayer over HeartbeatLayer",
        (SuspectLayer::new(both.clone()), HeartbeatLayer::new(both.clone()))
    ));
    rows.into_iter().map(|row| row.over(BARE)).collect()
}
