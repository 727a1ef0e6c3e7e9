//! Detectors that wait for a margin beyond the expected arrival.

use std::time::{Duration, Instant};

use steadfast_core::ConfigError;

use crate::{
    Calibration, Heard, Heartbeat, MistakeRate,
    curve::{Curve, Shape},
};

/// How long beyond the expected arrival a peer may be silent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Margin {
    /// Always as long.
    Constant(Duration),
    /// As long as it takes to be wrong as often as asked.
    Calibrated(MistakeRate),
}

/// When the next heartbeat is expected, and how long beyond that a peer may be silent: plain data,
/// checked by [`MarginDetector::new`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a configuration does nothing until a detector is made of it"]
pub struct MarginConfig {
    pub(crate) margin: Margin,
    pub(crate) period: Duration,
}

impl MarginConfig {
    /// A fixed timeout: the margin counts from the last heartbeat. `period` is the time between
    /// heartbeats as they are sent.
    pub const fn last_arrival(period: Duration, margin: Margin) -> Self {
        Self { margin, period }
    }

    /// Chen's detector: the mean over a window of numbered heartbeats. Without numbers, as
    /// [`last_arrival`](Self::last_arrival).
    pub const fn chen(period: Duration, margin: Margin) -> Self {
        Self { margin, period }
    }

    /// 2W: the later of Chen's over a short and a long window. Without numbers, as
    /// [`last_arrival`](Self::last_arrival).
    pub const fn two_windows(period: Duration, margin: Margin) -> Self {
        Self { margin, period }
    }

    /// Whether every number is in its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::require(!self.period.is_zero(), "period", self.period, "above zero")
    }
}

/// A detector of one peer that waits for a margin beyond the expected arrival. It reads no clock.
#[derive(Clone, Debug)]
pub struct MarginDetector {
    config: MarginConfig,
    last: Option<Instant>,
}

impl MarginDetector {
    /// No heartbeat was heard yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: MarginConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, last: None })
    }

    /// A heartbeat arrived `now`.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat, now: Instant) -> Heard {
        let _ = heartbeat;
        let heard = match self.deadline() {
            None => Heard::First,
            Some(deadline) if now > deadline => Heard::Mistake,
            Some(_) => Heard::OnTime,
        };
        self.last = Some(now);
        heard
    }

    /// When the next heartbeat is expected.
    #[must_use]
    pub fn expected(&self) -> Option<Instant> {
        self.last
    }

    /// How long beyond that the peer may be silent.
    #[must_use]
    pub fn margin(&self) -> Duration {
        match self.config.margin {
            Margin::Constant(margin) => margin,
            Margin::Calibrated(_) => 2 * self.config.period,
        }
    }

    /// When the peer is convicted if no heartbeat arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.expected()?.checked_add(self.margin())
    }

    /// The suspicion `now`, in multiples of the margin: 1 at the deadline.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        self.curve().phi(now.saturating_duration_since(last).as_secs_f64())
    }

    /// When the suspicion reaches `threshold` if no heartbeat arrives.
    #[must_use]
    pub fn suspect_at(&self, threshold: f64) -> Option<Instant> {
        let silence = self.curve().silence(threshold)?;
        self.last?.checked_add(Duration::try_from_secs_f64(silence).ok()?)
    }

    /// What the calibration has to show; `None` where the margin is constant.
    #[must_use]
    pub fn calibration(&self) -> Option<Calibration> {
        None
    }

    pub(crate) fn curve(&self) -> Curve {
        Curve { shape: Shape::Margin, location: 0.0, scale: self.margin().as_secs_f64() }
    }
}
