//! The contract of every layer.

use steadfast_phi::{HeartbeatLayer, OnConvicted, SuspectLayer};
use steadfast_testkit::contract;
use tower::Layer;

use crate::peer;

#[test]
fn the_heartbeat_layer_keeps_the_contract() {
    contract::suite(|probe| HeartbeatLayer::new(peer()).layer(probe));
}

#[test]
fn the_suspect_layer_keeps_the_contract() {
    contract::suite(|probe| SuspectLayer::new(peer()).layer(probe));
}

#[test]
fn a_suspect_layer_for_balancers_keeps_the_contract() {
    let layer = || SuspectLayer::new(peer()).on_convicted(OnConvicted::NotReady);
    contract::suite(|probe| layer().layer(probe));
}

#[test]
fn both_layers_of_one_peer_keep_the_contract() {
    contract::suite(|probe| {
        let peer = peer();
        let suspect = SuspectLayer::new(peer.clone()).on_convicted(OnConvicted::NotReady);
        suspect.layer(HeartbeatLayer::new(peer).layer(probe))
    });
}
