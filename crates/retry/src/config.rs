//! The numbers of a retry layer and of a budget.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use steadfast_core::{Backoff, ConfigError, Jitter, Ratio, TimeSource, parts::Buckets};

use crate::{
    ledger::{Allowance, BUCKETS},
    policy::{Costs, Policy},
};

/// The numbers of a [`RetryLayer`](crate::RetryLayer), each valid by its type. The defaults:
///
/// - 3 attempts: two retries mend most transient failures, and nested retry layers multiply.
/// - A backoff of 50 ms doubling to 2 s, with full jitter: the fewest calls under contention.
/// - `Retry-After` is obeyed up to 2 s, as long as the backoff itself would wait: what takes longer
///   is better told to the caller, and an open circuit would not fail fast any more.
/// - A retry costs 1, so that the budget bounds attempts.
/// - The seed is the system's entropy: two processes must not draw the same jitter.
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryConfig {
    pub(crate) policy: Policy,
    pub(crate) seed: Option<u64>,
    pub(crate) name: Arc<str>,
}

impl RetryConfig {
    /// The defaults.
    pub fn new() -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2));
        let policy = Policy {
            attempts: const { NonZeroU32::new(3).expect("three is not zero") },
            backoff: backoff.expect("the cap is above the base").with_jitter(Jitter::Full),
            retry_after_limit: Duration::from_secs(2),
            costs: Costs::default(),
        };
        Self { policy, seed: None, name: "default".into() }
    }

    /// How often a request is sent at most, the first time included.
    pub const fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.policy.attempts = attempts;
        self
    }

    /// How long to wait between attempts.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// The longest wait a service may ask for (`Retry-After`, or a refusal that says when to come
    /// back); if it asks for more, the caller gets the failure at once. The retry comes later than
    /// was asked, by the backoff or up to half of what was asked, so that clients spread out.
    pub const fn retry_after_limit(mut self, limit: Duration) -> Self {
        self.policy.retry_after_limit = limit;
        self
    }

    /// What a retry takes from the budget.
    pub const fn costs(mut self, costs: Costs) -> Self {
        self.policy.costs = costs;
        self
    }

    /// The seed of the jitter. The same seed and the same order of failures give the same delays.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The name of the layer in metrics and events.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The numbers of a [`Budget`](crate::Budget): 20 % and 10/s over 10 s by default.
#[derive(Clone, Debug)]
#[must_use]
pub struct BudgetConfig {
    ratio: Ratio,
    floor_per_second: u32,
    window: Duration,
    time_source: TimeSource,
    name: Option<Arc<str>>,
}

/// What a budget is made of, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) allowance: Allowance,
    pub(crate) buckets: Buckets,
    pub(crate) time_source: TimeSource,
}

/// A bucket is a thirty-second of the window, and is at least 1 ms.
const SHORTEST: Duration = Duration::from_millis(32);
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 24 * 3600);

impl BudgetConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            ratio: Ratio::percent(20),
            floor_per_second: 10,
            window: Duration::from_secs(10),
            time_source: TimeSource::Tokio,
            name: None,
        }
    }

    /// The share of requests that may be sent again.
    pub const fn ratio(mut self, ratio: Ratio) -> Self {
        self.ratio = ratio;
        self
    }

    /// How many retries a second are free, on average over the window, whatever the traffic. Zero
    /// is allowed. The floor of a window is rounded down: 1/s over half a second is none.
    pub const fn floor_per_second(mut self, retries: u32) -> Self {
        self.floor_per_second = retries;
        self
    }

    /// How far back requests and retries are counted, from 32 ms to 10 days. Longer allows longer
    /// bursts of retries.
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// The clock to follow; tokio's by default. The coarse clock is fine enough for windows of 200
    /// ms and more.
    pub const fn time_source(mut self, source: TimeSource) -> Self {
        self.time_source = source;
        self
    }

    /// The name of the budget in metrics and events; `default` without one.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) const fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// `next` with this name, checked: by itself, and as what this configuration is changed to.
    pub(crate) fn changed_to(&self, next: &Self) -> Result<(Self, Allowance), ConfigError> {
        let Settings { allowance, .. } = next.check()?;
        let rule = "what the budget was made with";
        ConfigError::require(next.window == self.window, "window", next.window, rule)?;
        let source = next.time_source;
        ConfigError::require(source == self.time_source, "time_source", source, rule)?;
        if let Some(name) = &next.name {
            let is_same = self.name.as_ref() == Some(name);
            ConfigError::require(is_same, "named", name, "the budget's own name, or left out")?;
        }
        Ok((Self { name: self.name.clone(), ..next.clone() }, allowance))
    }

    pub(crate) fn check(&self) -> Result<Settings, ConfigError> {
        let in_range = (SHORTEST..=LONGEST).contains(&self.window);
        ConfigError::require(in_range, "window", self.window, "32 ms to 10 days")?;
        let floor = u128::from(self.floor_per_second) * self.window.as_nanos() / 1_000_000_000;
        // 2^32 retries a second for ten days are below 2^52.
        let allowance =
            Allowance { ratio: self.ratio, floor: u64::try_from(floor).unwrap_or(u64::MAX) };
        let buckets = Buckets::new(self.window, BUCKETS)?;
        Ok(Settings { allowance, buckets, time_source: self.time_source })
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self::new()
    }
}
