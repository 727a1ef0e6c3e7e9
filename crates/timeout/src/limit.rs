//! The handle of a limit.

use std::{fmt, sync::Arc, time::Duration};

use steadfast_core::{
    Classify, ConfigError, DefaultClassifier, Failure, Select, Selected, Snapshot,
    parts::{Lane, Striped},
};

use crate::{
    call::Call,
    config::LimitConfig,
    error::Elapsed,
    future::ResponseFuture,
    shared::{CLOCK, Shared},
    snapshot::LimitSnapshot,
    telemetry::Telemetry,
};

/// How long a request may wait, as it stands and as it is being learned. Clones share the state,
/// and so do layers and services made from one.
///
/// It needs no tower: [`run`](Self::run) puts it round any future, and [`record`](Self::record) and
/// [`record_timeout`](Self::record_timeout) teach it what was measured elsewhere.
///
/// ```
/// use std::time::Duration;
/// use steadfast_timeout::{LimitConfig, TimeLimit};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn call(latency: Duration) -> Result<(), steadfast_timeout::Elapsed> {
/// #     Ok(tokio::time::sleep(latency).await)
/// # }
/// let (floor, ceiling) = (Duration::from_millis(10), Duration::from_secs(5));
/// let limit = TimeLimit::new(LimitConfig::quantile(floor, ceiling))?;
/// for _ in 0..20 {
///     limit.run(call(Duration::from_millis(50))).await?;
/// }
/// assert!(limit.limit() < Duration::from_millis(120), "twice what was measured");
/// assert!(limit.run(call(Duration::MAX)).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TimeLimit {
    pub(crate) shared: Striped<Shared>,
}

impl TimeLimit {
    /// A limit that has learned nothing yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names, or the floor is zero or above the
    /// ceiling, or the ceiling above an hour.
    pub fn new(config: impl Into<LimitConfig>) -> Result<Self, ConfigError> {
        let config = config.into();
        let settings = config.check()?;
        let telemetry = Arc::new(Telemetry::new(config.name.clone(), true));
        Ok(Self { shared: Striped::new(|_| Shared::new(config, settings, telemetry)) })
    }

    /// One limit for each key: each host, route, or size of request has a latency of its own, and
    /// one estimate over two of them fits neither. `key` finds a request's key.
    ///
    /// At most about `capacity` keys are kept; one that was not used lately is forgotten and starts
    /// cold if it comes back. Choose keys that callers cannot invent. A quantile takes 13 kB for
    /// each key. All the limits count under one name, and have no gauge.
    /// [`PerKey::reconfigure`](steadfast_core::PerKey::reconfigure) changes them all, and those of
    /// keys to come, as [`reconfigure`](Self::reconfigure) changes one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "keyed")]
    pub fn per_key<K, F>(
        config: impl Into<LimitConfig>,
        capacity: std::num::NonZeroUsize,
        key: F,
    ) -> Result<steadfast_core::PerKey<K, Self, F>, ConfigError>
    where
        K: Eq + std::hash::Hash + Clone,
    {
        let config = config.into();
        let settings = config.check()?;
        let telemetry = Arc::new(Telemetry::new(config.name.clone(), false));
        let pattern =
            Self { shared: Striped::single(|_| Shared::new(config, settings, telemetry)) };
        Ok(steadfast_core::PerKey::of(capacity, pattern, key))
    }

    /// What a request that begins to wait now is given. Reads the clock.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.shared.limit(CLOCK.now())
    }

    /// The name that labels metrics and events.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.telemetry.name()
    }

    /// Gives `future` up when it has waited for the limit, and returns [`Elapsed`] as its error.
    ///
    /// The outcome is judged as [`TimeoutLayer`](crate::TimeoutLayer) judges it: the latency of an
    /// `Ok` is a sample. The returned future owns its way to the limit and can be spawned; dropping
    /// it drops `future`, and what was learned by then stays. A future that ends in no `Result`
    /// becomes one that does:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let limit = TimeLimit::new(LimitConfig::fixed(Duration::from_secs(1)))?;
    /// let sleep = tokio::time::sleep(Duration::from_millis(50));
    /// limit.run(async { Ok::<_, Elapsed>(sleep.await) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<F, T, E>(&self, future: F) -> ResponseFuture<F, DefaultClassifier>
    where
        F: Future<Output = Result<T, E>>,
        E: Failure + From<Elapsed>,
    {
        self.run_judged(future, DefaultClassifier)
    }

    /// As [`run`](Self::run), with the outcome judged by `classifier`, which is asked only where
    /// the latency may be a sample: not about a future that was ready at once, nor where the limit
    /// is fixed.
    pub fn run_judged<F, T, E, C>(&self, future: F, classifier: C) -> ResponseFuture<F, C>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
        E: From<Elapsed>,
    {
        ResponseFuture::new(future, Call::new(self.lane(), None, false), classifier)
    }

    /// Learns from a call that succeeded after `latency`, measured elsewhere. A retry must not be
    /// recorded where the rule is RFC 6298.
    pub fn record(&self, latency: Duration) {
        self.shared.success(CLOCK.now(), latency, false);
    }

    /// Learns from a call that was given up after `limit`, which is what [`limit`](Self::limit)
    /// said when it began.
    ///
    /// It is no sample: the next exploration that is answered speaks for it too. Explorations are
    /// calls that this limit runs; where all calls are measured elsewhere there are none, and the
    /// limit would not get over a step in latency. Switch them off there, with
    /// [`explore(false)`](crate::MultipleOf::explore), and each expiry doubles the limit. Where the
    /// rule is RFC 6298, only the expiry of the current limit, exactly as `limit` says it, doubles
    /// it.
    pub fn record_timeout(&self, limit: Duration) {
        self.shared.unexplored(CLOCK.now(), limit);
    }

    /// This thread's handle for one call.
    #[inline(always)]
    pub(crate) fn lane(&self) -> Arc<Lane<Shared>> {
        Arc::clone(self.shared.lane())
    }
}

impl<Req> Select<Req> for TimeLimit {
    type Handle = Self;

    #[inline(always)]
    fn select(&self, _: &Req) -> Selected<'_, Self> {
        Selected::Shared(self)
    }

    fn common(&self) -> Option<&Self> {
        Some(self)
    }
}

impl TimeLimit {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> LimitSnapshot {
        self.shared.snapshot(CLOCK.now())
    }
}

impl Snapshot for TimeLimit {
    type State = LimitSnapshot;

    fn snapshot(&self) -> LimitSnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeLimit")
            .field("name", &self.name())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
