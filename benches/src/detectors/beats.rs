//! Heartbeats in synthetic time, seeded, and questions after them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::TimeSource;

use crate::{chance::SplitMix64, subject::Subject};

/// The time between heartbeats as they are sent.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// How long an outage lasts.
const OUTAGE: u64 = 3_600_000_000_000;

/// So many different intervals come again and again: too many for a branch predictor, few enough
/// for the first cache.
const MIX: usize = 1 << 12;

/// Intervals of 80 to 120 ms, in nanoseconds; in some histories two of the mix are outages of an
/// hour each, so that a window of a thousand holds one half of the time.
pub(crate) fn intervals(outages: bool) -> Arc<[u64]> {
    let mut chance = SplitMix64::seeded(1);
    let mut mix: Vec<u64> =
        (0..MIX).map(|_| 80_000_000 + chance.below(40_000_000) as u64).collect();
    if outages {
        mix[MIX / 4] = OUTAGE;
        mix[3 * MIX / 4] = OUTAGE;
    }
    mix.into()
}

/// Instants up to `silence` after `last`.
pub(crate) fn questions(last: Instant, silence: Duration) -> Vec<Instant> {
    let mut chance = SplitMix64::seeded(2);
    (0..MIX).map(|_| last + silence.mul_f64(chance.share())).collect()
}

/// One heartbeat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    pub(crate) now: Instant,
    /// Since the one before.
    pub(crate) interval: Duration,
    pub(crate) number: u64,
}

/// Tells a detector of heartbeats, one after the other.
#[derive(Clone)]
pub(crate) struct Beating<D, F> {
    detector: D,
    intervals: Arc<[u64]>,
    start: Instant,
    elapsed: u64,
    number: u64,
    beat: F,
}

impl<D, F: FnMut(&mut D, Beat)> Beating<D, F> {
    pub(crate) fn new(detector: D, outages: bool, beat: F) -> Self {
        let start = TimeSource::Tokio.now();
        Self { detector, intervals: intervals(outages), start, elapsed: 0, number: 0, beat }
    }

    /// The detector after so many heartbeats, and when the last of them was.
    pub(crate) fn after(mut self, beats: u64) -> (D, Instant) {
        (0..beats).for_each(|_| self.next());
        let last = self.now();
        (self.detector, last)
    }

    #[inline]
    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.elapsed)
    }

    #[inline]
    fn next(&mut self) {
        let interval = self.intervals[self.number as usize % MIX];
        self.elapsed += interval;
        self.number += 1;
        let interval = Duration::from_nanos(interval);
        let beat = Beat { now: self.now(), interval, number: self.number };
        (self.beat)(&mut self.detector, beat);
    }
}

impl<D, F> Subject for Beating<D, F>
where
    D: Clone + Send + 'static,
    F: FnMut(&mut D, Beat) + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        (0..calls).for_each(|_| self.next());
        calls
    }

    /// A detector of one peer has one owner: the fork tells a copy of it.
    fn fork(&self) -> Box<dyn Subject> {
        Box::new(self.clone())
    }
}
