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
    quantile: f64,
    minimum: u32,
    /// The last result, and the tick it was made at.
    latest: AtomicU64,
    /// Samples since then, and how many make a new result due.
    unseen: AtomicU32,
    due: AtomicU32,
}

impl LatencyQuantile {
    /// The `quantile`, between 0 and 1, of a window of so many slices of time, once it holds
    /// `minimum` samples.
    #[must_use]
    pub fn new(quantile: f64, minimum: u32, slices: u32) -> Self {
        Self {
            histogram: Histogram::new(slices),
            quantile,
            minimum,
            latest: AtomicU64::new(Dated::NONE.to_bits()),
            unseen: AtomicU32::new(0),
            due: AtomicU32::new(1),
        }
    }

    /// Takes one latency into account, at the tick of its slice.
    pub fn record(&self, tick: Tick, nanos: u64) {
        self.histogram.record(tick, nanos);
        // Relaxed, here and below: the words are hints on when to evaluate. At worst a result is
        // one evaluation older.
        let unseen = self.unseen.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // A straggler from an earlier tick leaves the evaluation to the next sample.
        let latest = Dated::from_bits(self.latest.load(Ordering::Relaxed));
        if unseen >= self.due.load(Ordering::Relaxed) && !latest.reaches(Tick(tick.0 + 1)) {
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

    #[cold]
    fn evaluate(&self, tick: Tick) -> Dated {
        self.unseen.store(0, Ordering::Relaxed);
        let (total, nanos) = quantile(&self.histogram.counts(tick), self.quantile);
        let due = u32::try_from((total / GROWTH).clamp(1, MOST_UNSEEN)).unwrap_or(1);
        self.due.store(due, Ordering::Relaxed);
        let enough = total >= u64::from(self.minimum);
        #[expect(clippy::cast_precision_loss, reason = "a bucket's edge has five significant bits")]
        let seconds = nanos.filter(|_| enough).map_or(0.0, |nanos| nanos as f64 / 1e9);
        let result = Dated::new(tick, seconds);
        self.latest.store(result.to_bits(), Ordering::Relaxed);
        result
    }
}
