//! One fault of a plan: when it strikes.

use std::{
    num::NonZeroU64,
    ops::{Bound, Range, RangeBounds},
    sync::Arc,
    time::Duration,
};

use steadfast_core::ConfigError;

use crate::{Facts, Fault};

/// One fault, and which requests it strikes: those that all of its setters let through.
///
/// | setter | goes by |
/// |---|---|
/// | [`probability`](Self::probability) | a draw for each request: by its key, if the layer takes one, else by its number |
/// | [`requests`](Self::requests), [`burst`](Self::burst) | the number of the request, in the order of `call` |
/// | [`every`](Self::every), [`at_most`](Self::at_most) | a count that the rule keeps, in the order of `call` |
/// | [`only`](Self::only) | the tag that the layer takes from the request |
/// | [`during`](Self::during) | the time since the plan was turned on: repeats only under a paused clock |
#[derive(Clone, Debug)]
#[must_use]
pub struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) fault: Fault,
    pub(crate) probability: f64,
    pub(crate) during: Range<Duration>,
    pub(crate) requests: Range<u64>,
    pub(crate) every: Option<NonZeroU64>,
    pub(crate) burst: Option<(f64, f64)>,
    pub(crate) only: Option<Arc<str>>,
    pub(crate) at_most: Option<NonZeroU64>,
}

impl Rule {
    /// Strikes every request. `name` is the rule's own in its plan, and seeds its draws: they stay
    /// as they are when rules are added, moved or removed. Not empty.
    pub fn new(name: impl Into<Arc<str>>, fault: Fault) -> Self {
        Self {
            name: name.into(),
            fault,
            probability: 1.0,
            during: Duration::ZERO..Duration::MAX,
            requests: 0..u64::MAX,
            every: None,
            burst: None,
            only: None,
            at_most: None,
        }
    }

    /// How likely it strikes a request that it could strike: 0 to 1. A request that is struck at
    /// one probability is struck at every higher one.
    pub const fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Only in this stretch of the time since the plan was turned on. Not empty.
    pub fn during(mut self, during: impl RangeBounds<Duration>) -> Self {
        self.during = stretch(&during);
        self
    }

    /// Only the requests with these numbers, counted from 0 in the order of `call`. Not empty.
    pub fn requests(mut self, numbers: impl RangeBounds<u64>) -> Self {
        let first = match numbers.start_bound() {
            Bound::Included(&first) => first,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match numbers.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        self.requests = first..end;
        self
    }

    /// Only every `n`-th of the requests that [`only`](Self::only), [`during`](Self::during) and
    /// [`requests`](Self::requests) let through. The rule counts them itself, those too that
    /// another rule struck.
    pub const fn every(mut self, n: NonZeroU64) -> Self {
        self.every = Some(n);
        self
    }

    /// Only in bursts, which begin and end by chance: one that is off is entered with probability
    /// `enter` from one request to the next, one that is on is left with probability `leave`. Both
    /// above 0 and at most 1. Bursts are `1 / leave` requests long in the mean, and the share of
    /// the requests in bursts is `enter / (enter + leave)` (a Gilbert–Elliott channel whose good
    /// state loses nothing). They go by the numbers of all requests, never by key.
    pub const fn burst(mut self, enter: f64, leave: f64) -> Self {
        self.burst = Some((enter, leave));
        self
    }

    /// Only requests with this tag, which the layer takes from them.
    pub fn only(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.only = Some(tag.into());
        self
    }

    /// So many strikes at most, those too that could not be done and were skipped.
    pub const fn at_most(mut self, strikes: NonZeroU64) -> Self {
        self.at_most = Some(strikes);
        self
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What happens to a request that it strikes.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.fault
    }

    /// Whether the conditions that need neither chance nor a count let the request through.
    pub(crate) fn admits(&self, number: u64, facts: &Facts<'_>) -> bool {
        self.requests.contains(&number)
            && self.during.contains(&facts.elapsed)
            && self.only.as_deref().is_none_or(|only| facts.tag == Some(only))
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { name, fault, probability, during, requests, burst, .. } = self;
        let refuse = |field, value: &dyn std::fmt::Debug, must| {
            ConfigError::new(field, format_args!("{value:?} (rule {name:?})"), must)
        };
        if name.is_empty() {
            return Err(ConfigError::new("name", name, "not empty"));
        }
        check_probability(name, *probability)?;
        if during.is_empty() {
            return Err(refuse("during", during, NOT_EMPTY));
        }
        if requests.is_empty() {
            return Err(refuse("requests", requests, NOT_EMPTY));
        }
        if let Some((enter, leave)) = burst {
            for (field, rate) in [("enter", enter), ("leave", leave)] {
                if !(*rate > 0.0 && *rate <= 1.0) {
                    return Err(refuse(field, rate, "above 0 and at most 1"));
                }
            }
        }
        match fault.delay() {
            Some(delay) if delay.is_zero() => Err(refuse("delay", &delay.least, LONGER)),
            _ => Ok(()),
        }
    }
}

/// What a range must be.
pub(crate) const NOT_EMPTY: &str = "a range that ends after it begins";
/// What a delay must be.
pub(crate) const LONGER: &str = "longer than nothing, by itself or by its jitter";

/// NaN is in no range.
pub(crate) fn check_probability(name: &str, probability: f64) -> Result<(), ConfigError> {
    let is_one = (0.0..=1.0).contains(&probability);
    let value = format_args!("{probability:?} (rule {name:?})");
    ConfigError::require(is_one, "probability", value, "0 to 1")
}

/// Half open. What has no end ends with the type.
pub(crate) fn stretch(bounds: &impl RangeBounds<Duration>) -> Range<Duration> {
    const GRAIN: Duration = Duration::from_nanos(1);
    let from = match bounds.start_bound() {
        Bound::Included(&from) => from,
        Bound::Excluded(&before) => before.saturating_add(GRAIN),
        Bound::Unbounded => Duration::ZERO,
    };
    let until = match bounds.end_bound() {
        Bound::Included(&last) => last.saturating_add(GRAIN),
        Bound::Excluded(&until) => until,
        Bound::Unbounded => Duration::MAX,
    };
    from..until
}

#[cfg(test)]
mod tests;
