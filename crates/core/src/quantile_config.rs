//! What estimates of latency over a window have in common, and in which ranges.

use std::time::Duration;

use crate::{ConfigError, latency::LatencyQuantile, time_window::Buckets};

/// The window is cut into so many slices: samples leave it a sixth at a time, which is smooth
/// enough and cheap to sum.
const SLICES: u32 = 6;
/// A slice of ten milliseconds; shorter ones are finer than the timers around them.
const SHORTEST_WINDOW: Duration = Duration::from_millis(60);
/// What was an hour ago says nothing about now.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);
/// Far below the end of the histogram, so that no ceiling is cut off by it.
const HIGHEST_CEILING: Duration = Duration::from_secs(3600);

/// The range that what is derived from an estimate stays in: a time limit, a hedge's delay.
///
/// The floor is above zero. An estimate can be a few microseconds; without a floor, a limit would
/// then refuse calls for one pause of the scheduler, and a hedge would call all nodes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least, above zero.
    pub floor: Duration,
    /// The most, an hour at most.
    pub ceiling: Duration,
}

impl Bounds {
    /// From `floor` to `ceiling`, not yet checked.
    #[must_use]
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling }
    }

    /// Checks that `0 < floor <= ceiling <= 1 h`.
    ///
    /// # Errors
    /// When it does not hold; the field is `floor` or `ceiling`.
    pub fn check(self) -> Result<(), ConfigError> {
        let Self { floor, ceiling } = self;
        let in_range = !ceiling.is_zero() && ceiling <= HIGHEST_CEILING;
        ConfigError::require(in_range, "ceiling", ceiling, "above zero and at most an hour")?;
        ConfigError::require(!floor.is_zero(), "floor", floor, "above zero")?;
        ConfigError::require(floor <= ceiling, "floor", floor, "at most the ceiling")
    }

    /// Checks that the value of another field lies within the bounds.
    ///
    /// # Errors
    /// When it lies outside.
    pub fn require(self, field: &'static str, value: Duration) -> Result<(), ConfigError> {
        ConfigError::require(
            (self.floor..=self.ceiling).contains(&value),
            field,
            value,
            "between floor and ceiling",
        )
    }

    /// `seconds`, or the bound next to them. What is no duration, such as a NaN, is the ceiling.
    ///
    /// # Panics
    /// When the floor is above the ceiling, which [`check`](Self::check) refuses.
    #[must_use]
    pub fn clamp(self, seconds: f64) -> Duration {
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) => duration.clamp(self.floor, self.ceiling),
            Err(_) => self.ceiling,
        }
    }
}

/// An estimate over a window: within which bounds it is used, how long a sample counts, and how
/// many there must be. Plain data.
///
/// | | default | why |
/// |---|---|---|
/// | `window` | 60 s | long enough for a quantile at one request a second, short enough to follow a day's tides |
/// | `minimum_samples` | 20 | with fewer, the estimate is a single call |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct EstimateConfig {
    /// What is derived from the estimate stays within these.
    pub bounds: Bounds,
    /// How long a sample counts, from 60 ms to an hour.
    pub window: Duration,
    /// How many samples there must be before the estimate counts, at least 1.
    pub minimum_samples: u32,
}

impl EstimateConfig {
    /// The defaults, between `floor` and `ceiling`.
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self {
            bounds: Bounds::new(floor, ceiling),
            window: Duration::from_secs(60),
            minimum_samples: 20,
        }
    }

    /// Checks the numbers, and cuts the window into slices of a sixth.
    ///
    /// # Errors
    /// When the bounds cannot be met, the window is outside its range or the minimum zero. The
    /// field is that of the setter.
    pub fn check(&self) -> Result<Buckets, ConfigError> {
        self.bounds.check()?;
        let in_range = (SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&self.window);
        ConfigError::require(in_range, "window", self.window, "from 60 ms to an hour")?;
        ConfigError::require(
            self.minimum_samples >= 1,
            "minimum_samples",
            self.minimum_samples,
            "at least 1",
        )?;
        Buckets::new(self.window, SLICES).map_err(|error| error.in_field("window"))
    }
}

/// An estimate that is a quantile of the latencies of a window. Plain data.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct QuantileConfig {
    /// Which quantile, between 0 and 1, both excluded.
    pub quantile: f64,
    /// The window, the minimum and the bounds.
    pub estimate: EstimateConfig,
}

