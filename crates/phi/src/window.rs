//! A sliding window of the times between heartbeats.
//!
//! A sample takes four bytes: whole microseconds in a `u32`, so a window of 1,000 takes 4 kB. What
//! a sample has below a microsecond is carried into the next one, so the sums telescope: the
//! samples of any run of heartbeats add up to the time that passed, to a microsecond, and the mean
//! has no bias. (Detectors that cut each interval to a millisecond are 0.5 ms short on each.)
//!
//! Sum and sum of squares are integers. The usual `E[x²] − μ²` in floats subtracts two numbers that
//! agree in nearly all of their digits: it is off by orders of magnitude where the intervals are
//! regular, and may be negative, so its root is not a number. Here `n·Σx² − (Σx)²` is exact, at
//! least 0 by Cauchy and Schwarz, and exactly 0 where all samples are equal. What is added when a
//! sample comes is subtracted when it goes, so nothing drifts.

/// Counts, sums and squares of the newest samples, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Grows as samples come, up to `limit`: a young peer costs no more than it has told.
    ring: Vec<u32>,
    /// Where the oldest sample is, once the ring is full.
    oldest: u32,
    limit: u32,
    /// Nanoseconds below a microsecond that the samples so far do not show; under 1,000.
    carry: u32,
    /// One microsecond, in seconds, over the number of samples: divided by once while the window
    /// fills, and not at each heartbeat.
    share: f64,
    /// At most 65,536 · 2³².
    sum: u64,
    /// At most 65,536 · 2⁶⁴.
    squares: u128,
}

/// Mean and standard deviation of so many samples, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: u32,
    pub(crate) mean: f64,
    /// Of the population: the samples are all there is, not a draw from more.
    pub(crate) deviation: f64,
}

impl Window {
    /// One that keeps `limit` samples.
    pub(crate) const fn new(limit: u32) -> Self {
        Self { ring: Vec::new(), oldest: 0, limit, carry: 0, share: 0.0, sum: 0, squares: 0 }
    }

    /// A sample comes, in nanoseconds, 0 or more; the oldest goes if the window is full. Samples
    /// above 71 minutes (2³² µs) count as so long.
    pub(crate) fn push(&mut self, nanos: i64) {
        let nanos = nanos.unsigned_abs() + u64::from(self.carry);
        let sample = u32::try_from(nanos / 1_000).unwrap_or(u32::MAX);
        self.carry = (nanos % 1_000) as u32;
        self.sum += u64::from(sample);
        self.squares += square(sample);
        if self.ring.len() < self.limit as usize {
            self.grow();
            self.ring.push(sample);
            self.share = 1.0 / (self.ring.len() as f64 * 1e6);
            return;
        }
        let evicted = std::mem::replace(&mut self.ring[self.oldest as usize], sample);
        self.sum -= u64::from(evicted);
        self.squares -= square(evicted);
        self.oldest = if self.oldest + 1 == self.limit { 0 } else { self.oldest + 1 };
    }

    /// Mean and deviation of the samples there are; zeros where there are none.
    pub(crate) fn moments(&self) -> Moments {
        let count = self.ring.len() as u64;
        if count == 0 {
            return Moments::default();
        }
        let square_of_sum = u128::from(self.sum) * u128::from(self.sum);
        let spread = u128::from(count) * self.squares - square_of_sum;
        Moments {
            count: count as u32,
            mean: self.sum as i64 as f64 * self.share,
            deviation: to_f64(spread).sqrt() * self.share,
        }
    }

    /// Doubles the ring, but never beyond the limit, so that a full window has no slack.
    fn grow(&mut self) {
        let length = self.ring.len();
        if length == self.ring.capacity() {
            let more = length.max(4).min(self.limit as usize - length);
            self.ring.reserve_exact(more);
        }
    }
}

fn square(sample: u32) -> u128 {
    u128::from(u64::from(sample) * u64::from(sample))
}

