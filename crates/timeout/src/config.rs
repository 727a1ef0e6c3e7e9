//! How a limit is found. A [`LimitConfig`] is valid once it exists.

use std::{sync::Arc, time::Duration};

use steadfast_core::{ConfigError, parts::Buckets};

use crate::multiple::Bounds;

/// How many slices a window is cut into: samples leave it a sixth at a time, which is smooth enough and cheap to sum.
pub(crate) const SLICES: u32 = 6;
/// Far below the histogram's end, so that no ceiling is cut off by it.
const HIGHEST_CEILING: Duration = Duration::from_secs(3600);
/// A slice of ten milliseconds; shorter ones are finer than the timers around them.
const SHORTEST_WINDOW: Duration = Duration::from_millis(60);
/// What was an hour ago says nothing about now.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);

/// How long a request may wait, or how that is found out: a fixed limit, or one measured from latency.
///
/// Made by [`fixed`](Self::fixed), [`adaptive`](Self::adaptive), or by one of [`Quantile`], [`Ewma`] and [`Rfc6298`].
#[derive(Clone, Debug)]
pub struct LimitConfig {
    pub(crate) rule: Rule,
    pub(crate) name: Option<Arc<str>>,
}

/// The rule with all its numbers, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// No limit but the deadline.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "for layers that keep deadlines only"))]
    Unlimited,
    Fixed(Duration),
    Quantile {
        quantile: f64,
        multiple: MultipleRule,
    },
    Ewma {
        weight: f64,
        multiple: MultipleRule,
    },
    Rfc6298 {
        bounds: Bounds,
        granularity: Duration,
        initial: Duration,
    },
}

/// What the rules that multiply an estimate have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MultipleRule {
    pub(crate) bounds: Bounds,
    pub(crate) factor: f64,
    pub(crate) cold_start: Duration,
    pub(crate) minimum_samples: u32,
    pub(crate) buckets: Buckets,
}

impl LimitConfig {
    /// Gives every request `limit`.
    ///
    /// # Errors
    /// When `limit` is zero.
    pub fn fixed(limit: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!limit.is_zero(), "limit", limit, "above zero")?;
        Ok(Self::from(Rule::Fixed(limit)))
    }

    /// Gives a request twice the 99 % quantile of the last minute's latencies, within the bounds: [`Quantile`] with its defaults.
    ///
    /// # Errors
    /// As [`Quantile::build`].
    pub fn adaptive(floor: Duration, ceiling: Duration) -> Result<Self, ConfigError> {
        Quantile::new(floor, ceiling).build()
    }

    /// The same rule with a name, which labels metrics and events. The default is `default`, and has no gauge.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

impl From<Rule> for LimitConfig {
    fn from(rule: Rule) -> Self {
        Self { rule, name: None }
    }
}

/// Gives a request a multiple of a latency quantile: `clamp(quantile × factor, floor, ceiling)`.
///
/// | | default | why |
/// |---|---|---|
/// | `quantile` | 0.99 | the tail that is still normal |
/// | `factor` | 2 | a call that takes twice as long as the slowest of a hundred is not going to be normal |
/// | `window` | 60 s | long enough for a quantile at one request a second, short enough to follow a day's tides |
/// | `minimum_samples` | 20 | with fewer, the quantile is a single call |
/// | `cold_start` | the ceiling | who knows nothing should not give up early |
#[derive(Clone, Copy, Debug)]
pub struct Quantile {
    bounds: Bounds,
    quantile: f64,
    factor: f64,
    cold_start: Option<Duration>,
    minimum_samples: u32,
    window: Duration,
}

impl Quantile {
    /// The defaults, between `floor` and `ceiling`.
    #[must_use]
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        let window = Duration::from_secs(60);
        Self {
            bounds: Bounds { floor, ceiling },
            quantile: 0.99,
            factor: 2.0,
            cold_start: None,
            minimum_samples: 20,
            window,
        }
    }

    /// Which quantile of the latencies, between 0 and 1, both excluded.
    #[must_use]
    pub const fn quantile(self, quantile: f64) -> Self {
        Self { quantile, ..self }
    }

    /// How many times the quantile a request is given, at least 1.
    #[must_use]
    pub const fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// What a request is given while there are too few samples, within the bounds.
    #[must_use]
    pub const fn cold_start(self, limit: Duration) -> Self {
        Self { cold_start: Some(limit), ..self }
    }

    /// How many samples the window must hold before the quantile counts, at least 1.
    #[must_use]
    pub const fn minimum_samples(self, samples: u32) -> Self {
        Self { minimum_samples: samples, ..self }
    }

    /// How long a latency is remembered, from 60 ms to an hour. Samples leave the window a sixth of it at a time.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When the floor is zero or above the ceiling, the ceiling above an hour, the quantile outside 0..1, the factor below 1 or
    /// not finite, the cold start outside the bounds, the minimum zero, or the window outside its range.
    pub fn build(self) -> Result<LimitConfig, ConfigError> {
        let inside = self.quantile > 0.0 && self.quantile < 1.0;
        ConfigError::require(inside, "quantile", self.quantile, "above 0 and below 1")?;
        let multiple = multiple(self.bounds, self.factor, self.cold_start, self.minimum_samples, self.window)?;
        Ok(LimitConfig::from(Rule::Quantile { quantile: self.quantile, multiple }))
    }
}

