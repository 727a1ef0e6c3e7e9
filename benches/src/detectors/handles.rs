//! The handle of one peer, which reads the clock at each event.

use std::{
    hint::black_box,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures::Stream;
use steadfast_core::TimeSource;
use steadfast_phi::{
    DetectorConfig, Heartbeat, MarginConfig, Method, Peer, PhiConfig, Transitions,
};

use crate::{
    detectors::{
        CLOCK,
        alone::{calibrated, last_arrival},
        beats::PERIOD,
    },
    row::{Family, Group, Row},
    subject::Function,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![row(Family::Reference, CLOCK, || TimeSource::Tokio.now())];
    rows.extend(heartbeats());
    rows.extend(questions());
    rows
}

fn row<T>(
    family: Family,
    name: &'static str,
    act: impl FnMut() -> T + Clone + Send + 'static,
) -> Row {
    let mut act = act;
    let subject = Function(move |_| {
        black_box(act());
        true
    });
    Row::new(family, Group::Detector, name, Box::new(subject)).over(CLOCK)
}

fn peer(method: impl Into<Method>) -> Peer {
    Peer::new(DetectorConfig::new(method)).expect("the configuration is valid")
}

fn heartbeats() -> Vec<Row> {
    let two_windows = MarginConfig::two_windows(PERIOD, calibrated());
    vec![
        hears("Peer::heartbeat, φ, window of 1,000", peer(PhiConfig::new())),
        hears("Peer::heartbeat, φ, constant memory", peer(PhiConfig::new().decaying(1000))),
        hears("Peer::heartbeat, last arrival, calibrated", peer(last_arrival(calibrated()))),
        numbered("Peer::heartbeat, 2W, calibrated", peer(two_windows)),
        watched("Peer::heartbeat, φ, transitions awaited", peer(PhiConfig::new())),
    ]
}

fn hears(name: &'static str, peer: Peer) -> Row {
    row(Family::Ours, name, move || peer.heartbeat())
}

/// Two threads find some of their heartbeats stale.
fn numbered(name: &'static str, peer: Peer) -> Row {
    let mut number = 0;
    row(Family::Ours, name, move || {
        number += 1;
        peer.heartbeat_with(Heartbeat::new().sequence(number))
    })
}

/// A task waits for transitions, and none comes.
fn watched(name: &'static str, peer: Peer) -> Row {
    let mut transitions = peer.transitions();
    peer.heartbeat();
    wait(&mut transitions);
    let transitions = Arc::new(Mutex::new(transitions));
    row(Family::Ours, name, move || {
        let heard = peer.heartbeat();
        black_box(&transitions);
        heard
    })
}

fn questions() -> Vec<Row> {
    let peer = peer(PhiConfig::new());
    (0..1000).for_each(|_| {
        peer.heartbeat();
    });
    let (phi, status, snapshot) = (peer.clone(), peer.clone(), peer);
    vec![
        row(Family::Ours, "Peer::phi", move || phi.phi()),
        row(Family::Ours, "Peer::status", move || status.status()),
        row(Family::Ours, "Peer::snapshot", move || snapshot.snapshot()),
    ]
}

/// Polls a stream until it has nothing to say, as a task that awaits it does.
pub(super) fn wait<K>(transitions: &mut Transitions<K>)
where
    Transitions<K>: Stream + Unpin,
{
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = Pin::new(&mut *transitions).poll_next(&mut cx) {}
}
