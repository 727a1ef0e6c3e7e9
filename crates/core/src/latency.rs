//! The estimate as a latency quantile of a sliding window.

mod histogram;

use self::histogram::{Histogram, quantile};
use crate::{
    dated::Dated,
    sync::{AtomicU32, AtomicU64, Ordering},
    time_window::Tick,
};

/// A full window is evaluated anew when it has grown by a sixteenth, the width of a bucket; a young
/// one with each sample.
const GROWTH: u64 = 16;
/// However full a window is, this many samples make a new result due.
const MOST_UNSEEN: u64 = 1024;

/// A quantile of the latencies of a window. Evaluating it visits every bucket, so the result is
/// kept, and made anew when a slice of time begins and when enough samples have come in.
#[derive(Debug)]
pub struct LatencyQuantile {
    histogram: Histogram,
    /// An `f64`.
    quantile: AtomicU64,
    minimum: AtomicU32,
    /// The last result, and the tick it was made at.
    latest: AtomicU64,
    /// All samples ever taken, and at how many of them a new result is due.
    recorded: AtomicU64,
    due: AtomicU64,
}

impl LatencyQuantile {
    /// The `quantile`, between 0 and 1, of a window of so many slices of time, once it holds
    /// `minimum` samples.
    #[must_use]
    pub fn new(quantile: f64, minimum: u32, slices: u32) -> Self {
        Self {
            histogram: Histogram::new(slices),
            quantile: AtomicU64::new(quantile.to_bits()),
            minimum: AtomicU32::new(minimum),
            latest: AtomicU64::new(Dated::NONE.to_bits()),
            recorded: AtomicU64::new(0),
            due: AtomicU64::new(1),
        }
    }

    /// Goes on with another quantile, and another minimum, of the same samples. An evaluation at
    /// the same time may leave the result of the old ones until the next.
    pub fn change(&self, tick: Tick, quantile: f64, minimum: u32) {
        self.quantile.store(quantile.to_bits(), Ordering::Relaxed);
        self.minimum.store(minimum, Ordering::Relaxed);
        self.evaluate(tick);
    }

    /// Takes one latency into account, at the tick of its slice.
    #[inline]
    pub fn record(&self, tick: Tick, nanos: u64) {
        self.record_times(tick, nanos, 1);
    }

    /// Takes one latency into account as if it had been measured so many times.
    pub fn record_times(&self, tick: Tick, nanos: u64, times: u32) {
        self.histogram.record(tick, nanos, times);
        // Relaxed, here and below: the words are hints on when to evaluate. At worst a result is
        // one evaluation older.
        let recorded = self.recorded.fetch_add(times.into(), Ordering::Relaxed) + u64::from(times);
        // A straggler from an earlier tick leaves the evaluation to the next sample.
        let latest = Dated::from_bits(self.latest.load(Ordering::Relaxed));
        if recorded >= self.due.load(Ordering::Relaxed) && !latest.reaches(Tick(tick.0 + 1)) {
            self.evaluate(tick);
        }
    }

    /// The quantile in seconds, once there are enough samples in the window that ends with `tick`.
    #[must_use]
    pub fn estimate(&self, tick: Tick) -> Option<f64> {
        let latest = Dated::from_bits(self.latest.load(Ordering::Relaxed));
        let latest = if latest.reaches(tick) { latest } else { self.evaluate(tick) };
        latest.seconds_at_any_age()
    }

    /// How many samples the window that ends with `tick` holds.
    #[must_use]
    pub fn samples(&self, tick: Tick) -> u64 {
        self.histogram.counts(tick).iter().sum()
    }

    /// Which quantile it is.
    #[must_use]
    pub fn quantile(&self) -> f64 {
        f64::from_bits(self.quantile.load(Ordering::Relaxed))
    }

    /// How many samples were ever taken. It only grows: two looks at it tell how many came between.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    #[cold]
    fn evaluate(&self, tick: Tick) -> Dated {
        let recorded = self.recorded();
        let (total, nanos) = quantile(&self.histogram.counts(tick), self.quantile());
        self.due.store(recorded + (total / GROWTH).clamp(1, MOST_UNSEEN), Ordering::Relaxed);
        let enough = total >= u64::from(self.minimum.load(Ordering::Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "a bucket's edge has five significant bits")]
        let seconds = nanos.filter(|_| enough).map_or(0.0, |nanos| nanos as f64 / 1e9);
        let result = Dated::new(tick, seconds);
        self.latest.store(result.to_bits(), Ordering::Relaxed);
        result
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_quantile_and_minimum_are_of_the_same_samples_at_once() {
        let latencies = LatencyQuantile::new(0.5, 200, 6);
        (1..=100).for_each(|n| latencies.record(Tick(1), n * 1_000_000));
        assert_eq!(latencies.estimate(Tick(1)), None, "too few");
        latencies.change(Tick(1), 0.5, 100);
        let half = latencies.estimate(Tick(1)).unwrap();
        assert!((0.050..0.054).contains(&half), "{half}");
        latencies.change(Tick(1), 0.99, 100);
        let most = latencies.estimate(Tick(1)).unwrap();
        assert!((0.099..0.106).contains(&most) && latencies.quantile() > 0.98, "{most}");
        assert_eq!(latencies.samples(Tick(1)), 100);
    }

    #[test]
    fn a_latency_that_is_taken_so_many_times_counts_as_if_each_had_been_measured() {
        let [once, times] = [(); 2].map(|()| LatencyQuantile::new(0.9, 20, 6));
        for quantile in [&once, &times] {
            (0..90).for_each(|_| quantile.record(Tick(1), 5_000_000));
        }
        (0..40).for_each(|_| once.record(Tick(1), 80_000_000));
        times.record_times(Tick(1), 80_000_000, 40);
        for quantile in [once, times] {
            assert_eq!((quantile.samples(Tick(1)), quantile.recorded()), (130, 130));
            assert!(quantile.estimate(Tick(1)).unwrap() > 0.079);
            assert_eq!((quantile.samples(Tick(9)), quantile.recorded()), (0, 130), "only grows");
        }
    }
}
