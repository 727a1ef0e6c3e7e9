//! A margin that keeps a promised rate of mistakes.

use std::time::Duration;

/// How often a detector may be wrong: once in a span of time, for each peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MistakeRate {
    pub(crate) every: Duration,
}

impl MistakeRate {
    /// One mistake in `span`.
    #[must_use]
    pub const fn once_in(span: Duration) -> Self {
        Self { every: span }
    }
}

/// What a calibrated margin has to show: asked, observed, margin.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// Mistakes asked for, a second.
    pub asked: f64,
    /// Mistakes seen, a second; 0 before there was time.
    pub observed: f64,
    /// Mistakes seen.
    pub mistakes: u64,
    /// How long the peer was watched.
    pub watched: Duration,
    /// The margin now.
    pub margin: Duration,
}
