//! What the time between heartbeats is taken to be distributed like.

mod exponential;
mod logistic;
mod normal;

/// What the time between two heartbeats is taken to be distributed like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distribution {
    /// The normal distribution, exact to the tail (Hayashibara and others, 2004).
    #[default]
    Normal,
    /// The exponential distribution, of which only the mean matters: Cassandra's.
    Exponential,
    /// The logistic approximation of the normal distribution that Akka and Pekko use. Within 1.4e-4
    /// of the distribution and wrong in the tail: it says 8 where the normal distribution says
    /// 7.06, and 16 where that says 12.27.
    Logistic,
}

impl Distribution {
    /// φ after `elapsed`: −log10 of the probability that a heartbeat comes later than that.
    ///
    /// The three times are in one unit, any. For [`Exponential`](Self::Exponential) `deviation` is
    /// of no effect. The error of `Normal` is below 1e-13 of φ, from φ = 1e-20 to 1e5.
    ///
    /// φ is never NaN and never infinite: `f64::MAX` stands for what is larger. An `elapsed` below
    /// 0 counts as 0. With a deviation (or a mean, for `Exponential`) of 0 any time beyond the mean
    /// is as suspicious as can be, and none before it is.
    #[must_use]
    pub fn phi(self, elapsed: f64, mean: f64, deviation: f64) -> f64 {
        let (location, scale) = self.place(mean, deviation);
        self.phi_at(standardised(elapsed.max(0.0), location, scale))
    }

    /// The inverse of [`phi`](Self::phi): the time after which φ is reached, in the unit of `mean`
    /// and `deviation`.
    ///
    /// At least 0, at most `f64::MAX`, never NaN. 0 for a φ that is reached at once.
    #[must_use]
    pub fn elapsed(self, phi: f64, mean: f64, deviation: f64) -> f64 {
        let (location, scale) = self.place(mean, deviation);
        elapsed_at(self.score(phi), location, scale)
    }

    /// φ of the standardised distribution: `score` deviations beyond the mean, or so many means.
    pub(crate) fn phi_at(self, score: f64) -> f64 {
        match self {
            Self::Normal => normal::phi(score),
            Self::Exponential => exponential::phi(score),
            Self::Logistic => logistic::phi(score),
        }
        .min(f64::MAX)
    }

    /// The score at which φ is reached, whatever the mean and the deviation: an owner of a
    /// threshold calculates it once. −∞ for φ of 0 or less and NaN.
    pub(crate) fn score(self, phi: f64) -> f64 {
        if phi.is_nan() || phi <= 0.0 {
            return f64::NEG_INFINITY;
        }
        let phi = phi.min(f64::MAX);
        match self {
            Self::Normal => normal::score(phi),
            Self::Exponential => exponential::score(phi),
            Self::Logistic => logistic::score(phi),
        }
    }

    /// Location and scale of the standardised distribution.
    fn place(self, mean: f64, deviation: f64) -> (f64, f64) {
        match self {
            Self::Exponential => (0.0, mean),
            Self::Normal | Self::Logistic => (mean, deviation),
        }
    }
}

/// How many scales `elapsed` is beyond the location. Never NaN: 0 scales beyond is where it is, if
/// the scale is 0 as well.
pub(crate) fn standardised(elapsed: f64, location: f64, scale: f64) -> f64 {
    let score = (elapsed - location) / scale.abs();
    if score.is_nan() { 0.0 } else { score }
}

