//! The normal distribution, in deviations from the mean.
//!
//! φ = −log10 Q(y), where Q(y) = ½ erfc(y / √2) is the probability to be later. Q itself is of no
//! use: calculated as 1 − CDF it is 0 from φ = 15.95 on, and erfc underflows at 38 deviations (φ =
//! 315). What makes φ steep is e^(−y²/2) on the left of the mean and y²/2 on the right. Both are
//! cheap and exact; what is left is smooth, and a quotient of two polynomials has it within 5e-15:
//!
//! | y | φ |
//! |---|---|
//! | up to −1.25 | −log10(1 − P), P = e^(−y²/2) · `MILLS`(−y), the probability to be sooner |
//! | up to 6 | y² / (2 ln 10) + `MIDDLE`(y) |
//! | beyond | (y²/2 + ln y) / ln 10 + `TAIL`(1/y²) |
//!
//! The usual way (`log1p` left of the mean, `erfc` to 5, beyond it 20 levels of the continued
//! fraction of the Mills ratio) is as exact and takes more divisions. The coefficients
//! are from `numerics/fit.py`, the table of the tests from `numerics/normal.py`. All coefficients
//! are above 0, so that no denominator has a zero to the right of the mean.

use std::f64::consts::{LN_2, LN_10, LOG10_E};

/// Up to here P is small enough for the series of the logarithm, and y²/2 would eat digits of φ.
const LEFT: f64 = -1.25;
/// From here on 1/y² is small enough for a short quotient.
const RIGHT: f64 = 6.0;
/// e^(−y²/2) is 0 as a double from here on.
const UNDERFLOW: f64 = 38.6;
/// ½ ln 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
/// Beyond this φ, y = √(2 φ ln 10) is right to the last digit but one.
const ONLY_SQUARE: f64 = 1e16;
/// Newton's method from the upper bound doubles its digits each step; the last ones may go up and
/// down by rounding, which this ends.
const STEPS: usize = 8;

/// Numerator and denominator of Q(z) e^(z²/2) for z from 1.25 to 38.6, within 2.4e-15.
const MILLS: ([f64; 8], [f64; 9]) = (
    [
        0.49999991969250024,
        0.7084059097375396,
        0.4903048376467814,
        0.21049958189834836,
        0.060233644340652495,
        0.011547414653474612,
        0.001395243879184894,
        8.655845077009018e-5,
    ],
    [
        1.0,
        2.2146952411947036,
        2.2476846819256697,
        1.3729975552222191,
        0.5561554763253823,
        0.15448070943637277,
        0.029162046020071757,
        0.0034973577564432023,
        0.0002169698601147832,
    ],
);

/// Numerator and denominator of φ − y² / (2 ln 10) for y from −1.25 to 6, within 4.6e-15 of φ.
const MIDDLE: ([f64; 10], [f64; 9]) = (
    [
        0.30102999566398025,
        0.6945874113629673,
        0.5241783379531272,
        0.2299125250346007,
        0.0634388105110485,
        0.011457193453252775,
        0.0012815042082703159,
        7.914755314896482e-5,
        1.686702040669749e-6,
        1.7921464342537716e-9,
    ],
    [
        1.0,
        1.1562653370895544,
        0.6724244046200555,
        0.24038542620818826,
        0.05657502640022073,
        0.008728165375881204,
        0.0008333298915541445,
        4.1687145432463174e-5,
        6.453712798811389e-7,
    ],
);

/// Numerator and denominator of φ − (y²/2 + ln y) / ln 10, by 1/y², for y from 6 on, within 2.5e-17
/// of φ.
const TAIL: ([f64; 5], [f64; 5]) = (
    [
        0.3990899341790866,
        12.069125600127887,
        107.8310604337212,
        315.8297285800634,
        221.76746173569316,
    ],
    [1.0, 29.15340659294783, 241.187824480325, 594.802790534493, 269.32493952264997],
);

/// φ at `score` deviations beyond the mean.
pub(super) fn phi(score: f64) -> f64 {
    if score > RIGHT {
        let small = 1.0 / (score * score);
        let rest = five_terms(&TAIL.0, small) / five_terms(&TAIL.1, small);
        (0.5 * score * score + score.ln()) * LOG10_E + rest
    } else if score > LEFT {
        let powers = Powers::of(score);
        let (p, q) = (&MIDDLE.0, &MIDDLE.1);
        let over = powers.eight_terms(p) + (p[8] + p[9] * score) * powers.eighth;
        let under = powers.eight_terms(q) + q[8] * powers.eighth;
        0.5 * LOG10_E * score * score + over / under
    } else {
        before(-score)
    }
}

/// φ so many deviations before the mean: −log10(1 − P) for a small P.
fn before(score: f64) -> f64 {
    if score > UNDERFLOW {
        return 0.0;
    }
    let powers = Powers::of(score);
    let (p, q) = (&MILLS.0, &MILLS.1);
    let over = powers.eight_terms(p) * (-0.5 * score * score).exp();
    let under = powers.eight_terms(q) + q[8] * powers.eighth;
    // −ln(1 − P) = 2 artanh(s), s = P / (2 − P) ≤ 0.0558: P = over / under needs no division of its
    // own, and six terms have the last digit.
    let s = over / (2.0 * under - over);
    let square = s * s;
    let fourth = square * square;
    let series = (1.0 + square / 3.0)
        + fourth * ((1.0 / 5.0 + square / 7.0) + fourth * (1.0 / 9.0 + square / 11.0));
    2.0 * LOG10_E * s * series
}