/// The halves one by one, off by a digit in the last place at most: the cast of all 128 bits is a
/// call of 10 ns.
fn to_f64(spread: u128) -> f64 {
    const HALF: f64 = (1_u128 << 64) as f64;
    (spread >> 64) as u64 as f64 * HALF + spread as u64 as f64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn filled(limit: u32, samples: impl IntoIterator<Item = i64>) -> Window {
        let mut window = Window::new(limit);
        samples.into_iter().for_each(|nanos| window.push(nanos));
        window
    }

    #[track_caller]
    fn close(mean: f64, expected: f64) {
        assert!((mean - expected).abs() <= expected * 1e-15, "{mean} for {expected}");
    }

    /// Mean and deviation in two passes, in microseconds.
    fn naive(samples: &VecDeque<u32>) -> (f64, f64) {
        let count = samples.len() as f64;
        let mean = samples.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let spread = samples.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        (mean, (spread / count).sqrt())
    }

    #[test]
    fn a_million_equal_intervals_have_a_variance_of_exactly_zero() {
        for nanos in [1_000, 103_500_000, 1_000_000_000, 3_600_000_000_000] {
            for limit in [1, 2, 1_000, 65_536] {
                let mut window = Window::new(limit);
                for _ in 0..1_000_000 {
                    window.push(nanos);
                }
                let moments = window.moments();
                assert_eq!(moments.deviation.to_bits(), 0, "{nanos} in a window of {limit}");
                close(moments.mean, nanos as f64 / 1e9);
                assert_eq!(moments.count, limit);
            }
        }
    }

    /// `E[x²] − μ²` in floats is below 0 for some of these, where its root is not a number.
    #[test]
    fn the_variance_never_goes_negative_where_the_difference_of_floats_does() {
        let mut negative = 0;
        for base in (0..1_000_i64).map(|i| 1_000_000_000 + i * 1_000_003) {
            let samples = (0..100).map(|i| base + i % 2);
            let window = filled(100, samples.clone().map(|micros| micros * 1_000));
            let mean = samples.clone().map(|x| x as f64).sum::<f64>() / 100.0;
            let mean_square = samples.map(|x| (x as f64).powi(2)).sum::<f64>() / 100.0;
            negative += u32::from(mean_square - mean * mean < 0.0);
            let deviation = window.moments().deviation * 1e6;
            assert!((deviation - 0.5).abs() < 1e-9, "{deviation} at {base}");
        }
        // The trap is a real one: without this the test would prove nothing.
        assert!(negative > 0, "the floats were never below 0");
    }

    /// Two known detectors cut each interval to a millisecond, and lose half of one on average.
    #[test]
    fn nothing_is_cut_off_an_interval_so_the_mean_has_no_bias() {
        let nanos = 1_000_999;
        let window = filled(1_000, std::iter::repeat_n(nanos, 1_000));
        let mean = window.moments().mean * 1e9;
        assert!((mean - nanos as f64).abs() <= 1.0, "{mean}");
        let tiny = filled(1_000, std::iter::repeat_n(300, 1_000));
        assert!((tiny.moments().mean - 300e-9).abs() < 1e-9);
    }

    /// One known detector seeds its mean with a sum: n samples counted as one.
    #[test]
    fn the_first_sample_is_the_mean_and_not_a_sum() {
        let window = filled(1_000, [250_000_000]);
        assert_eq!(window.moments().count, 1);
        close(window.moments().mean, 0.25);
        let window = filled(1_000, [250_000_000; 4]);
        assert_eq!(window.moments().count, 4);
        close(window.moments().mean, 0.25);
    }

    #[test]
    fn an_interval_too_long_for_its_four_bytes_counts_as_seventy_one_minutes() {
        let window = filled(65_536, std::iter::repeat_n(i64::MAX, 65_536));
        let moments = window.moments();
        close(moments.mean, f64::from(u32::MAX) / 1e6);
        assert_eq!(moments.deviation, 0.0);
        let mixed = filled(65_536, (0..65_536).map(|i| if i % 2 == 0 { 0 } else { i64::MAX }));
        let half = f64::from(u32::MAX) / 2e6;
        assert!((mixed.moments().deviation - half).abs() < 1e-6);
    }

    #[test]
    fn a_young_window_takes_little_memory_and_a_full_one_no_slack() {
        let mut window = Window::new(1_000);
        assert_eq!(window.ring.capacity(), 0);
        window.push(1);
        assert!(window.ring.capacity() <= 4);
        (0..5_000).for_each(|nanos| window.push(nanos));
        assert_eq!(window.ring.capacity(), 1_000);
        assert!(size_of::<Window>() + 4 * window.ring.capacity() <= 4_096);
    }

    proptest! {
        #[test]
        fn a_window_that_slides_equals_one_rebuilt_from_its_samples(
            limit in 1_u32..50,
            samples in prop::collection::vec(0_i64..5_000_000_000_000, 0..200),
        ) {
            let mut window = Window::new(limit);
            for nanos in samples {
                window.push(nanos);
                let oldest = window.oldest as usize;
                let (newer, older) = window.ring.split_at(oldest);
                let kept = older.iter().chain(newer).map(|micros| i64::from(*micros) * 1_000);
                let rebuilt = filled(limit, kept);
                prop_assert_eq!(window.sum, rebuilt.sum);
                prop_assert_eq!(window.squares, rebuilt.squares);
                prop_assert_eq!(window.moments(), rebuilt.moments());
            }
        }

        #[test]
        fn a_window_is_what_a_naive_one_of_two_passes_is(
            limit in 1_u32..50,
            samples in prop::collection::vec(0_u32..4_000_000_000, 1..200),
        ) {
            let mut window = Window::new(limit);
            let mut kept = VecDeque::new();
            for micros in samples {
                window.push(i64::from(micros) * 1_000);
                kept.push_back(micros);
                if kept.len() > limit as usize {
                    kept.pop_front();
                }
                let (mean, deviation) = naive(&kept);
                let moments = window.moments();
                prop_assert_eq!(moments.count as usize, kept.len());
                prop_assert!((moments.mean * 1e6 - mean).abs() <= mean * 1e-12);
                let tolerance = mean * 1e-12 + deviation * 1e-9;
                prop_assert!((moments.deviation * 1e6 - deviation).abs() <= tolerance);
            }
        }
    }
}
