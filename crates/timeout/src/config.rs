//! How a limit is found: plain data, checked by [`TimeLimit::new`](crate::TimeLimit::new).

use std::{marker::PhantomData, sync::Arc, time::Duration};

use steadfast_core::{
    ConfigError,
    parts::{Bounds, Buckets, EstimateConfig, QuantileConfig},
};

/// A clock coarser than this is not one.
const COARSEST_GRANULARITY: Duration = Duration::from_secs(3600);

/// TCP's first limit (RFC 6298, section 2.1).
const COLD_START_SECS: f64 = 1.0;

/// How long a request may wait, or how that is found out: a fixed limit, or one measured from
/// latency.
///
/// Each constructor returns a type with the setters of its rule.
/// [`TimeLimit::new`](crate::TimeLimit::new) takes them all, and `LimitConfig::from` makes one type
/// of them.
///
/// ```
/// use std::time::Duration;
/// use steadfast_timeout::{LimitConfig, TimeLimit};
///
/// # fn main() -> Result<(), steadfast_core::ConfigError> {
/// let (floor, ceiling) = (Duration::from_millis(20), Duration::from_secs(2));
/// let limit = TimeLimit::new(LimitConfig::quantile(floor, ceiling).quantile(0.95).factor(3.0))?;
/// // Until it has measured: a second.
/// assert_eq!(limit.limit(), Duration::from_secs(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until a limit is made of it"]
pub struct LimitConfig {
    pub(crate) rule: Rule,
    pub(crate) name: Option<Arc<str>>,
}

/// A limit that is a multiple of an estimate: of a [`Quantile`] or an [`Ewma`].
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until a limit is made of it"]
pub struct MultipleOf<E> {
    rule: MultipleRule,
    name: Option<Arc<str>>,
    estimate: PhantomData<E>,
}

/// The estimate is a quantile of the latencies of a window.
#[derive(Clone, Copy, Debug)]
pub enum Quantile {}

/// The estimate is an exponentially weighted moving average of latencies.
#[derive(Clone, Copy, Debug)]
pub enum Ewma {}

/// A limit that follows RFC 6298.
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until a limit is made of it"]
pub struct Rfc6298 {
    rule: Rfc6298Rule,
    name: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Fixed(Duration),
    Multiple(MultipleRule),
    Rfc6298(Rfc6298Rule),
}

/// A multiple of an estimate, with all its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MultipleRule {
    pub(crate) kind: Kind,
    pub(crate) estimate: EstimateConfig,
    pub(crate) factor: f64,
    pub(crate) explore: bool,
    cold_start: Option<Duration>,
}

/// What is estimated, and its one number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Quantile(f64),
    Ewma { weight: f64 },
}

/// RFC 6298, with all its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rfc6298Rule {
    pub(crate) bounds: Bounds,
    pub(crate) granularity: Duration,
    cold_start: Option<Duration>,
}

/// A rule whose numbers have been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settings {
    Fixed(Duration),
    Multiple(MultipleRule, Buckets),
    Rfc6298(Rfc6298Rule),
}

impl LimitConfig {
    /// Gives every request `limit`, which must be above zero. With [`Duration::MAX`] a request may
    /// wait for ever, unless it has a deadline: no timer is set, and no gauge shows the limit.
    pub const fn fixed(limit: Duration) -> Self {
        Self { rule: Rule::Fixed(limit), name: None }
    }

    /// Gives a request a multiple of a latency quantile: `clamp(quantile × factor, floor,
    /// ceiling)`.
    ///
    /// | | default | why |
    /// |---|---|---|
    /// | `quantile` | 0.99 | the tail that is still normal |
    /// | `factor` | 2 | twice the slowest of a hundred is not going to be normal |
    /// | `window` | 60 s | a quantile at one request a second, and still a day's tides |
    /// | `minimum_samples` | 20 | with fewer, the quantile is a single call |
    /// | `cold_start` | 1 s, or the bound next to it | TCP's first (RFC 6298); what is slower is found by exploring |
    /// | `explore` | true | answers within the limit alone never show a step in latency |
    pub const fn quantile(floor: Duration, ceiling: Duration) -> MultipleOf<Quantile> {
        MultipleOf::new(Kind::Quantile(0.99), 2.0, floor, ceiling)
    }

