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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::normal;

    /// Akka's `PhiAccrualFailureDetector.phi`, as it is written there.
    fn akka(elapsed: f64, mean: f64, deviation: f64) -> f64 {
        let y = (elapsed - mean) / deviation;
        let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
        if elapsed > mean { -(e / (1.0 + e)).log10() } else { -(1.0 - 1.0 / (1.0 + e)).log10() }
    }

    #[test]
    fn phi_is_akkas_where_akkas_is_sound() {
        for i in -20..=110 {
            let elapsed = 1_000.0 + 10.0 * f64::from(i);
            let (ours, theirs) = (phi((elapsed - 1_000.0) / 100.0), akka(elapsed, 1_000.0, 100.0));
            assert!((ours / theirs - 1.0).abs() < 1e-13, "{ours}, {theirs} at {elapsed}");
        }
    }

    #[test]
    fn phi_is_finite_where_akkas_is_infinite_and_above_0_where_akkas_is_0() {
        assert!(akka(4_000.0, 1_000.0, 100.0).is_infinite());
        assert!((phi(30.0) - 848.26832).abs() < 1e-3, "{}", phi(30.0));
        assert_eq!(akka(200.0, 1_000.0, 100.0), 0.0);
        assert!(phi(-8.0) > 0.0);
        assert!(phi(1e100).is_finite());
    }

    #[test]
    fn phi_is_within_1e_13_of_the_table() {
        for row in include_str!("../../numerics/normal.csv").lines().skip(1) {
            let row: Vec<f64> = row.split(',').map(|number| number.parse().unwrap()).collect();
            let score = (row[0] - row[1]) / row[2];
            assert!((phi(score) / row[4] - 1.0).abs() < 1e-13, "{} at {score}", phi(score));
            let back = self::score(row[4]);
            assert!((back - score).abs() < 1e-13 * score.abs().max(1.0), "{back} for {score}");
        }
    }

    #[test]
    fn akkas_8_is_7_06_and_its_16_is_12_27() {
        for (ours, truth) in [(8.0, 7.06), (16.0, 12.27)] {
            let exact = normal::phi(score(ours));
            assert!((exact - truth).abs() < 0.005, "{exact}");
        }
    }

    #[test]
    fn the_probability_is_within_1_4e_4_of_the_normal_one() {
        let later = |phi: f64| 10f64.powf(-phi);
        let apart = |i: i32| {
            let score = f64::from(i) / 1_000.0;
            (later(phi(score)) - later(normal::phi(score))).abs()
        };
        let most = (-8_000..8_000).map(apart).fold(0.0, f64::max);
        assert!((1.3e-4..1.45e-4).contains(&most), "{most}");
    }
}
