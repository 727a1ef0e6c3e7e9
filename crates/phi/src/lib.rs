// Its examples take these features.
#![cfg_attr(any(not(doctest), feature = "tokio"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accrual;
mod calibration;
mod curve;
mod decaying;
mod distribution;
mod estimator;
mod expected;
mod heard;
mod heartbeat;
mod margin;
mod margin_config;
mod overtaken;
mod phi_config;
mod status;
mod suspicions;
mod units;
mod window;

#[cfg(feature = "tokio")]
mod admission;
#[cfg(feature = "tokio")]
mod config;
#[cfg(feature = "tokio")]
mod detector;
#[cfg(feature = "tokio")]
mod error;
#[cfg(feature = "tokio")]
mod heartbeats;
#[cfg(feature = "tokio")]
mod hub;
#[cfg(feature = "load")]
mod load;
#[cfg(feature = "tokio")]
mod peer;
#[cfg(feature = "tokio")]
mod prober;
#[cfg(feature = "tokio")]
mod snapshot;
#[cfg(feature = "tokio")]
mod suspect;
#[cfg(feature = "tokio")]
mod sync;
#[cfg(feature = "tokio")]
mod telemetry;
#[cfg(feature = "tokio")]
mod transitions;
#[cfg(feature = "tokio")]
mod trials;

#[cfg(feature = "load")]
pub use crate::load::SuspectLoad;
pub use crate::{
    accrual::PhiAccrual,
    calibration::{Calibration, MistakeRate},
    distribution::Distribution,
    heard::Heard,
    heartbeat::Heartbeat,
    margin::MarginDetector,
    margin_config::{Margin, MarginConfig},
    phi_config::{Outliers, PhiConfig, Prior},
    status::Status,
    suspicions::Suspicions,
};
#[cfg(feature = "tokio")]
pub use crate::{
    config::{DetectorConfig, Method},
    detector::Detector,
    error::{DetectorFull, Suspected},
    heartbeats::{HeartbeatLayer, Heartbeats, HeartbeatsFuture},
    peer::Peer,
    prober::{Prober, ProberConfig},
    snapshot::{DetectorSnapshot, PeerSnapshot},
    suspect::{OnConvicted, Suspect, SuspectFuture, SuspectLayer},
    transitions::{Transition, Transitions},
};
