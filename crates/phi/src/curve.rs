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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::units::nanoseconds_up;

    const ALL: [Distribution; 3] =
        [Distribution::Normal, Distribution::Exponential, Distribution::Logistic];

    fn phi_of(distribution: Distribution, location: f64, scale: f64) -> Curve {
        let shape = Shape::Phi { distribution, cap: f64::INFINITY };
        Curve { shape, location, scale }
    }

    #[test]
    fn the_instant_of_a_phi_is_where_it_was_to_a_microsecond() {
        for row in include_str!("../numerics/normal.csv").lines().skip(1) {
            let row: Vec<f64> = row.split(',').map(|number| number.parse().unwrap()).collect();
            for distribution in ALL {
                let curve = phi_of(distribution, row[1], row[2]);
                let silence = Duration::from_secs_f64(row[0]);
                let phi = curve.phi(silence.as_secs_f64());
                // An exponential one is 0 up to its location: there is no way back from there.
                if phi > 0.0 {
                    let back = curve.silence(phi).and_then(nanoseconds_up).unwrap();
                    let back = Duration::from_nanos(back);
                    let apart = back.abs_diff(silence);
                    assert!(apart < Duration::from_micros(1), "{apart:?} at {silence:?}");
                }
            }
        }
    }

    #[test]
    fn above_the_cap_is_never_reached() {
        let shape = Shape::Phi { distribution: Distribution::Normal, cap: 15.0 };
        let curve = Curve { shape, location: 1.0, scale: 0.1 };
        assert_eq!(curve.phi(100.0), 15.0);
        assert_eq!(curve.silence(15.1), None);
        assert!(curve.silence(15.0).is_some());
        assert_eq!(curve.phi(curve.silence(8.0).unwrap()), 8.0);
    }

    #[test]
    fn an_exponential_curve_begins_at_its_location() {
        let curve = phi_of(Distribution::Exponential, 3.0, 1.0);
        assert_eq!(curve.phi(3.0), 0.0);
        assert!((curve.phi(3.0 + std::f64::consts::LN_10) - 1.0).abs() < 1e-15);
        assert!((curve.silence(8.0).unwrap() - 21.42).abs() < 0.001);
    }

    #[test]
    fn a_margin_is_1_at_its_deadline() {
        let curve = Curve { shape: Shape::Margin, location: 2.0, scale: 0.5 };
        assert_eq!([1.0, 2.0, 2.25, 2.5, 3.0].map(|t| curve.phi(t)), [0.0, 0.0, 0.5, 1.0, 2.0]);
        assert_eq!(curve.silence(1.0), Some(2.5));
        // It may have begun before the last heartbeat came, and have ended.
        let late = Curve { location: -1.0, ..curve };
        assert_eq!(late.phi(0.0), 2.0);
        assert_eq!(late.silence(1.0), Some(0.0));
    }

    #[test]
    fn a_phi_of_nothing_is_reached_at_once() {
        for shape in [Shape::Margin, phi_of(Distribution::Normal, 1.0, 1.0).shape] {
            let curve = Curve { shape, location: 1.0, scale: 0.1 };
            for phi in [0.0, -1.0, f64::NAN] {
                assert_eq!(curve.silence(phi), Some(0.0));
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_a_curve_nan(
            at in proptest::num::f64::ANY,
            location in proptest::num::f64::ANY,
            scale in proptest::num::f64::ANY,
        ) {
            let shapes = ALL.map(|distribution| phi_of(distribution, 0.0, 1.0).shape);
            for shape in shapes.into_iter().chain([Shape::Margin]) {
                let curve = Curve { shape, location, scale };
                prop_assert!((0.0..=f64::MAX).contains(&curve.phi(at)));
                let silence = curve.silence(at).unwrap_or(0.0);
                prop_assert!((0.0..=f64::MAX).contains(&silence));
            }
        }

        #[test]
        fn a_score_serves_every_curve_of_its_shape(
            phi in 0.01..100.0f64,
            location in 0.0..100.0f64,
            scale in 1e-3..100.0f64,
        ) {
            for distribution in ALL {
                let curve = phi_of(distribution, location, scale);
                let silence = curve.silence_at(curve.shape.score(phi).unwrap());
                prop_assert_eq!(Some(silence), curve.silence(phi));
                let back = curve.phi(silence);
                prop_assert!(silence == 0.0 || (back / phi - 1.0).abs() < 1e-9, "{}", back);
            }
        }
    }
}
