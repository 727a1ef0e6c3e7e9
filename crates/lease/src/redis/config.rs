//! The configuration, checked once.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use crate::{retention, waits};

/// Where a [`RedisStore`](crate::RedisStore) keeps its leases, and for how long.
///
/// | | default | why |
/// |---|---|---|
/// | `prefix` | `steadfast:lease:` | beside a program's other keys |
/// | `retention` | 7 days | a token made by a clock goes back only if the clock steps back farther |
/// | `look_every` | 500 ms | who waits for a lease is late by half of it, and costs two calls a second |
/// | `call_limit` | 4 s | the client's own limit, a sixth of the TTL, is shorter |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RedisConfig {
    pub(super) prefix: Arc<str>,
    pub(super) retention: Duration,
    pub(super) look_every: Duration,
    pub(super) call_limit: Duration,
}

const LONGEST_PREFIX: usize = 256;

impl RedisConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "steadfast:lease:".into(),
            retention: retention::DEFAULT,
            look_every: Duration::from_millis(500),
            call_limit: Duration::from_secs(4),
        }
    }

    /// What the keys of Redis begin with: up to 256 bytes, and no braces. Programs that share a
    /// server and a prefix compete for the same leases.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// For how long the last token of a name is kept that is not held: above zero, up to 10 years.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How often a lease is looked at that is observed, or waited for: above zero, up to 1 min.
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// How long a call may take: above zero, up to 1 min. A connection may have a shorter limit of
    /// its own; that of redis is half a second unless it is set.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { prefix, retention, look_every, call_limit } = self;
        let fits = prefix.len() <= LONGEST_PREFIX && !prefix.contains(['{', '}']);
        ConfigError::require(fits, "prefix", prefix, "up to 256 bytes, and without braces")?;
        retention::check(*retention)?;
        waits::check("look_every", *look_every)?;
        waits::check("call_limit", *call_limit)
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_setter() {
        let (zero, long) = (Duration::ZERO, Duration::from_secs(20 * 365 * 86_400));
        let config = RedisConfig::new;
        for (config, field) in [
            (config().prefix("{one}"), "prefix"),
            (config().prefix("a}"), "prefix"),
            (config().prefix("x".repeat(257)), "prefix"),
            (config().retention(zero), "retention"),
            (config().retention(long), "retention"),
            (config().look_every(zero), "look_every"),
            (config().look_every(long), "look_every"),
            (config().call_limit(zero), "call_limit"),
            (config().call_limit(long), "call_limit"),
        ] {
            assert_eq!(config.check().unwrap_err().field, field);
        }
        assert!(config().prefix("").check().is_ok());
    }
}
