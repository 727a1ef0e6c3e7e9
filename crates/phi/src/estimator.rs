//! One of the detectors, behind one face for the detector of many peers.
#![cfg_attr(not(feature = "tokio"), allow(dead_code))]

use std::time::Instant;

use crate::{Calibration, Heard, Heartbeat, MarginDetector, PhiAccrual, curve::Curve};

/// A detector of one peer, of any method.
#[derive(Clone, Debug)]
pub(crate) enum Estimator {
    Phi(PhiAccrual),
    Margin(MarginDetector),
}

/// What the observer knows of a heartbeat that the heartbeat does not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// The peer is convicted, or its conviction is due.
    pub(crate) convicted: bool,
    /// This process stood still since the last heartbeat: the interval is its own pause.
    pub(crate) paused: bool,
}

impl Estimator {
    /// A heartbeat arrived at `at`.
    pub(crate) fn heartbeat(
        &mut self,
        heartbeat: Heartbeat,
        at: Instant,
        circumstances: Circumstances,
    ) -> Heard {
        match self {
            Self::Phi(phi) => phi.hear(heartbeat, at, circumstances),
            Self::Margin(margin) => margin.hear(heartbeat, at, circumstances),
        }
    }

    /// How suspicion grows with the silence since the last heartbeat.
    pub(crate) fn curve(&self) -> Curve {
        match self {
            Self::Phi(phi) => phi.curve(),
            Self::Margin(margin) => margin.curve(),
        }
    }

    /// What the calibration has to show, if there is one.
    pub(crate) fn calibration(&self) -> Option<Calibration> {
        match self {
            Self::Phi(_) => None,
            Self::Margin(margin) => margin.calibration(),
        }
    }
}
