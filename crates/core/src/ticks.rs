//! A clock cut into buckets.

use std::time::{Duration, Instant};

use crate::{
    TimeSource,
    time_window::{Buckets, Tick},
};

/// A clock, cut into the buckets of a window: it shows the number of the bucket now being filled,
/// counted from its start.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    source: TimeSource,
    origin: Instant,
    buckets: Buckets,
}

impl Ticks {
    /// Starts now. No runtime is needed.
    #[must_use]
    pub fn start(source: TimeSource, buckets: Buckets) -> Self {
        Self { source, origin: source.now(), buckets }
    }

    /// The tick now. Reads the clock.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Tick {
        self.at(self.source.now())
    }

    /// The tick `now` falls in; the first one for any instant before the start.
    #[inline]
    #[must_use]
    pub fn at(&self, now: Instant) -> Tick {
        self.buckets.tick(self.origin, now)
    }

    /// How much time the window that ends `now` covers: the bucket now being filled, as far as it
    /// is, and those before it, as far back as the start.
    #[must_use]
    pub fn covered(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.origin);
        let oldest = self.at(now).0.saturating_sub(u64::from(self.buckets.number()) - 1);
        let nanos = u128::from(oldest) * self.buckets.width().as_nanos();
        since.saturating_sub(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The buckets.
    #[must_use]
    pub const fn buckets(&self) -> Buckets {
        self.buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_counts_buckets_from_its_start() {
        tokio::time::advance(Duration::from_secs(7)).await;
        let before = TimeSource::Tokio.now() - Duration::from_secs(1);
        let ticks =
            Ticks::start(TimeSource::Tokio, Buckets::new(Duration::from_secs(1), 10).unwrap());
        assert_eq!((ticks.now(), ticks.at(before)), (Tick(0), Tick(0)));
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!((ticks.now(), ticks.at(TimeSource::Tokio.now())), (Tick(2), Tick(2)));
    }
    #[tokio::test(start_paused = true)]
    async fn a_window_covers_what_has_passed_since_the_start_and_then_a_window() {
        let ms = Duration::from_millis(1);
        let ticks =
            Ticks::start(TimeSource::Tokio, Buckets::new(Duration::from_secs(1), 10).unwrap());
        let start = TimeSource::Tokio.now();
        for (passed, covered) in [(0, 0), (250, 250), (999, 999), (1000, 900), (60_050, 950)] {
            assert_eq!(ticks.covered(start + passed * ms), covered * ms, "after {passed} ms");
        }
        assert_eq!(ticks.covered(start - ms), Duration::ZERO, "a straggler");
    }
}
