//! How suspicion grows with silence, in three words.

use crate::{
    Distribution,
    distribution::{elapsed_at, standardised},
};

/// How suspicion grows with the silence since the last heartbeat: plain data that readers copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) shape: Shape,
    /// Seconds of silence where the normal and the logistic distribution have their mean, where the
    /// exponential one or a margin begins. At least 0, but for a margin that began before the last
    /// heartbeat came.
    pub(crate) location: f64,
    /// Seconds: the standard deviation, the mean of an exponential distribution, or the margin.
    /// At least 0; at 0 the curve is a step.
    pub(crate) scale: f64,
}

/// The form of a curve. It belongs to the configuration and never changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// φ of a distribution, at most `cap`.
    Phi { distribution: Distribution, cap: f64 },
    /// Multiples of the margin: 1 at the deadline.
    Margin,
}

impl Curve {
    /// The suspicion after so many seconds of silence: from 0 to `f64::MAX`, never NaN. Negative
    /// seconds count as none.
    pub(crate) fn phi(&self, silence: f64) -> f64 {
        self.shape.phi(standardised(silence.max(0.0), self.location, self.scale))
    }

    /// After how many seconds of silence the suspicion reaches `phi`; `None` if it never does.
    ///
    /// Rounded, as [`phi`](Self::phi) is: φ of this silence can be less than `phi` by its last
    /// digits. What is due is therefore decided by this silence, never by comparing φ with a
    /// threshold, or a timer that fires at it finds nothing due and is set to the same instant
    /// again.
    pub(crate) fn silence(&self, phi: f64) -> Option<f64> {
        self.shape.score(phi).map(|score| self.silence_at(score))
    }

    /// The same from the [score](Shape::score) of `phi`: a multiplication and an addition.
    pub(crate) fn silence_at(&self, score: f64) -> f64 {
        elapsed_at(score, self.location, self.scale)
    }
}

impl Shape {
    /// How many scales beyond the location the suspicion reaches `phi`; `None` if it never does.
    /// The same for every curve of this shape, so the owner of a threshold calculates it once.
    pub(crate) fn score(self, phi: f64) -> Option<f64> {
        match self {
            Self::Phi { cap, .. } if phi > cap => None,
            Self::Phi { distribution, .. } => Some(distribution.score(phi)),
            Self::Margin if phi > 0.0 => Some(phi),
            Self::Margin => Some(f64::NEG_INFINITY),
        }
    }

    fn phi(self, score: f64) -> f64 {
        match self {
            Self::Phi { distribution, cap } => distribution.phi_at(score).min(cap),
            Self::Margin => score.clamp(0.0, f64::MAX),
        }
    }
}
