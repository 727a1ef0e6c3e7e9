//! How a φ-accrual detector of one peer is made.

use std::time::Duration;

use steadfast_core::ConfigError;

use crate::Distribution;

/// How suspicion of one peer is calculated from the times between its heartbeats: plain data,
/// checked by [`PhiAccrual::new`](crate::PhiAccrual::new).
#[derive(Clone, Copy, Debug)]
#[must_use = "a configuration does nothing until a detector is made of it"]
pub struct PhiConfig {
    pub(crate) threshold: f64,
    pub(crate) distribution: Distribution,
    pub(crate) first_interval: Duration,
}

/// What becomes of an interval that does not look like the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outliers {
    /// It is a sample like any other.
    #[default]
    Keep,
}

impl PhiConfig {
    /// Threshold 8.
    pub const fn new() -> Self {
        Self {
            threshold: 8.0,
            distribution: Distribution::Normal,
            first_interval: Duration::from_secs(1),
        }
    }

    /// The φ at which the peer is convicted.
    pub const fn threshold(self, phi: f64) -> Self {
        Self { threshold: phi, ..self }
    }

    /// The distribution.
    pub const fn distribution(self, distribution: Distribution) -> Self {
        Self { distribution, ..self }
    }

    /// What the first interval is expected to be, before there are samples.
    pub const fn first_interval(self, interval: Duration) -> Self {
        Self { first_interval: interval, ..self }
    }

    /// Whether every number is in its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::require(
            self.threshold.is_finite() && self.threshold > 0.0,
            "threshold",
            self.threshold,
            "finite and above 0",
        )
    }
}

impl Default for PhiConfig {
    fn default() -> Self {
        Self::new()
    }
}