    /// Gives the reader of a body a multiple of the 99 % quantile of the longest waits of bodies:
    /// for the limit between frames of a `BodyTimeoutConfig`, which takes one sample a body.
    ///
    /// | | default | why |
    /// |---|---|---|
    /// | `floor` | 1 s | where 2 % of the bodies are a thousand times longer than the others, the quantile knows nothing of them: it cuts 6 to 21 % of them without |
    /// | `cold_start` | the ceiling | a body is cut after its head was passed on, and no retry repeats it |
    /// | the others | as for [`quantile`](Self::quantile) | |
    ///
    /// For another floor, such as one below a ceiling of less than a second, take `quantile`.
    pub const fn between_frames(ceiling: Duration) -> MultipleOf<Quantile> {
        Self::quantile(Duration::from_secs(1), ceiling).cold_start(ceiling)
    }

    /// Gives a request a multiple of a moving average of latencies:
    /// `clamp(average × factor, floor, ceiling)`.
    ///
    /// It follows a change sooner than a quantile and needs a few bytes where that needs kilobytes.
    /// It knows nothing of the spread, so the factor has to. The average is forgotten when a whole
    /// window has passed without a sample.
    ///
    /// | | default | why |
    /// |---|---|---|
    /// | `weight` | 1/8 | TCP's gain: the last eight samples make two thirds of the average |
    /// | `factor` | 4 | an exponential tail passes four means twice in a hundred |
    /// | `window`, `minimum_samples`, `cold_start`, `explore` | 60 s, 20, 1 s, true | as for the quantile |
    pub const fn ewma(floor: Duration, ceiling: Duration) -> MultipleOf<Ewma> {
        MultipleOf::new(Kind::Ewma { weight: 0.125 }, 4.0, floor, ceiling)
    }

    /// Gives a request TCP's retransmission timeout (RFC 6298):
    /// `clamp(SRTT + max(G, 4 × RTTVAR), floor, ceiling)`, doubled by each expiry of the current
    /// one, up to the ceiling, until a fresh sample comes.
    ///
    /// A sample is fresh when its request is not a retry (Karn's rule), as the request's
    /// [`RequestContext`](steadfast_core::RequestContext) tells. An answer found after its limit,
    /// because the process stood still, is none. Unlike the other rules, this one never forgets.
    ///
    /// | | default | why |
    /// |---|---|---|
    /// | `cold_start` | 1 s, or the bound next to it | the RFC's first RTO (section 2.1) |
    /// | `granularity` | 1 ms | that of tokio's timers |
    pub const fn rfc6298(floor: Duration, ceiling: Duration) -> Rfc6298 {
        let bounds = Bounds::new(floor, ceiling);
        Rfc6298 {
            rule: Rfc6298Rule { bounds, granularity: Duration::from_millis(1), cold_start: None },
            name: None,
        }
    }

    /// The name that labels metrics and events. The default is `default`, and has no gauge.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Checks the numbers.
    pub(crate) fn check(&self) -> Result<Settings, ConfigError> {
        match self.rule {
            Rule::Fixed(limit) => {
                ConfigError::require(!limit.is_zero(), "limit", limit, "above zero")?;
                Ok(Settings::Fixed(limit))
            }
            Rule::Multiple(rule) => Ok(Settings::Multiple(rule, rule.check()?)),
            Rule::Rfc6298(rule) => rule.check().map(|()| Settings::Rfc6298(rule)),
        }
    }
}

