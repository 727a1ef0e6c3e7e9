//! The handle of a limit.

use std::{sync::Arc, time::Duration};

use steadfast_core::{
    Snapshot, Verdict,
    parts::{Lane, Striped},
};

use crate::{
    config::LimitConfig,
    run::{Judged, Run},
    shared::{CLOCK, Shared},
};

/// How long a request may wait, as it stands and as it is being learned. Clones share the state, and so do layers and services made from one.
///
/// It needs no tower: [`run`](Self::run) puts it round any future, and [`record`](Self::record) and
/// [`record_timeout`](Self::record_timeout) teach it what was measured elsewhere.
///
/// ```
/// use std::time::Duration;
/// use steadfast_timeout::{LimitConfig, TimeLimit};
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let limit = TimeLimit::new(LimitConfig::adaptive(Duration::from_millis(10), Duration::from_secs(5))?);
/// for _ in 0..20 {
///     limit.run(tokio::time::sleep(Duration::from_millis(50))).await?;
/// }
/// assert!(limit.limit() < Duration::from_millis(120), "twice what was measured");
/// assert!(limit.run(std::future::pending::<()>()).await.is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct TimeLimit {
    shared: Striped<Shared>,
}

impl TimeLimit {
    /// A limit that has learned nothing yet.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for one limit")]
    pub fn new(config: LimitConfig) -> Self {
        Self { shared: Striped::new(|_| Shared::new(&config, true)) }
    }

    /// A limit that is not shown by a gauge.
    #[cfg(any(feature = "keyed", feature = "http"))]
    pub(crate) fn without_gauge(config: &LimitConfig) -> Self {
        Self { shared: Striped::new(|_| Shared::new(config, false)) }
    }

    /// The same limit under another name: what is learned is shared with the handle it came from, and calls through this one are
    /// counted under `name`.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { shared: Striped::new(|_| self.shared.renamed(name.into())) }
    }

    /// What a request that begins to wait now is given. Reads the clock.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.shared.limit(CLOCK.now()).unwrap_or(Duration::MAX)
    }

    /// The name that labels metrics and events.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.telemetry.name()
    }

    /// Gives `future` up when it has waited for the limit. Whatever it ends with is a success.
    ///
    /// Dropping the returned future drops `future`; what was learned by then stays.
    pub fn run<F: Future>(&self, future: F) -> Run<F> {
        self.run_judged(future, Run::<F>::JUDGE)
    }

    /// As [`run`](Self::run); `judge` says whether an output is a success, whose latency is a sample. It is not asked about outputs that were ready at once.
    pub fn run_judged<F: Future, J>(&self, future: F, judge: J) -> Judged<F, J>
    where
        J: FnMut(&F::Output) -> Verdict,
    {
        Judged::new(future, judge, self.lane())
    }

    /// Learns from a call that succeeded after `latency`, measured elsewhere. A retry must not be recorded where the
    /// rule is RFC 6298.
    pub fn record(&self, latency: Duration) {
        self.shared.success(CLOCK.now(), latency, false);
    }

    /// Learns from a call that was given up after `limit`, which is what [`limit`](Self::limit) said when it began. Where the rule
    /// is RFC 6298, only the expiry of the current limit, exactly as `limit` says it, doubles it.
    pub fn record_timeout(&self, limit: Duration) {
        self.shared.timeout(CLOCK.now(), limit);
    }

    /// This thread's handle for one call.
    #[inline]
    pub(crate) fn lane(&self) -> Arc<Lane<Shared>> {
        Arc::clone(self.shared.lane())
    }
}

impl From<LimitConfig> for TimeLimit {
    fn from(config: LimitConfig) -> Self {
        Self::new(config)
    }
}

impl Snapshot for TimeLimit {
    type State = LimitSnapshot;

    fn snapshot(&self) -> LimitSnapshot {
        self.shared.snapshot(CLOCK.now())
    }
}

/// A limit's state as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitSnapshot {
    /// What a request is given.
    pub limit: Duration,
    /// The quantile, the average, or SRTT; `None` while there are too few samples, and for a fixed limit.
    pub estimate: Option<Duration>,
    /// How many samples the estimate rests on; 0 where nobody counts them.
    pub samples: u64,
    /// The peak that is held since a timeout.
    pub held: Option<Duration>,
    /// RFC 6298: how many times the limit was doubled since the last fresh sample.
    pub doublings: u32,
}

impl LimitSnapshot {
    pub(crate) const fn of(limit: Duration) -> Self {
        Self { limit, estimate: None, samples: 0, held: None, doublings: 0 }
    }
}
