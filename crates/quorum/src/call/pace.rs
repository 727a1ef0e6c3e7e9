//! How fast nodes are called.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{
    ConfigError, TimeSource,
    parts::{Buckets, LatencyQuantile},
};

/// Latency is measured by the fine clock only.
pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// How fast nodes are called.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// All at once.
    AllAtOnce,
    /// A quorum first; one more on each failure.
    QuorumFirst,
    /// A quorum first; one more on each failure, and one more after each delay.
    Staggered(Duration),
    /// The same, with a delay learned from latencies.
    Hedged(Arc<Learned>),
}

impl Pace {
    /// How long to wait before one more node is called, if at all.
    pub(crate) fn delay(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::AllAtOnce | Self::QuorumFirst => None,
            Self::Staggered(delay) => Some(*delay),
            Self::Hedged(learned) => Some(learned.delay(now)),
        }
    }

    /// A node has answered as it should.
    pub(crate) fn answered(&self, now: Instant, latency: Duration) {
        if let Self::Hedged(learned) = self {
            learned.record(now, latency);
        }
    }

    /// A node was given up after it had been `out` for so long, which is longer than the delay: that is all that is known of
    /// its latency, and counts as just that long. Left out, the slow would never be seen, and the delay would shrink to what
    /// the fast ones take. Counted for longer, one dead node would drive the delay of all calls up to the ceiling.
    pub(crate) fn given_up(&self, now: Instant, out: Duration) {
        if let Self::Hedged(learned) = self
            && let Some(delay) = learned.learned(now)
            && out >= delay
        {
            // A little less, for a bucket ends below its edge: so that the delay stays what it is.
            learned.record(now, delay - delay / 64);
        }
    }
}

/// How long a call waits before it calls one more node: a quantile of the latencies seen, within bounds.
///
/// At a quantile of 0.95, one call of a node in twenty is followed by a call of one node more. (J. Dean, L. A. Barroso:
/// *The Tail at Scale*, Communications of the ACM 56, 2013.)
///
/// | | default | why |
/// |---|---|---|
/// | `quantile` | 0.95 | as in the paper: 5 % more load takes most of the tail away |
/// | `window` | 60 s | long enough for a quantile at one request a second, short enough to follow a day's tides |
/// | `minimum_samples` | 20 | with fewer, the quantile is a single call |
/// | until then | the ceiling | who knows nothing should not send more |
#[derive(Clone, Copy, Debug)]
pub struct Hedge {
    floor: Duration,
    ceiling: Duration,
    quantile: f64,
    window: Duration,
    minimum_samples: u32,
}

/// Samples leave the window a sixth at a time.
const SLICES: u32 = 6;

impl Hedge {
    /// The defaults, between `floor` and `ceiling`.
    #[must_use]
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling, quantile: 0.95, window: Duration::from_secs(60), minimum_samples: 20 }
    }

    /// Which quantile of the latencies, between 0 and 1, both excluded.
    #[must_use]
    pub const fn quantile(self, quantile: f64) -> Self {
        Self { quantile, ..self }
    }

    /// How long latencies count. From 60 ms to an hour.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// How many latencies there must be before they count, at least 1.
    #[must_use]
    pub const fn minimum_samples(self, minimum_samples: u32) -> Self {
        Self { minimum_samples, ..self }
    }

    pub(crate) fn learn(self) -> Result<Learned, ConfigError> {
        let Self { floor, ceiling, quantile, window, minimum_samples } = self;
        ConfigError::require(floor <= ceiling, "floor", floor, "at most the ceiling")?;
        ConfigError::require(!ceiling.is_zero(), "ceiling", ceiling, "above zero")?;
        ConfigError::require(quantile > 0.0 && quantile < 1.0, "quantile", quantile, "between 0 and 1")?;
        let windows = Duration::from_millis(60)..=Duration::from_secs(3600);
        ConfigError::require(windows.contains(&window), "window", window, "from 60 ms to an hour")?;
        ConfigError::require(minimum_samples > 0, "minimum_samples", minimum_samples, "at least 1")?;
        Ok(Learned {
            hedge: self,
            latencies: LatencyQuantile::new(quantile, minimum_samples, SLICES),
            buckets: Buckets::new(window, SLICES)?,
            origin: CLOCK.now(),
        })
    }
}