/// At how many deviations beyond the mean φ is reached, for φ above 0.
pub(super) fn score(phi: f64) -> f64 {
    let log = phi * LN_10;
    if log >= LN_2 {
        after(phi)
    } else {
        // As far before the mean as its counterpart is beyond it: Q(y) = 1 − Q(−y).
        -after(-(-(-log).exp_m1()).ln() * LOG10_E)
    }
}

/// The same for φ of at least log10 2, where the score is not below 0.
fn after(target: f64) -> f64 {
    // φ is convex there, so Newton's method comes down from the bound and never passes the root.
    let mut score = bound(target);
    if target > ONLY_SQUARE {
        return score;
    }
    for _ in 0..STEPS {
        let (next, found) = step(score, target);
        score = next;
        if found {
            break;
        }
    }
    score
}

/// Q(y) ≤ ½ e^(−y²/2) bounds the score from above.
fn bound(target: f64) -> f64 {
    (target - LN_2 * LOG10_E).max(0.0).sqrt() * (2.0 * LN_10).sqrt()
}

/// One step of Newton's method, and whether it was the last.
fn step(score: f64, target: f64) -> (f64, bool) {
    let at = phi(score);
    let step = (at - target) / slope(score, at);
    let next = (score - step).max(0.0);
    (next, step.abs() <= 1e-15 * next)
}

/// The slope of φ: the density over Q, both as logarithms, over ln 10.
fn slope(score: f64, phi: f64) -> f64 {
    if score > 1e3 {
        return score * LOG10_E;
    }
    (phi * LN_10 - 0.5 * score * score - HALF_LN_TAU).exp() * LOG10_E
}

/// Powers of x, for polynomials by Estrin's scheme: half as many operations wait for each other as
/// by Horner's.
struct Powers {
    first: f64,
    second: f64,
    fourth: f64,
    eighth: f64,
}

impl Powers {
    fn of(first: f64) -> Self {
        let second = first * first;
        let fourth = second * second;
        Self { first, second, fourth, eighth: fourth * fourth }
    }

    /// The first eight terms of a polynomial, lowest degree first.
    fn eight_terms(&self, c: &[f64]) -> f64 {
        let Self { first: x, second, fourth, .. } = *self;
        ((c[0] + c[1] * x) + (c[2] + c[3] * x) * second)
            + ((c[4] + c[5] * x) + (c[6] + c[7] * x) * second) * fourth
    }
}

/// Five terms of a polynomial.
fn five_terms(c: &[f64; 5], x: f64) -> f64 {
    let square = x * x;
    (c[0] + c[1] * x) + (c[2] + c[3] * x) * square + c[4] * square * square
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the table: elapsed, mean, deviation, φ of the normal distribution.
    fn table() -> impl Iterator<Item = [f64; 4]> {
        include_str!("../../numerics/normal.csv").lines().skip(1).map(|row| {
            let numbers: Vec<f64> = row.split(',').map(|number| number.parse().unwrap()).collect();
            numbers[..4].try_into().unwrap()
        })
    }

    #[test]
    fn the_table_spans_what_is_promised_and_every_branch() {
        let truths: Vec<f64> = table().map(|[.., truth]| truth).collect();
        assert!(truths.len() > 600);
        assert!(truths.iter().any(|&truth| truth < 1.1e-20));
        assert!(truths.iter().any(|&truth| truth > 0.9e5));
        let scores = || table().map(|[elapsed, mean, deviation, _]| (elapsed - mean) / deviation);
        for seam in [LEFT, RIGHT, 0.0, UNDERFLOW] {
            let near = |score: f64| (score - seam).abs() < 1e-12;
            assert!(scores().filter(|&score| near(score)).count() >= 3, "{seam}");
        }
    }

    #[test]
    fn phi_is_within_2e_14_of_the_table() {
        for [elapsed, mean, deviation, truth] in table() {
            let phi = phi((elapsed - mean) / deviation);
            assert!((phi / truth - 1.0).abs() < 2e-14, "{elapsed} of {mean} ± {deviation}: {phi}");
        }
    }

    #[test]
    fn the_score_of_phi_is_where_it_was() {
        for [elapsed, mean, deviation, truth] in table() {
            let there = (elapsed - mean) / deviation;
            for back in [score(truth), score(phi(there))] {
                let allowed = 1e-13 * there.abs().max(1.0);
                assert!((back - there).abs() < allowed, "{back} for {there}");
            }
        }
    }

    #[test]
    fn phi_jumps_at_no_seam() {
        for seam in [LEFT, RIGHT] {
            let (mut at, mut last) = (seam - 1e-9, 0.0);
            while at < seam + 1e-9 {
                let phi = phi(at);
                assert!(phi > last, "{last} before {phi} at {at}");
                (at, last) = (at + 1e-12, phi);
            }
        }
    }

    #[test]
    fn one_less_the_distribution_dies_at_15_95_and_phi_does_not() {
        let naive = |score: f64| {
            let q = 1.0 - (1.0 - 10f64.powf(-phi(score)));
            -q.log10()
        };
        assert!((naive(5.0) / phi(5.0) - 1.0).abs() < 1e-9);
        assert!(naive(8.3).is_infinite());
        assert!((phi(8.3) - 16.283532).abs() < 1e-3, "{}", phi(8.3));
    }

    #[test]
    fn the_complementary_error_function_dies_at_38_deviations_and_phi_does_not() {
        // e^(−y²/2) is the factor of erfc that is 0 as a double.
        assert_eq!((-0.5 * 39.0f64 * 39.0).exp(), 0.0);
        assert!((phi(39.0) - 332.264).abs() < 0.01, "{}", phi(39.0));
        for score in [1e3f64, 1e9, 1e100, 1e154] {
            let square = 0.5 * LOG10_E * score * score;
            assert!((phi(score) / square - 1.0).abs() < 1e-4, "{}", phi(score));
        }
    }
}
