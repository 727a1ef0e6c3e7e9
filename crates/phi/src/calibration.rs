//! A margin that keeps a promised rate of mistakes.
//!
//! A distribution that is fitted to the times between heartbeats promises a rate it does not keep:
//! on a wide-area trace with bursts of loss, φ = 8 promises one mistake in 10⁸ heartbeats and makes
//! 8 in 10⁴. So nothing is fitted here. The rate itself is tracked: the logarithm of the margin m
//! rises by [`STEP`] at each mistake and falls by `STEP · rate` a unit of time. What rises and what
//! falls can only differ by what the margin has moved:
//!
//! ```text
//! mistakes − rate · time = ln(m / m₀) / STEP
//! ```
//!
//! This holds for every sequence of arrivals while m is within its bounds, whatever they are
//! distributed like and however they depend on each other. It is the online quantile rule that is
//! known from adaptive conformal inference (Gibbs and Candès, 2021), on a logarithmic scale because
//! margins range from milliseconds to minutes. A step of ½ takes 8 mistakes from 1 period to 60. Of
//! ¼, ½ and 1 it was the best on the traces: with ¼ the first day costs twice the mistakes, with 1
//! the margin swings so wide that detection takes longer.

use std::time::Duration;

use steadfast_core::ConfigError;

use crate::units::{nanoseconds, seconds};

/// How much the logarithm of the margin rises at a mistake.
pub(crate) const STEP: f64 = 0.5;

/// The longest span that a rate is asked for.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How often a detector may be wrong about one peer: once in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MistakeRate {
    span: Duration,
}

impl MistakeRate {
    /// One mistake in `span`, for each peer: above zero, at most ten years.
    ///
    /// The promise is kept over the long run, and a shorter history promises nothing: the first
    /// mistakes, 8 from a margin of 1 period to one of 60, are what the margin learns from. So one
    /// a day takes weeks to show; on its first day a detector makes as many as ten.
    ///
    /// What a rate costs depends on the network. On a wide-area link that loses heartbeats in
    /// bursts, one an hour takes 1 s of silence, and one a day 20 to 27 s: shorter bursts come more
    /// often than daily.
    #[must_use]
    pub const fn once_in(span: Duration) -> Self {
        Self { span }
    }

    /// The span in which one mistake is made.
    #[must_use]
    pub const fn span(&self) -> Duration {
        self.span
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::require(
            !self.span.is_zero() && self.span <= LONGEST,
            "once_in",
            self.span,
            "above zero and at most ten years",
        )
    }
}

/// What a calibrated margin has to show.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// Mistakes that were asked for, a second.
    pub asked: f64,
    /// Mistakes that were made, a second of the time watched; 0 before there was any. As far as
    /// it differs from what was asked, `margin` is still on its way.
    pub observed: f64,
    /// Mistakes that were made.
    pub mistakes: u64,
    /// How long the peer was watched: the times between heartbeats of one incarnation. The time
    /// in which a peer was gone before it came back as another does not count.
    pub watched: Duration,
    /// The margin now.
    pub margin: Duration,
    /// What the rate costs: how long after its last heartbeat a peer that is gone is convicted.
    pub detection: Duration,
}

/// The margin, with what it has learnt.
///
/// It falls at every heartbeat, by so little that it would be lost in rounding. So it is settled
/// only at mistakes and when it has fallen by [`SETTLES`], and what it fell since is calculated
/// from the integer sum of the time: no error adds up, and no heartbeat pays for a logarithm.
#[derive(Clone, Debug)]
pub(crate) struct Calibrator {
    watched_ns: u64,
    /// How much of the time watched the margin has fallen for, and seconds of it after that.
    settled_ns: u64,
    settled: f64,
    mistakes: u32,
}

/// What the margins of all peers are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Mistakes a second.
    rate: f64,
    /// Seconds.
    pub(crate) first: f64,
    floor: f64,
    ceiling: f64,
}

/// How far the logarithm falls before the margin is settled: so little that four terms of the
/// exponential series are exact to 10⁻¹³.
const SETTLES: f64 = 1e-3;

impl Asked {
    /// Learns from `first` on, and keeps the margin within the bounds: from 1 µs to an hour.
    pub(crate) fn new(
        rate: MistakeRate,
        first: Duration,
        floor: Duration,
        ceiling: Duration,
    ) -> Self {
        Self {
            rate: rate.span.as_secs_f64().recip(),
            first: first.as_secs_f64(),
            floor: floor.as_secs_f64(),
            ceiling: ceiling.as_secs_f64(),
        }
    }
}

impl Calibrator {
    /// Learns from `first` seconds on.
    pub(crate) const fn new(first: f64) -> Self {
        Self { watched_ns: 0, settled_ns: 0, settled: first, mistakes: 0 }
    }

    /// The peer was watched for `ns` more, and at the end of them a heartbeat was a mistake or not.
    pub(crate) fn watch(&mut self, asked: &Asked, ns: u64, mistake: bool) {
        self.watched_ns = self.watched_ns.saturating_add(ns);
        if mistake || self.fallen(asked) > SETTLES {
            self.settle(asked, mistake);
        }
    }

    /// In seconds.
    pub(crate) fn margin(&self, asked: &Asked) -> f64 {
        let x = self.fallen(asked);
        let kept = 1.0 - x * (1.0 - x * (0.5 - x / 6.0));
        (self.settled * kept).max(asked.floor)
    }

    /// What there is to show, where a peer that is gone is convicted after `detection` seconds.
    pub(crate) fn state(&self, asked: &Asked, detection: f64) -> Calibration {
        let watched = Duration::from_nanos(self.watched_ns);
        let observed = f64::from(self.mistakes) / watched.as_secs_f64();
        let span = |seconds| Duration::from_nanos(nanoseconds(seconds).unwrap_or(u64::MAX));
        Calibration {
            asked: asked.rate,
            observed: if watched.is_zero() { 0.0 } else { observed },
            mistakes: self.mistakes.into(),
            watched,
            margin: span(self.margin(asked)),
            detection: span(detection),
        }
    }

    #[cold]
    fn settle(&mut self, asked: &Asked, mistake: bool) {
        let steps = if mistake { STEP } else { 0.0 };
        let margin = self.settled * (steps - self.fallen(asked)).exp();
        self.settled = margin.clamp(asked.floor, asked.ceiling);
        self.settled_ns = self.watched_ns;
        self.mistakes = self.mistakes.saturating_add(mistake.into());
    }

    /// By how much the logarithm has fallen since the margin was settled.
    fn fallen(&self, asked: &Asked) -> f64 {
        STEP * asked.rate * seconds(self.watched_ns - self.settled_ns)
    }
}
