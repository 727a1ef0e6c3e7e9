//! What is told of calls, when the features are on.

use std::{sync::Arc, time::Duration};

/// How a call ended: the closed set of outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Completed,
    TimedOut,
    DeadlinePassed,
    Cancelled,
}

/// The labels, in the order of [`Outcome`].
#[cfg(feature = "metrics")]
const OUTCOMES: &[&str] = &["completed", "timed_out", "deadline_passed", "cancelled"];

/// A limit's name, and what is counted under it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    name: Arc<str>,
    #[cfg(feature = "metrics")]
    counters: steadfast_core::OutcomeCounters,
    #[cfg(feature = "metrics")]
    gauge: Option<LimitGauge>,
}

impl Telemetry {
    /// With `gauge`, the limit itself is shown; not for limits that share one name.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "there is no gauge without the feature"))]
    pub(crate) fn new(name: Arc<str>, gauge: bool) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            counters: steadfast_core::OutcomeCounters::new(
                "steadfast_timeout_calls_total",
                "timeout",
                Arc::clone(&name),
                OUTCOMES,
            ),
            #[cfg(feature = "metrics")]
            gauge: gauge.then(LimitGauge::default),
            name,
        }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    #[inline]
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted without the feature"))]
    pub(crate) fn ended(&self, outcome: Outcome) {
        #[cfg(feature = "metrics")]
        self.counters.increment(outcome as usize);
    }

    /// One debug event. The request is not in it.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "nothing is said without the feature"))]
    pub(crate) fn timed_out(&self, limit: Duration) {
        #[cfg(feature = "tracing")]
        tracing::debug!(timeout = &*self.name, ?limit, "no answer within the limit");
    }

    /// The limit calls now start with.
    #[inline]
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is shown without the feature"))]
    pub(crate) fn limit_is(&self, limit: Duration) {
        #[cfg(feature = "metrics")]
        if let Some(gauge) = &self.gauge {
            gauge.set(&self.name, limit);
        }
    }
}

/// The gauge of a limit: set when the limit changes, and back to zero with its handle.
#[cfg(feature = "metrics")]
#[derive(Default)]
struct LimitGauge {
    handle: std::sync::OnceLock<metrics::Gauge>,
    /// The nanoseconds last shown.
    shown: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "metrics")]
impl LimitGauge {
    fn set(&self, name: &Arc<str>, limit: Duration) {
        use std::sync::atomic::Ordering;

        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: two that change it at once may be shown in either order, until the next change.
        if self.shown.load(Ordering::Relaxed) != nanos && self.shown.swap(nanos, Ordering::Relaxed) != nanos {
            let make = || metrics::gauge!("steadfast_timeout_limit_seconds", "timeout" => Arc::clone(name));
            self.handle.get_or_init(make).set(limit.as_secs_f64());
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for LimitGauge {
    fn drop(&mut self) {
        if let Some(gauge) = self.handle.get() {
            gauge.set(0.0);
        }
    }
}

#[cfg(feature = "metrics")]
impl std::fmt::Debug for LimitGauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitGauge").field("shown_nanos", &self.shown).finish_non_exhaustive()
    }
}
