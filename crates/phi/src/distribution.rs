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
