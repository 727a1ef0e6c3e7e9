//! The window's twin of constant memory: each sample weighs less as newer ones come.

use crate::window::Moments;

/// Exponentially weighted mean and variance of the times between heartbeats (T. Finch, *Incremental
/// calculation of weighted mean and variance*, 2009), in 32 bytes.
///
/// A sample weighs α = 2 / (n + 1), which gives the samples the same mean age as those in a window
/// of n have. The first ones weigh 1/k instead: until that falls below α, mean and variance are the
/// plain ones of all samples, and the first sample has no more say than the second.
///
/// The variance is a sum of squares with weights above 0: never negative, and exactly 0 while all
/// samples are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decaying {
    mean: f64,
    variance: f64,
    weight: f64,
    count: u32,
    limit: u32,
}

impl Decaying {
    /// One that remembers about as much as a window of `limit` samples.
    pub(crate) fn new(limit: u32) -> Self {
        let weight = 2.0 / (f64::from(limit) + 1.0);
        Self { mean: 0.0, variance: 0.0, weight, count: 0, limit }
    }

    /// A sample comes, in nanoseconds, 0 or more.
    pub(crate) fn push(&mut self, nanos: i64) {
        let seconds = nanos as f64 * 1e-9;
        let mut weight = self.weight;
        if self.count < self.limit {
            self.count += 1;
            weight = weight.max(1.0 / f64::from(self.count));
        }
        let difference = seconds - self.mean;
        let step = weight * difference;
        self.mean += step;
        self.variance = (1.0 - weight) * (self.variance + difference * step);
    }

    /// Mean and deviation; zeros before the first sample.
    pub(crate) fn moments(&self) -> Moments {
        Moments { count: self.count, mean: self.mean, deviation: self.variance.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::window::Window;

    #[test]
    fn a_million_equal_intervals_have_a_variance_of_exactly_zero() {
        for limit in [1, 2, 1_000, 65_536] {
            let mut decaying = Decaying::new(limit);
            (0..1_000_000).for_each(|_| decaying.push(103_500_001));
            let moments = decaying.moments();
            assert_eq!(moments.deviation, 0.0);
            assert!((moments.mean - 0.103_500_001).abs() < 1e-15);
            assert_eq!(moments.count, limit);
        }
    }

    #[test]
    fn it_takes_thirty_two_bytes() {
        assert_eq!(size_of::<Decaying>(), 32);
    }

    #[test]
    fn a_change_of_period_is_learnt_in_about_a_window() {
        let mut decaying = Decaying::new(100);
        (0..1_000).for_each(|_| decaying.push(100_000_000));
        (0..100).for_each(|_| decaying.push(200_000_000));
        let mean = decaying.moments().mean;
        // 1 − e⁻² of the way: a window of the mean age of 50 samples.
        assert!((0.184..0.189).contains(&mean), "{mean}");
        (0..900).for_each(|_| decaying.push(200_000_000));
        assert!((decaying.moments().mean - 0.2).abs() < 1e-6);
        assert!(decaying.moments().deviation < 1e-3);
    }

    proptest! {
        #[test]
        fn the_first_samples_weigh_as_in_a_window(
            samples in prop::collection::vec(0_i64..4_000_000_000_000, 1..50),
        ) {
            let mut decaying = Decaying::new(100);
            let mut window = Window::new(100);
            for nanos in samples {
                let nanos = nanos / 1_000 * 1_000;
                decaying.push(nanos);
                window.push(nanos);
                let (decaying, window) = (decaying.moments(), window.moments());
                prop_assert_eq!(decaying.count, window.count);
                prop_assert!((decaying.mean - window.mean).abs() <= 1e-12 * window.mean);
                let off = (decaying.deviation - window.deviation).abs();
                prop_assert!(off <= 1e-9 * window.deviation + 1e-12 * window.mean, "{off}");
            }
        }

        #[test]
        fn it_is_finite_and_its_variance_never_negative(
            limit in 1_u32..65_536,
            samples in prop::collection::vec(0..i64::MAX, 1..200),
        ) {
            let mut decaying = Decaying::new(limit);
            for nanos in samples {
                decaying.push(nanos);
                prop_assert!(decaying.variance >= 0.0 && decaying.variance.is_finite());
                prop_assert!(decaying.mean >= 0.0 && decaying.mean.is_finite());
            }
        }
    }
}