/// The latencies seen, and the delay they tell.
pub(crate) struct Learned {
    hedge: Hedge,
    latencies: LatencyQuantile,
    buckets: Buckets,
    origin: Instant,
}

impl Learned {
    fn delay(&self, now: Instant) -> Duration {
        self.learned(now).unwrap_or(self.hedge.ceiling)
    }

    /// The delay, once there are enough latencies.
    fn learned(&self, now: Instant) -> Option<Duration> {
        let Hedge { floor, ceiling, .. } = self.hedge;
        let seconds = self.latencies.estimate(self.buckets.tick(self.origin, now).0)?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(ceiling).clamp(floor, ceiling))
    }

    fn record(&self, now: Instant, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.record(self.buckets.tick(self.origin, now).0, nanos);
    }
}

impl fmt::Debug for Learned {
    /// Without the latencies, which are thousands of counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learned").field("hedge", &self.hedge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn hedged(hedge: Hedge) -> Pace {
        Pace::Hedged(Arc::new(hedge.learn().unwrap()))
    }

    #[test]
    fn the_delay_is_a_quantile_of_what_was_seen_within_bounds() {
        let pace = hedged(Hedge::new(5 * MS, 80 * MS));
        let now = CLOCK.now();
        assert_eq!(pace.delay(now), Some(80 * MS), "who knows nothing should not send more");
        (1..=100).for_each(|ms| pace.answered(now, ms * MS / 2));
        let delay = pace.delay(now).unwrap();
        assert!(delay >= 47 * MS && delay <= 51 * MS, "{delay:?}");
        (0..10_000).for_each(|_| pace.answered(now, MS));
        assert_eq!(pace.delay(now), Some(5 * MS));
        assert_eq!(pace.delay(now + Duration::from_secs(120)), Some(80 * MS), "what is old does not count");
    }

    #[test]
    fn a_tail_that_is_given_up_is_still_seen() {
        let pace = hedged(Hedge::new(MS, 500 * MS));
        let now = CLOCK.now();
        (0..100).for_each(|_| pace.answered(now, 10 * MS));
        let delay = pace.delay(now).unwrap();
        // The slow tenth is given up whenever it takes longer than the delay. Left out, only the fast half of the rest would
        // count.
        for _ in 0..1000 {
            (0..9).for_each(|_| pace.answered(now, 3 * MS));
            pace.given_up(now, 30 * MS);
        }
        assert_eq!(pace.delay(now).unwrap(), delay, "one in ten still takes longer than this");
        (0..100_000).for_each(|_| pace.given_up(now, MS));
        assert_eq!(pace.delay(now).unwrap(), delay, "given up before its time it tells nothing");
    }

    #[test]
    fn a_dead_node_does_not_drive_the_delay_up_and_a_slower_network_does() {
        let pace = hedged(Hedge::new(MS, 500 * MS));
        let now = CLOCK.now();
        // From the very beginning every other call is given up at the delay, whatever it is.
        for _ in 0..3000 {
            pace.answered(now, 10 * MS);
            pace.given_up(now, pace.delay(now).unwrap());
        }
        let delay = pace.delay(now).unwrap();
        assert!(delay >= 10 * MS && delay <= 11 * MS, "{delay:?}");
        (0..1000).for_each(|_| pace.answered(now, 80 * MS));
        assert!(pace.delay(now).unwrap() >= 80 * MS);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let refused = |hedge: Hedge| hedge.learn().unwrap_err().field;
        assert_eq!(refused(Hedge::new(2 * MS, MS)), "floor");
        assert_eq!(refused(Hedge::new(Duration::ZERO, Duration::ZERO)), "ceiling");
        let hedge = Hedge::new(MS, 9 * MS);
        assert_eq!(refused(hedge.quantile(1.0)), "quantile");
        assert_eq!(refused(hedge.quantile(f64::NAN)), "quantile");
        assert_eq!(refused(hedge.window(MS)), "window");
        assert_eq!(refused(hedge.minimum_samples(0)), "minimum_samples");
    }
}
