//! How suspicion grows with silence, in three words.

use crate::Distribution;

/// How suspicion grows with the silence since the last heartbeat: plain data that readers copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) shape: Shape,
    /// Seconds of silence where the distribution has its mean, or where an exponential one or a
    /// margin begins. At least 0, but for a margin that began before the last heartbeat came.
    pub(crate) location: f64,
    /// Seconds: the standard deviation, the mean of an exponential distribution, or the margin.
    /// Above 0.
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
    /// The suspicion after so many seconds of silence. Negative ones count as none.
    pub(crate) fn phi(&self, silence: f64) -> f64 {
        match self.shape {
            Shape::Phi { distribution: Distribution::Exponential, cap } => {
                let beyond = (silence - self.location).max(0.0);
                Distribution::Exponential.phi(beyond, self.scale, self.scale).min(cap)
            }
            Shape::Phi { distribution, cap } => {
                distribution.phi(silence.max(0.0), self.location, self.scale).min(cap)
            }
            Shape::Margin => ((silence - self.location) / self.scale).max(0.0),
        }
    }

    /// After how many seconds of silence the suspicion reaches `phi`; `None` if it never does.
    pub(crate) fn silence(&self, phi: f64) -> Option<f64> {
        match self.shape {
            Shape::Phi { cap, .. } if phi > cap => None,
            Shape::Phi { distribution: Distribution::Exponential, .. } => {
                let beyond = Distribution::Exponential.elapsed(phi, self.scale, self.scale);
                Some((self.location + beyond).max(0.0))
            }
            Shape::Phi { distribution, .. } => {
                Some(distribution.elapsed(phi, self.location, self.scale).max(0.0))
            }
            Shape::Margin => Some((self.location + phi * self.scale).max(0.0)),
        }
    }
}
