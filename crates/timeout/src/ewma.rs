//! The estimate as an exponentially weighted moving average.

use steadfast_core::parts::Tick;

use crate::{
    cuts::Mark,
    numbers::Number,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// A moving average of latencies, forgotten when a whole window has passed without one.
#[derive(Debug)]
pub(crate) struct EwmaEstimator {
    weight: Number,
    minimum: AtomicU32,
    slices: u32,
    /// The mean in seconds as an `f32` below, the number of samples above.
    mean: AtomicU64,
    /// The tick of the newest sample, plus one; zero before the first.
    newest: AtomicU64,
}

impl EwmaEstimator {
    pub(crate) fn new(weight: f64, minimum: u32, slices: u32) -> Self {
        let (weight, minimum) = (Number::new(weight), AtomicU32::new(minimum));
        Self { weight, minimum, slices, mean: AtomicU64::new(0), newest: AtomicU64::new(0) }
    }

    /// Goes on with other numbers. The average stays.
    pub(crate) fn change(&self, weight: f64, minimum: u32) {
        self.weight.set(weight);
        self.minimum.store(minimum, Ordering::Relaxed);
    }

    /// Takes one latency into account.
    pub(crate) fn record(&self, tick: Tick, seconds: f64) {
        self.record_weighted(tick, seconds, 1, self.weight.value());
    }

    /// Takes one latency into account as if it had been measured so many times.
    pub(crate) fn record_times(&self, tick: Tick, seconds: f64, times: u32) {
        let kept = (1.0 - self.weight.value()).powi(i32::try_from(times).unwrap_or(i32::MAX));
        self.record_weighted(tick, seconds, times, 1.0 - kept);
    }

    fn record_weighted(&self, tick: Tick, seconds: f64, times: u32, weight: f64) {
        // Two threads that both find the average out of date both begin a new one: one sample is
        // lost, which is harmless.
        let fresh = self.is_fresh(tick);
        // Relaxed: the word carries all there is to know, and publishes nothing else.
        let mut current = self.mean.load(Ordering::Relaxed);
        loop {
            let (count, mean) = if fresh { unpack(current) } else { (0, 0.0) };
            let mean = if count == 0 { seconds } else { mean + weight * (seconds - mean) };
            let next = pack(count.checked_add(times).unwrap_or(self.enough()), mean);
            match self.mean.compare_exchange_weak(
                current,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(seen) => current = seen,
            }
        }
        self.newest.fetch_max(tick.0 + 1, Ordering::Relaxed);
    }

    /// The average in seconds, once it rests on enough samples.
    pub(crate) fn estimate(&self, tick: Tick) -> Option<f64> {
        let (count, mean) = unpack(self.mean.load(Ordering::Relaxed));
        (count >= self.minimum.load(Ordering::Relaxed) && self.is_fresh(tick)).then_some(mean)
    }

    /// How many samples there are, whether the average is out of date or not. It begins anew with
    /// the first sample after an idle window.
    pub(crate) fn recorded(&self) -> u64 {
        u64::from(unpack(self.mean.load(Ordering::Relaxed)).0)
    }

    /// How many samples the average rests on.
    pub(crate) fn samples(&self, tick: Tick) -> u64 {
        let (count, _) = unpack(self.mean.load(Ordering::Relaxed));
        if self.is_fresh(tick) { u64::from(count) } else { 0 }
    }

    /// What every sample changes: the count and the mean in one word, and the newest tick, since a
    /// count that begins anew may come to the same.
    pub(crate) fn mark(&self) -> Mark {
        (self.mean.load(Ordering::Relaxed), self.newest.load(Ordering::Relaxed))
    }

    /// Where the count goes on when it is full, which takes weeks: a count that stood still would
    /// show no more answers.
    fn enough(&self) -> u32 {
        self.minimum.load(Ordering::Relaxed).max(u32::MAX / 2)
    }

    fn is_fresh(&self, tick: Tick) -> bool {
        let newest = self.newest.load(Ordering::Relaxed);
        newest != 0 && (tick.0 + 1).saturating_sub(newest) < u64::from(self.slices)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits of a latency are enough")]
fn pack(count: u32, mean: f64) -> u64 {
    u64::from(count) << 32 | u64::from((mean as f32).to_bits())
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the word")]
fn unpack(word: u64) -> (u32, f64) {
    ((word >> 32) as u32, f64::from(f32::from_bits(word as u32)))
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_mean_and_forgets_it_after_an_idle_window() {
        let ewma = EwmaEstimator::new(0.125, 2, 6);
        ewma.record(Tick(1), 0.8);
        assert_eq!(ewma.estimate(Tick(1)), None, "one sample is not two");
        ewma.record(Tick(1), 1.6);
        assert!((ewma.estimate(Tick(1)).unwrap() - 0.9).abs() < 1e-6);
        assert!(ewma.estimate(Tick(6)).is_some() && ewma.estimate(Tick(7)).is_none());
        ewma.record(Tick(1 << 40), 0.1);
        assert_eq!((ewma.samples(Tick(1 << 40)), ewma.estimate(Tick(1 << 40))), (1, None));
    }

    #[test]
    fn a_latency_that_is_taken_so_many_times_counts_as_if_each_had_been_measured() {
        for times in [1, 2, 7, 400] {
            let [once, at_once] = [(); 2].map(|()| EwmaEstimator::new(0.125, 2, 6));
            for ewma in [&once, &at_once] {
                (0..3).for_each(|_| ewma.record(Tick(1), 0.8));
            }
            (0..times).for_each(|_| once.record(Tick(1), 1.6));
            at_once.record_times(Tick(1), 1.6, times);
            let (once, all) = (once.estimate(Tick(1)).unwrap(), at_once.estimate(Tick(1)).unwrap());
            assert!((once - all).abs() < 1e-5, "{once}, {all}");
            assert_eq!(at_once.recorded(), 3 + u64::from(times));
        }
    }

    #[test]
    fn a_full_count_goes_on() {
        let ewma = EwmaEstimator::new(0.125, 20, 6);
        ewma.record_times(Tick(1), 0.8, u32::MAX);
        let full = ewma.recorded();
        ewma.record(Tick(1), 0.8);
        assert!(ewma.recorded() != full && ewma.estimate(Tick(1)).is_some());
    }
}
