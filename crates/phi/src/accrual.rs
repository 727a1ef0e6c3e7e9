//! φ of one peer.

use std::time::{Duration, Instant};

use steadfast_core::ConfigError;

use crate::{
    PhiConfig,
    curve::{Curve, Shape},
};

/// A φ-accrual detector of one peer. It reads no clock.
#[derive(Clone, Debug)]
pub struct PhiAccrual {
    config: PhiConfig,
    last: Option<Instant>,
    intervals: f64,
    samples: f64,
}

impl PhiAccrual {
    /// No heartbeat was heard yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: PhiConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, last: None, intervals: 0.0, samples: 0.0 })
    }

    /// A heartbeat arrived `now`.
    pub fn heartbeat(&mut self, now: Instant) {
        self.hear(now, true);
    }

    /// A heartbeat arrived; whether the time since the last one is a sample.
    pub(crate) fn hear(&mut self, now: Instant, is_sample: bool) {
        if let Some(last) = self.last
            && is_sample
        {
            self.intervals += now.saturating_duration_since(last).as_secs_f64();
            self.samples += 1.0;
        }
        self.last = Some(now);
    }

    /// The suspicion `now`; 0 before the first heartbeat.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        self.curve().phi(now.saturating_duration_since(last).as_secs_f64())
    }

    /// When φ reaches `threshold` if no heartbeat arrives; `None` before the first one, and for
    /// thresholds above the cap.
    #[must_use]
    pub fn suspect_at(&self, threshold: f64) -> Option<Instant> {
        let silence = self.curve().silence(threshold)?;
        self.last?.checked_add(Duration::try_from_secs_f64(silence).ok()?)
    }

    pub(crate) fn curve(&self) -> Curve {
        let mean = if self.samples > 0.0 {
            self.intervals / self.samples
        } else {
            self.config.first_interval.as_secs_f64()
        };
        let shape = Shape::Phi { distribution: self.config.distribution, cap: f64::INFINITY };
        Curve { shape, location: mean.max(1e-6), scale: mean.max(1e-6) }
    }
}
