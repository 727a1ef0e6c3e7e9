//! When nodes are called.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{
    ConfigError, TimeSource,
    parts::{Bounds, LatencyQuantile, QuantileConfig, Ticks},
};

/// Latency is measured by the fine clock only.
pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// When nodes are called.
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

    /// A node that was called at `since` has said yes.
    pub(crate) fn answered(&self, now: Instant, since: Instant) {
        if let Self::Hedged(learned) = self {
            learned.record(now, now.saturating_duration_since(since));
        }
    }

    /// A node was given up after it had been `out` for so long. Where that is longer than the
    /// delay, a latency of just the delay is recorded: no more is known. With no sample at all slow
    /// nodes would never be seen, and the delay would shrink to what the fast ones take; with a
    /// longer one, a single dead node would drive the delay of all calls up to the ceiling.
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

/// How long a call waits before it calls one more node: a quantile of the latencies seen, within
/// bounds.
///
/// At a quantile of 0.95, one call of a node in twenty is followed by a call of one node more. (J.
/// Dean, L. A. Barroso: *The Tail at Scale*, Communications of the ACM 56, 2013.)
///
/// | | default | why |
/// |---|---|---|
/// | `quantile` | 0.95 | as in the paper: 5 % more load takes most of the tail away |
/// | `window` | 60 s | long enough for a quantile at one request a second, short enough to follow a day's tides |
/// | `minimum_samples` | 20 | with fewer, the quantile is a single call |
/// | until then | the ceiling | without knowledge no more is sent than it takes |
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Hedge(QuantileConfig);

impl Hedge {
    /// The defaults, between `floor` and `ceiling`: the floor above zero, the ceiling at most an
    /// hour.
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self(QuantileConfig::new(0.95, floor, ceiling))
    }

    /// Which quantile of the latencies, between 0 and 1, both excluded.
    pub const fn quantile(mut self, quantile: f64) -> Self {
        self.0.quantile = quantile;
        self
    }

    /// How long latencies count. From 60 ms to an hour.
    pub const fn window(mut self, window: Duration) -> Self {
        self.0.estimate.window = window;
        self
    }

    /// How many latencies there must be before they count, at least 1.
    pub const fn minimum_samples(mut self, minimum_samples: u32) -> Self {
        self.0.estimate.minimum_samples = minimum_samples;
        self
    }

    pub(crate) fn learn(self) -> Result<Learned, ConfigError> {
        let ticks = Ticks::start(CLOCK, self.0.check()?);
        Ok(Learned { bounds: self.0.estimate.bounds, latencies: self.0.latencies(), ticks })
    }
}

/// The latencies seen, and the delay that follows from them.
pub(crate) struct Learned {
    bounds: Bounds,
    latencies: LatencyQuantile,
    ticks: Ticks,
}

impl Learned {
    fn delay(&self, now: Instant) -> Duration {
        self.learned(now).unwrap_or(self.bounds.ceiling)
    }

    /// The delay, once there are enough latencies.
    fn learned(&self, now: Instant) -> Option<Duration> {
        Some(self.bounds.clamp(self.latencies.estimate(self.ticks.at(now))?))
    }

    fn record(&self, now: Instant, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.record(self.ticks.at(now), nanos);
    }
}

impl fmt::Debug for Learned {
    /// Without the latencies, which are thousands of counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learned").field("bounds", &self.bounds).finish_non_exhaustive()
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
        assert_eq!(
            pace.delay(now),
            Some(80 * MS),
            "without knowledge no more is sent than it takes"
        );
        (1..=100).for_each(|ms| pace.answered(now + ms * MS / 2, now));
        let delay = pace.delay(now).unwrap();
        assert!(delay >= 47 * MS && delay <= 51 * MS, "{delay:?}");
        (0..10_000).for_each(|_| pace.answered(now + MS, now));
        assert_eq!(pace.delay(now), Some(5 * MS));
        assert_eq!(
            pace.delay(now + Duration::from_secs(120)),
            Some(80 * MS),
            "what is old does not count"
        );
    }

    #[test]
    fn a_tail_that_is_given_up_is_still_seen() {
        let pace = hedged(Hedge::new(MS, 500 * MS));
        let now = CLOCK.now();
        (0..100).for_each(|_| pace.answered(now + 10 * MS, now));
        let delay = pace.delay(now).unwrap();
        // The slow tenth is given up whenever it takes longer than the delay. Without samples of it
        // only the fast nine tenths would count.
        for _ in 0..1000 {
            (0..9).for_each(|_| pace.answered(now + 3 * MS, now));
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
            pace.answered(now + 10 * MS, now);
            pace.given_up(now, pace.delay(now).unwrap());
        }
        let delay = pace.delay(now).unwrap();
        assert!(delay >= 10 * MS && delay <= 11 * MS, "{delay:?}");
        (0..1000).for_each(|_| pace.answered(now + 80 * MS, now));
        assert!(pace.delay(now).unwrap() >= 80 * MS);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let refused = |hedge: Hedge| hedge.learn().unwrap_err().field;
        assert_eq!(refused(Hedge::new(2 * MS, MS)), "floor");
        assert_eq!(refused(Hedge::new(Duration::ZERO, Duration::ZERO)), "ceiling");
        assert_eq!(refused(Hedge::new(Duration::ZERO, MS)), "floor");
        assert_eq!(refused(Hedge::new(MS, Duration::MAX)), "ceiling");
        let hedge = Hedge::new(MS, 9 * MS);
        assert_eq!(refused(hedge.quantile(1.0)), "quantile");
        assert_eq!(refused(hedge.quantile(f64::NAN)), "quantile");
        assert_eq!(refused(hedge.window(MS)), "window");
        assert_eq!(refused(hedge.minimum_samples(0)), "minimum_samples");
    }
}