impl QuantileConfig {
    /// The `quantile`, with the defaults of [`EstimateConfig`].
    pub const fn new(quantile: f64, floor: Duration, ceiling: Duration) -> Self {
        Self { quantile, estimate: EstimateConfig::new(floor, ceiling) }
    }

    /// Checks the numbers, and cuts the window into slices of a sixth.
    ///
    /// # Errors
    /// When the quantile is outside its range, and as [`EstimateConfig::check`].
    pub fn check(&self) -> Result<Buckets, ConfigError> {
        let in_range = self.quantile > 0.0 && self.quantile < 1.0;
        ConfigError::require(in_range, "quantile", self.quantile, "above 0 and below 1")?;
        self.estimate.check()
    }

    /// The estimator, with no samples yet. 13 kB. Its ticks are those of the buckets that
    /// [`check`](Self::check) returned.
    #[must_use]
    pub fn latencies(&self) -> LatencyQuantile {
        LatencyQuantile::new(self.quantile, self.estimate.minimum_samples, SLICES)
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_window::Tick;

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn refused(
        quantile: f64,
        floor: Duration,
        ceiling: Duration,
        window: Duration,
        minimum_samples: u32,
    ) -> &'static str {
        let estimate =
            EstimateConfig { bounds: Bounds::new(floor, ceiling), window, minimum_samples };
        QuantileConfig { quantile, estimate }.check().map_or_else(|error| error.field, |_| "")
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_setter() {
        for (quantile, field) in
            [(0.0, "quantile"), (1.0, "quantile"), (f64::NAN, "quantile"), (0.5, "")]
        {
            assert_eq!(refused(quantile, MS, MS, 60 * MS, 1), field, "{quantile}");
        }
        let nano = Duration::from_nanos(1);
        let bounds = [
            (Duration::ZERO, Duration::ZERO, "ceiling"),
            (Duration::ZERO, MS, "floor"),
            (2 * MS, MS, "floor"),
            (MS, HOUR + nano, "ceiling"),
            (MS, Duration::MAX, "ceiling"),
            (nano, HOUR, ""),
        ];
        for (floor, ceiling, field) in bounds {
            assert_eq!(refused(0.5, floor, ceiling, HOUR, 1), field, "{floor:?} to {ceiling:?}");
        }
        for (window, field) in
            [(Duration::ZERO, "window"), (59 * MS, "window"), (HOUR + nano, "window"), (HOUR, "")]
        {
            assert_eq!(refused(0.5, MS, MS, window, u32::MAX), field, "{window:?}");
        }
        assert_eq!(refused(0.5, MS, MS, HOUR, 0), "minimum_samples");
    }

    #[test]
    fn another_field_is_refused_outside_the_bounds() {
        let bounds = Bounds::new(2 * MS, 9 * MS);
        for (value, holds) in [(MS, false), (2 * MS, true), (9 * MS, true), (10 * MS, false)] {
            let checked = bounds.require("cold_start", value);
            assert_eq!(checked.is_ok(), holds, "{checked:?}");
        }
    }

    #[test]
    fn what_is_no_duration_is_the_ceiling() {
        let bounds = Bounds::new(2 * MS, 9 * MS);
        for (seconds, expected) in [
            (0.0, 2),
            (0.005, 5),
            (1.0, 9),
            (f64::NAN, 9),
            (f64::INFINITY, 9),
            (1e300, 9),
            (-1.0, 9),
        ] {
            assert_eq!(bounds.clamp(seconds), expected * MS, "{seconds}");
        }
    }

    #[test]
    fn the_estimator_counts_over_the_window_that_was_checked() {
        let config = QuantileConfig::new(0.5, MS, HOUR);
        let (buckets, latencies) = (config.check().unwrap(), config.latencies());
        (0..19).for_each(|_| latencies.record(Tick(1), 5_000_000));
        assert_eq!(latencies.estimate(Tick(1)), None, "below the minimum");
        latencies.record(Tick(1), 5_000_000);
        let whole_window = Tick(u64::from(buckets.number()));
        assert!(latencies.estimate(whole_window).is_some());
        assert_eq!(latencies.estimate(Tick(whole_window.0 + 1)), None, "out of the window");
        assert_eq!(buckets.width(), Duration::from_secs(10));
    }
}
