//! A clock cut into buckets.

use std::time::Instant;

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

    /// The buckets.
    #[must_use]
    pub const fn buckets(&self) -> Buckets {
        self.buckets
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