/// The inverse, from 0 to `f64::MAX`.
pub(crate) fn elapsed_at(score: f64, location: f64, scale: f64) -> f64 {
    let beyond = score * scale.abs();
    // 0 · ∞: a scale of 0 leaves the location.
    let beyond = if beyond.is_nan() { 0.0 } else { beyond };
    // `max` takes the other one of NaN: that of an infinite location less an infinite score.
    let at = (location + beyond).max(0.0);
    at.min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Distribution; 3] =
        [Distribution::Normal, Distribution::Exponential, Distribution::Logistic];

    #[test]
    fn a_threshold_of_8_is_18_4_mean_intervals_of_the_exponential_distribution() {
        // Without the ln 10 it would be 8 of them, and a probability of 3.4e-4.
        let elapsed = Distribution::Exponential.elapsed(8.0, 1.0, 0.0);
        assert!((elapsed - 18.42).abs() < 0.001, "{elapsed}");
        assert!(((-elapsed).exp() / 1e-8 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn elapsed_by_mean_is_no_phi() {
        let phi = Distribution::Exponential.phi(8.0, 1.0, 0.0);
        assert!((phi - 3.474).abs() < 0.001, "{phi}");
    }

    #[test]
    fn the_mean_is_not_inverted() {
        for distribution in ALL {
            let [quick, slow] = [0.5, 2.0].map(|mean| distribution.phi(3.0, mean, 0.5));
            assert!(quick > slow, "{distribution:?}");
        }
    }

    #[test]
    fn phi_at_the_mean_is_log10_2_and_at_four_deviations_what_the_paper_says() {
        for distribution in [Distribution::Normal, Distribution::Logistic] {
            let phi = distribution.phi(1.0, 1.0, 0.1);
            assert!((phi - 2f64.log10()).abs() < 1e-15, "{distribution:?}");
        }
        // Q(4) = 3.167e-5.
        assert!((Distribution::Normal.phi(1.4, 1.0, 0.1) - 4.499_3).abs() < 1e-4);
    }

    #[test]
    fn without_a_deviation_the_mean_is_a_step() {
        for distribution in [Distribution::Normal, Distribution::Logistic] {
            assert_eq!(distribution.phi(0.9, 1.0, 0.0), 0.0);
            assert_eq!(distribution.phi(1.0, 1.0, 0.0), distribution.phi(1.0, 1.0, 0.1));
            assert_eq!(distribution.phi(1.1, 1.0, 0.0), f64::MAX);
            assert_eq!(distribution.elapsed(8.0, 1.0, 0.0), 1.0);
        }
        assert_eq!(Distribution::Exponential.phi(0.1, 0.0, 0.0), f64::MAX);
        assert_eq!(Distribution::Exponential.elapsed(8.0, 0.0, 0.0), 0.0);
    }

    #[test]
    fn phi_of_the_largest_duration_is_finite() {
        let longest = std::time::Duration::MAX.as_secs_f64();
        for distribution in ALL {
            for deviation in [f64::from_bits(1), 1e-300, 1e-4, 1.0, longest] {
                for mean in [0.0, f64::from_bits(1), 1.0, longest] {
                    let phi = distribution.phi(longest, mean, deviation);
                    assert!(phi.is_finite() && phi >= 0.0, "{distribution:?}: {phi}");
                }
            }
        }
    }

    fn any_distribution() -> impl Strategy<Value = Distribution> {
        proptest::sample::select(&ALL)
    }

    /// Times of all sizes that a process can see, in seconds.
    fn time() -> impl Strategy<Value = f64> {
        (-9.0..19.0f64).prop_map(|log| 10f64.powf(log))
    }

    proptest! {
        #[test]
        fn no_argument_yields_nan_or_infinity(
            distribution in any_distribution(),
            a in proptest::num::f64::ANY,
            mean in proptest::num::f64::ANY,
            deviation in proptest::num::f64::ANY,
        ) {
            for value in [distribution.phi(a, mean, deviation), distribution.elapsed(a, mean, deviation)] {
                prop_assert!((0.0..=f64::MAX).contains(&value), "{value}");
            }
        }

        #[test]
        fn phi_rises_with_the_time_elapsed(
            distribution in any_distribution(),
            (a, b) in (time(), time()),
            mean in time(),
            // Up to the longest interval that is kept. With deviations of 1e18 s two times can be
            // nearer to each other than φ has digits.
            deviation in 1e-9..5e3f64,
        ) {
            let [first, second] = [a.min(b), a.max(b)].map(|t| distribution.phi(t, mean, deviation));
            prop_assert!(first <= second, "{first} before {second}");
        }

        #[test]
        fn a_nanosecond_lowers_no_phi(
            distribution in any_distribution(),
            mean in 1e-3..100.0f64,
            deviation in 1e-4..100.0f64,
            score in -10.0..700.0f64,
        ) {
            let at = (mean + score * deviation).max(0.0);
            let (at, later) = (at, at + 1e-9);
            let [first, second] = [at, later].map(|t| distribution.phi(t, mean, deviation));
            prop_assert!(first <= second, "{first} before {second}");
        }

        #[test]
        fn phi_falls_with_the_deviation_above_the_mean_and_rises_with_it_below(
            distribution in proptest::sample::select(&[Distribution::Normal, Distribution::Logistic][..]),
            mean in time(),
            (share, a, b) in (0.0..50.0f64, time(), time()),
        ) {
            let elapsed = mean * share;
            let [narrow, wide] = [a.min(b), a.max(b)].map(|d| distribution.phi(elapsed, mean, d));
            // The last digit of φ where the two are the same deviation but for theirs.
            let digit = 1e-14 * narrow.max(wide);
            if elapsed >= mean {
                prop_assert!(narrow >= wide - digit, "{narrow}, {wide}");
            } else {
                prop_assert!(narrow <= wide + digit, "{narrow}, {wide}");
            }
        }

        #[test]
        fn the_inverse_rises_and_is_one(
            distribution in any_distribution(),
            (a, b) in (-20.0..5.0f64, -20.0..5.0f64),
        ) {
            let [first, second] = [a.min(b), a.max(b)].map(|log| 10f64.powf(log));
            let scores = [first, second].map(|phi| distribution.score(phi));
            prop_assert!(b - a == 0.0 || (b - a).abs() < 1e-9 || scores[0] < scores[1]);
            for (phi, score) in [first, second].into_iter().zip(scores) {
                let back = distribution.phi_at(score);
                prop_assert!((back / phi - 1.0).abs() < 1e-12, "{phi}: {back} at {score}");
            }
        }
    }
}
