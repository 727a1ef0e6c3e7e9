//! The logistic approximation of the normal distribution that Akka and Pekko use, in deviations
//! from the mean.
//!
//! P(later) = 1 / (1 + e^w) with w = y (1.5976 + 0.070566 y²), after Bowling and others (2009), "A
//! logistic approximation to the cumulative normal distribution". Akka's two branches are both
//! log10(1 + e^w): e / (1 + e) and 1 − 1 / (1 + e), with e = e^−w, are the same number, and the
//! second loses it to rounding where e^w is small. In the logarithm of the odds there is nothing to
//! lose, and nothing overflows where Akka's e becomes 0 and its φ infinite.

use std::f64::consts::{LN_2, LN_10, LOG10_E};

const LINEAR: f64 = 1.5976;
const CUBIC: f64 = 0.070566;

/// Beyond these odds the linear term is less than the rounding of the cubic one, and the closed
/// formula would overflow: the score is a cube root there.
const ONLY_CUBIC: f64 = 1e100;

/// φ at `score` deviations beyond the mean.
pub(super) fn phi(score: f64) -> f64 {
    let odds = odds(score);
    if odds > 0.0 {
        (odds + (1.0 + (-odds).exp()).ln()) * LOG10_E
    } else {
        odds.exp().ln_1p() * LOG10_E
    }
}

/// At how many deviations beyond the mean φ is reached, for φ above 0.
pub(super) fn score(phi: f64) -> f64 {
    let phi = (phi * LN_10).min(f64::MAX);
    let odds = if phi > LN_2 { phi + (-(-phi).exp()).ln_1p() } else { phi.exp_m1().ln() };
    if odds > ONLY_CUBIC {
        return odds.cbrt() / CUBIC.cbrt();
    }
    // y³ + p y = q has one real root for p > 0: 2 √(p/3) sinh(⅓ asinh(3q/2p · √(3/p))). No term is
    // the difference of two others, as it would be by Cardano's formula.
    let third = LINEAR / CUBIC / 3.0;
    let angle = (odds / CUBIC / (2.0 * third * third.sqrt())).asinh() / 3.0;
    let root = 2.0 * third.sqrt() * angle.sinh();
    // What the hyperbolic functions rounded, one step of Newton's puts right.
    root - (self::odds(root) - odds) / (LINEAR + 3.0 * CUBIC * root * root)
}

/// ln(P(later) / P(sooner)), negated: the logarithm of the odds that the heartbeat is overdue.
fn odds(score: f64) -> f64 {
    score * (LINEAR + CUBIC * score * score)
}
