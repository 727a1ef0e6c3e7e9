//! One of the detectors, behind one face for the detector of many peers.
#![cfg_attr(not(feature = "tokio"), allow(dead_code))]

use crate::{
    Calibration, Heard, Heartbeat, MarginConfig, PhiConfig,
    accrual::{PhiLearnt, PhiRules},
    curve::Curve,
    margin::{MarginLearnt, MarginRules},
};

/// What was learnt of one peer, by any method.
#[derive(Clone, Debug)]
pub(crate) enum Estimator {
    Phi(PhiLearnt),
    Margin(MarginLearnt),
}

/// What the method says of all peers: it stands once in a hub, not in each peer.
#[derive(Debug)]
pub(crate) enum Rules {
    Phi(PhiRules),
    Margin(MarginRules),
}

/// What the observer knows of a heartbeat that the heartbeat does not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// The peer is convicted, or its conviction is due.
    pub(crate) convicted: bool,
    /// This process stood still since the last heartbeat: the interval is its own pause.
    pub(crate) paused: bool,
}

impl Rules {
    /// Of a configuration that was checked; and what is known of a peer that was never heard.
    pub(crate) fn phi(config: &PhiConfig) -> (Self, Estimator) {
        (Self::Phi(PhiRules::new(config)), Estimator::Phi(PhiLearnt::new(config)))
    }

    /// The same of a margin.
    pub(crate) fn margin(config: &MarginConfig) -> (Self, Estimator) {
        let rules = MarginRules::new(config);
        let learnt = rules.begin(config);
        (Self::Margin(rules), Estimator::Margin(learnt))
    }
}

impl Estimator {
    /// A heartbeat arrived so many nanoseconds after the last one, `None` if it is the first.
    #[inline]
    pub(crate) fn heartbeat(
        &mut self,
        rules: &Rules,
        heartbeat: Heartbeat,
        since_ns: Option<u64>,
        circumstances: Circumstances,
    ) -> Heard {
        match (self, rules) {
            (Self::Phi(phi), Rules::Phi(rules)) => {
                let signed = since_ns.map(|ns| i64::try_from(ns).unwrap_or(i64::MAX));
                phi.hear(rules, heartbeat, signed, circumstances)
            }
            (Self::Margin(margin), Rules::Margin(rules)) => {
                margin.hear(rules, heartbeat, since_ns, circumstances)
            }
            _ => unreachable!("a hub has one method"),
        }
    }

    /// How suspicion grows with the silence since the last heartbeat.
    #[inline]
    pub(crate) fn curve(&self, rules: &Rules) -> Curve {
        match (self, rules) {
            (Self::Phi(phi), Rules::Phi(rules)) => phi.curve(rules),
            (Self::Margin(margin), Rules::Margin(rules)) => margin.curve(rules),
            _ => unreachable!("a hub has one method"),
        }
    }

    /// What the calibration has to show, if there is one.
    pub(crate) fn calibration(&self, rules: &Rules) -> Option<Calibration> {
        match (self, rules) {
            (Self::Margin(margin), Rules::Margin(rules)) => margin.calibration(rules),
            _ => None,
        }
    }
}
