//! The configuration, checked once.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use crate::waits;

/// Where an [`EtcdStore`](crate::EtcdStore) keeps its leases.
///
/// | | default | why |
/// |---|---|---|
/// | `prefix` | `steadfast/lease/` | beside a program's other keys |
/// | `look_every` | 5 s | a watch tells of changes; a look finds those of a watch that has gone dead |
/// | `call_limit` | 4 s | the client's own limit, a sixth of the TTL, is shorter |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct EtcdConfig {
    pub(super) prefix: Arc<str>,
    pub(super) look_every: Duration,
    pub(super) call_limit: Duration,
}

const LONGEST_PREFIX: usize = 256;

impl EtcdConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "steadfast/lease/".into(),
            look_every: Duration::from_secs(5),
            call_limit: Duration::from_secs(4),
        }
    }

    /// What the keys of etcd begin with: up to 256 bytes. Programs that share a cluster and a
    /// prefix compete for the same leases.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How often a lease is looked at that is observed, or waited for, and of which the watch says
    /// nothing: above zero, up to 1 min.
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// How long a call may take, over all servers that it is tried on: above zero, up to 1 min.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { prefix, look_every, call_limit } = self;
        ConfigError::require(prefix.len() <= LONGEST_PREFIX, "prefix", prefix, "up to 256 bytes")?;
        waits::check("look_every", *look_every)?;
        waits::check("call_limit", *call_limit)
    }
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_setter() {
        let (zero, long) = (Duration::ZERO, Duration::from_secs(61));
        let config = EtcdConfig::new;
        for (config, field) in [
            (config().prefix("x".repeat(257)), "prefix"),
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
