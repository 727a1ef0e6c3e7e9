//! One limit for each key.

use std::{fmt, hash::Hash, num::NonZeroUsize, sync::Arc};

use steadfast_core::{ConfigError, parts::Keyed};

use crate::{LimitConfig, Limits, TimeLimit, config::Settings, telemetry::Telemetry};

/// Keeps one limit for each key: each host, route, or size of request has a latency of its own, and
/// one estimate over two of them fits neither.
///
/// At most about `capacity` keys are kept; one that was not used lately is forgotten and starts
/// cold if it comes back. Choose keys that callers cannot invent. A quantile takes 13 kB for each
/// key. All limits count under one name, and have no gauge.
#[derive(Clone)]
pub struct PerKey<K, F> {
    limits: Keyed<K, TimeLimit>,
    settings: Settings,
    telemetry: Arc<Telemetry>,
    key: F,
}

impl<K: Eq + Hash + Clone, F> PerKey<K, F> {
    /// Limits made from `config`, for the keys that `key` finds in requests.
    ///
    /// # Errors
    /// As [`TimeLimit::new`].
    pub fn new(config: impl Into<LimitConfig>, capacity: NonZeroUsize, key: F) -> Result<Self, ConfigError> {
        let config = config.into();
        let telemetry = Telemetry::new(config.name.clone().unwrap_or_else(|| Arc::from("default")), false);
        Ok(Self { limits: Keyed::new(capacity), settings: config.check()?, telemetry: Arc::new(telemetry), key })
    }

    /// The limit of `key`, made if there is none.
    pub fn handle(&self, key: &K) -> TimeLimit {
        self.limits.get_or_insert_with(key, || TimeLimit::of(self.settings, Arc::clone(&self.telemetry)))
    }

    /// The keys held and their limits, in no order.
    #[must_use]
    pub fn entries(&self) -> Vec<(K, TimeLimit)> {
        self.limits.entries()
    }
}

impl<Req, K, F> Limits<Req> for PerKey<K, F>
where
    K: Eq + Hash + Clone,
    F: Fn(&Req) -> K,
{
    fn with<T>(&self, request: &Req, then: impl FnOnce(&TimeLimit) -> T) -> T {
        then(&self.handle(&(self.key)(request)))
    }
}

impl<K, F> fmt::Debug for PerKey<K, F> {
    /// Keys may say who called: they stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKey").finish_non_exhaustive()
    }
}