impl<E> MultipleOf<E> {
    const fn new(kind: Kind, factor: f64, floor: Duration, ceiling: Duration) -> Self {
        let estimate = EstimateConfig::new(floor, ceiling);
        Self {
            rule: MultipleRule { kind, estimate, factor, explore: true, cold_start: None },
            name: None,
            estimate: PhantomData,
        }
    }

    /// How many times the estimate a request is given, at least 1.
    pub const fn factor(mut self, factor: f64) -> Self {
        self.rule.factor = factor;
        self
    }

    /// What a request is given while there are too few samples, within the bounds.
    pub const fn cold_start(mut self, limit: Duration) -> Self {
        self.rule.cold_start = Some(limit);
        self
    }

    /// Whether calls may be let go on beyond their limit, to find out what lies there: at most two
    /// at a time, up to the ceiling or the request's deadline.
    ///
    /// Without it no request waits longer than the limit said, and each expiry doubles the limit
    /// for all calls instead, which the successes after it take back. Where calls hang for ever the
    /// limit is then higher, in silence it grows to the ceiling, and with a `factor` near 1 and a
    /// heavy tail it is too low.
    pub const fn explore(mut self, explore: bool) -> Self {
        self.rule.explore = explore;
        self
    }

    /// How many samples the estimate must rest on before it counts, at least 1.
    pub const fn minimum_samples(mut self, samples: u32) -> Self {
        self.rule.estimate.minimum_samples = samples;
        self
    }

    /// How long a latency is remembered, from 60 ms to an hour. Samples leave a quantile's window a
    /// sixth of it at a time.
    pub const fn window(mut self, window: Duration) -> Self {
        self.rule.estimate.window = window;
        self
    }

    /// As [`LimitConfig::named`].
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl MultipleOf<Quantile> {
    /// Which quantile of the latencies, between 0 and 1, both excluded.
    pub const fn quantile(mut self, quantile: f64) -> Self {
        self.rule.kind = Kind::Quantile(quantile);
        self
    }
}

impl MultipleOf<Ewma> {
    /// How much of the average a new sample makes, above 0 and at most 1.
    pub const fn weight(mut self, weight: f64) -> Self {
        self.rule.kind = Kind::Ewma { weight };
        self
    }
}

impl Rfc6298 {
    /// What a request is given before the first sample, within the bounds.
    pub const fn cold_start(mut self, limit: Duration) -> Self {
        self.rule.cold_start = Some(limit);
        self
    }

    /// G, the clock's granularity: the least room above SRTT, at most an hour.
    pub const fn granularity(mut self, granularity: Duration) -> Self {
        self.rule.granularity = granularity;
        self
    }

    /// As [`LimitConfig::named`].
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<E> From<MultipleOf<E>> for LimitConfig {
    fn from(config: MultipleOf<E>) -> Self {
        Self { rule: Rule::Multiple(config.rule), name: config.name }
    }
}

impl From<Rfc6298> for LimitConfig {
    fn from(config: Rfc6298) -> Self {
        Self { rule: Rule::Rfc6298(config.rule), name: config.name }
    }
}

impl MultipleRule {
    /// What a request is given while there are too few samples.
    pub(crate) fn cold_start(self) -> Duration {
        self.cold_start.unwrap_or(self.estimate.bounds.clamp(COLD_START_SECS))
    }

    /// Checks the numbers, and cuts the window into slices.
    fn check(self) -> Result<Buckets, ConfigError> {
        let Self { kind, estimate, factor, .. } = self;
        let buckets = match kind {
            Kind::Quantile(quantile) => QuantileConfig { quantile, estimate }.check()?,
            Kind::Ewma { weight } => {
                let inside = weight > 0.0 && weight <= 1.0;
                ConfigError::require(inside, "weight", weight, "above 0 and at most 1")?;
                estimate.check()?
            }
        };
        estimate.bounds.require("cold_start", self.cold_start())?;
        ConfigError::require(
            factor.is_finite() && factor >= 1.0,
            "factor",
            factor,
            "finite and at least 1",
        )?;
        Ok(buckets)
    }
}

impl Rfc6298Rule {
    /// What a request is given before the first sample.
    pub(crate) fn cold_start(self) -> Duration {
        self.cold_start.unwrap_or(self.bounds.clamp(COLD_START_SECS))
    }

