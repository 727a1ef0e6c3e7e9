//! The exponential distribution, in units of its mean: Cassandra's.

use std::f64::consts::{LN_10, LOG10_E};

/// φ after `score` means: −log10 e^−x = x / ln 10. Without the ln 10 a threshold of 8 would stand
/// for a probability of 3.4e-4.
pub(super) fn phi(score: f64) -> f64 {
    (score * LOG10_E).max(0.0)
}

/// After how many means φ is reached.
pub(super) fn score(phi: f64) -> f64 {
    (phi * LN_10).min(f64::MAX)
}
