//! Traffic for simulations: arrivals and latencies from one seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Exp, LogNormal, Pareto};

/// Draws the arrivals and latencies of a simulation. The same seed draws the same traffic.
#[derive(Debug)]
pub struct Traffic(SmallRng);

impl Traffic {
    /// Traffic of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// The time until the next arrival of a Poisson process with `per_second` arrivals a second.
    ///
    /// # Panics
    /// When the rate is not above zero.
    pub fn arrival(&mut self, per_second: f64) -> Duration {
        let gap = Exp::new(per_second).expect("a rate above zero").sample(&mut self.0);
        Duration::from_secs_f64(gap)
    }

    /// A log-normal latency with this median and shape `sigma`.
    ///
    /// # Panics
    /// When the median is zero or the shape not finite.
    pub fn log_normal(&mut self, median: Duration, sigma: f64) -> Duration {
        assert!(!median.is_zero(), "a median above zero");
        let shape = LogNormal::new(median.as_secs_f64().ln(), sigma).expect("a finite shape");
        Duration::from_secs_f64(shape.sample(&mut self.0))
    }

    /// A Pareto latency from `least` up, cut at 100 s: the smaller `shape`, the heavier the tail.
    ///
    /// # Panics
    /// When the least or the shape is not above zero.
    pub fn pareto(&mut self, least: Duration, shape: f64) -> Duration {
        let tail = Pareto::new(least.as_secs_f64(), shape).expect("a scale and a shape above zero");
        Duration::from_secs_f64(tail.sample(&mut self.0).min(100.0))
    }

    /// A number from 0 up to 1.
    pub fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// True with this probability, from 0 to 1.
    ///
    /// # Panics
    /// When the probability is outside 0 to 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic = "a median above zero"]
    fn a_median_of_zero_is_refused() {
        Traffic::seeded(1).log_normal(Duration::ZERO, 0.4);
    }

    #[test]
    #[should_panic = "too big"]
    fn no_traffic_at_all_has_no_next_arrival() {
        Traffic::seeded(1).arrival(0.0);
    }

    #[test]
    fn the_same_seed_draws_the_same_traffic_of_the_shape_asked_for() {
        let draw = |seed| {
            let mut traffic = Traffic::seeded(seed);
            let median = Duration::from_millis(50);
            let mut latencies: Vec<_> =
                (0..10_001).map(|_| traffic.log_normal(median, 0.4)).collect();
            let gaps: Duration = (0..10_000).map(|_| traffic.arrival(100.0)).sum();
            latencies.sort_unstable();
            (latencies[5_000], latencies[9_900], gaps)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let (median, slowest, gaps) = draw(1);
        assert!((0.049..0.051).contains(&median.as_secs_f64()), "{median:?}");
        // exp(2.326 * 0.4) = 2.54 times the median.
        assert!((0.121..0.133).contains(&slowest.as_secs_f64()), "{slowest:?}");
        assert!((97.0..103.0).contains(&gaps.as_secs_f64()), "{gaps:?}");
    }
}