    fn check(self) -> Result<(), ConfigError> {
        self.bounds.check()?;
        self.bounds.require("cold_start", self.cold_start())?;
        let granularity = self.granularity;
        ConfigError::require(
            granularity <= COARSEST_GRANULARITY,
            "granularity",
            granularity,
            "at most an hour",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn good() -> MultipleOf<Quantile> {
        LimitConfig::quantile(10 * MS, 5000 * MS)
    }

    fn check(config: impl Into<LimitConfig>) -> Result<Settings, ConfigError> {
        config.into().check()
    }

    #[test]
    fn what_cannot_work_is_refused_with_field_and_value() {
        let good_ewma = || LimitConfig::ewma(10 * MS, 5000 * MS);
        let good_rfc = || LimitConfig::rfc6298(10 * MS, 5000 * MS);
        for (result, field, value) in [
            (check(LimitConfig::fixed(Duration::ZERO)), "limit", "0ns"),
            (check(LimitConfig::quantile(Duration::ZERO, MS)), "floor", "0ns"),
            (check(LimitConfig::quantile(2 * MS, MS)), "floor", "2ms"),
            (
                check(LimitConfig::quantile(MS, Duration::MAX)),
                "ceiling",
                "18446744073709551615.999999999s",
            ),
            (check(good().quantile(0.0)), "quantile", "0.0"),
            (check(good().quantile(1.0)), "quantile", "1.0"),
            (check(good().quantile(f64::NAN)), "quantile", "NaN"),
            (check(good().factor(0.99)), "factor", "0.99"),
            (check(good().factor(f64::NAN)), "factor", "NaN"),
            (check(good().factor(f64::INFINITY)), "factor", "inf"),
            (check(good().cold_start(9 * MS)), "cold_start", "9ms"),
            (check(good().cold_start(5001 * MS)), "cold_start", "5.001s"),
            (check(good().minimum_samples(0)), "minimum_samples", "0"),
            (check(good().window(59 * MS)), "window", "59ms"),
            (check(good().window(Duration::MAX)), "window", "18446744073709551615.999999999s"),
            (check(good_ewma().weight(0.0)), "weight", "0.0"),
            (check(good_ewma().weight(f64::NAN)), "weight", "NaN"),
            (check(good_ewma().weight(1.1)), "weight", "1.1"),
            (check(good_ewma().factor(f64::NAN)), "factor", "NaN"),
            (check(good_rfc().cold_start(Duration::ZERO)), "cold_start", "0ns"),
            (
                check(good_rfc().granularity(Duration::MAX)),
                "granularity",
                "18446744073709551615.999999999s",
            ),
            (check(LimitConfig::rfc6298(Duration::ZERO, MS)), "floor", "0ns"),
        ] {
            let error = result.unwrap_err();
            assert_eq!((error.field, error.value.as_str()), (field, value));
        }
    }

    #[test]
    fn the_edges_are_allowed() {
        for result in [
            check(LimitConfig::fixed(Duration::MAX)),
            check(LimitConfig::quantile(Duration::from_nanos(1), Duration::from_secs(3600))),
            check(LimitConfig::quantile(MS, MS)),
            check(good().factor(1.0).cold_start(10 * MS).minimum_samples(1).window(60 * MS)),
            check(
                good()
                    .factor(f64::MAX)
                    .cold_start(5000 * MS)
                    .minimum_samples(u32::MAX)
                    .window(Duration::from_secs(3600)),
            ),
            check(LimitConfig::ewma(MS, MS).weight(1.0)),
            check(LimitConfig::rfc6298(2000 * MS, 5000 * MS).granularity(Duration::ZERO)),
        ] {
            assert!(result.is_ok(), "{result:?}");
        }
    }
}
