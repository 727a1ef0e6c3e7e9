//! Detectors to weigh: how many bytes a peer takes.

use std::any::Any;

use steadfast_phi::{DetectorConfig, MarginConfig, Method, PhiConfig};

use crate::detectors::{
    PEERS,
    alone::{calibrated, constant_memory, last_arrival},
    beats::PERIOD,
    keyed::detector,
};

/// Something to weigh.
#[derive(Debug)]
pub struct Memory {
    /// What it is, as it stands in the table.
    pub name: &'static str,
    /// How many peers are in it.
    pub peers: usize,
    /// The most bytes that one of them may take.
    pub most: f64,
    method: Method,
    beats: u64,
}

impl Memory {
    /// Makes it: it weighs what is allocated meanwhile and not given back.
    #[must_use]
    pub fn fill(&self) -> Box<dyn Any> {
        Box::new(detector(DetectorConfig::new(self.method), self.beats))
    }
}

/// What there is to weigh. Windows are full.
#[must_use]
pub fn memory() -> Vec<Memory> {
    let new = |name, most, method: Method| Memory { name, peers: PEERS, most, method, beats: 1100 };
    let two_windows = MarginConfig::two_windows(PERIOD, calibrated());
    let small = |name, method| Memory { beats: 10, ..new(name, 256.0, method) };
    vec![
        new("φ, window of 1,000", 5120.0, PhiConfig::new().into()),
        new("2W, calibrated", 5120.0, two_windows.into()),
        small("φ, constant memory", PhiConfig::new().decaying(1000).into()),
        small("2W, calibrated, constant memory", constant_memory().into()),
        small("last arrival, calibrated", last_arrival(calibrated()).into()),
    ]
}