/// Gives a request a multiple of a moving average of latencies: `clamp(average × factor, floor, ceiling)`.
///
/// It follows a change sooner than a quantile and needs a few bytes where that needs kilobytes; it knows nothing of the spread,
/// so the factor has to. The average is forgotten when a whole window has passed without a sample.
///
/// | | default | why |
/// |---|---|---|
/// | `weight` | 1/8 | TCP's gain: the last eight samples make two thirds of the average |
/// | `factor` | 4 | the tail of an exponential spread passes four times its mean twice in a hundred |
/// | `window`, `minimum_samples`, `cold_start` | 60 s, 20, the ceiling | as for [`Quantile`] |
#[derive(Clone, Copy, Debug)]
pub struct Ewma {
    bounds: Bounds,
    weight: f64,
    factor: f64,
    cold_start: Option<Duration>,
    minimum_samples: u32,
    window: Duration,
}

impl Ewma {
    /// The defaults, between `floor` and `ceiling`.
    #[must_use]
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        let window = Duration::from_secs(60);
        Self {
            bounds: Bounds { floor, ceiling },
            weight: 0.125,
            factor: 4.0,
            cold_start: None,
            minimum_samples: 20,
            window,
        }
    }

    /// How much of the average a new sample makes, above 0 and at most 1.
    #[must_use]
    pub const fn weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// How many times the average a request is given, at least 1.
    #[must_use]
    pub const fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// What a request is given while there are too few samples, within the bounds.
    #[must_use]
    pub const fn cold_start(self, limit: Duration) -> Self {
        Self { cold_start: Some(limit), ..self }
    }

    /// How many samples the average must rest on before it counts, at least 1.
    #[must_use]
    pub const fn minimum_samples(self, samples: u32) -> Self {
        Self { minimum_samples: samples, ..self }
    }

    /// How long the average is remembered without a sample, from 60 ms to an hour.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// As [`Quantile::build`], with the weight outside 0..=1 in the quantile's place.
    pub fn build(self) -> Result<LimitConfig, ConfigError> {
        let inside = self.weight > 0.0 && self.weight <= 1.0;
        ConfigError::require(inside, "weight", self.weight, "above 0 and at most 1")?;
        let multiple = multiple(self.bounds, self.factor, self.cold_start, self.minimum_samples, self.window)?;
        Ok(LimitConfig::from(Rule::Ewma { weight: self.weight, multiple }))
    }
}

/// Gives a request TCP's retransmission timeout (RFC 6298): `clamp(SRTT + max(G, 4 × RTTVAR), floor, ceiling)`, doubled by
/// each expiry of the current one, up to the ceiling, until a fresh sample comes.
///
/// A sample is fresh when its request is not a retry (Karn's rule), as the request's
/// [`RequestContext`](steadfast_core::RequestContext) tells. An answer found after its limit, because the process stood still, is none. Unlike the other rules, this one never forgets.
///
/// | | default | why |
/// |---|---|---|
/// | `cold_start` | 1 s, or the bound next to it | the RFC's first RTO (section 2.1) |
/// | `granularity` | 1 ms | that of tokio's timers |
#[derive(Clone, Copy, Debug)]
pub struct Rfc6298 {
    bounds: Bounds,
    granularity: Duration,
    cold_start: Option<Duration>,
}

impl Rfc6298 {
    /// The defaults, between `floor` and `ceiling`.
    #[must_use]
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { bounds: Bounds { floor, ceiling }, granularity: Duration::from_millis(1), cold_start: None }
    }

    /// What a request is given before the first sample, within the bounds.
    #[must_use]
    pub const fn cold_start(self, limit: Duration) -> Self {
        Self { cold_start: Some(limit), ..self }
    }

    /// G, the clock's granularity: the least room above SRTT, at most an hour.
    #[must_use]
    pub const fn granularity(self, granularity: Duration) -> Self {
        Self { granularity, ..self }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When the floor is zero or above the ceiling, the ceiling or the granularity above an hour, or the cold start outside the bounds.
    pub fn build(self) -> Result<LimitConfig, ConfigError> {
        let Self { bounds, granularity, .. } = self;
        check(bounds, self.cold_start)?;
        ConfigError::require(granularity <= HIGHEST_CEILING, "granularity", granularity, "at most an hour")?;
        let initial = self.cold_start.unwrap_or(Duration::from_secs(1).clamp(bounds.floor, bounds.ceiling));
        Ok(LimitConfig::from(Rule::Rfc6298 { bounds, granularity, initial }))
    }
}

fn multiple(
    bounds: Bounds,
    factor: f64,
    cold_start: Option<Duration>,
    minimum_samples: u32,
    window: Duration,
) -> Result<MultipleRule, ConfigError> {
    check(bounds, cold_start)?;
    ConfigError::require(factor.is_finite() && factor >= 1.0, "factor", factor, "finite and at least 1")?;
    ConfigError::require(minimum_samples >= 1, "minimum_samples", minimum_samples, "at least 1")?;
    let in_range = (SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&window);
    ConfigError::require(in_range, "window", window, "from 60 ms to an hour")?;
    let buckets = Buckets::new(window, SLICES)?;
    Ok(MultipleRule { bounds, factor, cold_start: cold_start.unwrap_or(bounds.ceiling), minimum_samples, buckets })
}

fn check(Bounds { floor, ceiling }: Bounds, cold_start: Option<Duration>) -> Result<(), ConfigError> {
    ConfigError::require(!floor.is_zero(), "floor", floor, "above zero")?;
    ConfigError::require(ceiling <= HIGHEST_CEILING, "ceiling", ceiling, "at most an hour")?;
    ConfigError::require(floor <= ceiling, "floor", floor, "at most the ceiling")?;
    let cold_start = cold_start.unwrap_or(ceiling);
    ConfigError::require((floor..=ceiling).contains(&cold_start), "cold_start", cold_start, "between floor and ceiling")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const GOOD: Quantile = Quantile::new(Duration::from_millis(10), Duration::from_secs(5));

    #[test]
    fn what_cannot_work_is_refused_with_field_and_value() {
        let good_ewma = Ewma::new(10 * MS, 5000 * MS);
        let good_rfc = Rfc6298::new(10 * MS, 5000 * MS);
        for (result, field, value) in [
            (LimitConfig::fixed(Duration::ZERO), "limit", "0ns"),
            (LimitConfig::adaptive(Duration::ZERO, MS), "floor", "0ns"),
            (LimitConfig::adaptive(2 * MS, MS), "floor", "2ms"),
            (LimitConfig::adaptive(MS, Duration::MAX), "ceiling", "18446744073709551615.999999999s"),
            (GOOD.quantile(0.0).build(), "quantile", "0.0"),
            (GOOD.quantile(1.0).build(), "quantile", "1.0"),
            (GOOD.quantile(f64::NAN).build(), "quantile", "NaN"),
            (GOOD.factor(0.99).build(), "factor", "0.99"),
            (GOOD.factor(f64::NAN).build(), "factor", "NaN"),
            (GOOD.factor(f64::INFINITY).build(), "factor", "inf"),
            (GOOD.cold_start(9 * MS).build(), "cold_start", "9ms"),
            (GOOD.cold_start(5001 * MS).build(), "cold_start", "5.001s"),
            (GOOD.minimum_samples(0).build(), "minimum_samples", "0"),
            (GOOD.window(59 * MS).build(), "window", "59ms"),
            (GOOD.window(Duration::MAX).build(), "window", "18446744073709551615.999999999s"),
            (good_ewma.weight(0.0).build(), "weight", "0.0"),
            (good_ewma.weight(f64::NAN).build(), "weight", "NaN"),
            (good_ewma.weight(1.1).build(), "weight", "1.1"),
            (good_ewma.factor(f64::NAN).build(), "factor", "NaN"),
            (good_rfc.cold_start(Duration::ZERO).build(), "cold_start", "0ns"),
            (good_rfc.granularity(Duration::MAX).build(), "granularity", "18446744073709551615.999999999s"),
            (Rfc6298::new(Duration::ZERO, MS).build(), "floor", "0ns"),
        ] {
            let error = result.unwrap_err();
            assert_eq!((error.field, error.value.as_str()), (field, value));
        }
    }

    #[test]
    fn the_edges_are_allowed() {
        for result in [
            LimitConfig::fixed(Duration::MAX),
            LimitConfig::adaptive(Duration::from_nanos(1), HIGHEST_CEILING),
            LimitConfig::adaptive(MS, MS),
            GOOD.factor(1.0).cold_start(10 * MS).minimum_samples(1).window(SHORTEST_WINDOW).build(),
            GOOD.factor(f64::MAX).cold_start(5000 * MS).minimum_samples(u32::MAX).window(LONGEST_WINDOW).build(),
            Ewma::new(MS, MS).weight(1.0).build(),
            Rfc6298::new(2000 * MS, 5000 * MS).granularity(Duration::ZERO).build(),
        ] {
            assert!(result.is_ok(), "{result:?}");
        }
    }
}
