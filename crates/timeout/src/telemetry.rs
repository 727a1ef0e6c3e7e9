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
    counters: steadfast_core::parts::OutcomeCounters,
    #[cfg(feature = "metrics")]
    gauge: Option<steadfast_core::parts::OwnedGauge>,
}

impl Telemetry {
    /// With `gauge`, the limit itself is shown; not for limits that nobody named, or that share one name.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "there is no gauge without the feature"))]
    pub(crate) fn new(name: Arc<str>, gauge: bool) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            counters: steadfast_core::parts::OutcomeCounters::new(
                "steadfast_timeout_calls_total",
                "timeout",
                Arc::clone(&name),
                OUTCOMES,
            ),
            #[cfg(feature = "metrics")]
            gauge: gauge.then(|| {
                steadfast_core::parts::OwnedGauge::new("steadfast_timeout_limit_seconds", "timeout", Arc::clone(&name))
            }),
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
        tracing::debug!(target: "steadfast::timeout", timeout = &*self.name, ?limit, "no answer within the limit");
    }

    /// The limit calls now start with; `limit` is asked only when somebody is to be shown.
    #[inline]
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is shown without the feature"))]
    pub(crate) fn limit_is(&self, limit: impl FnOnce() -> Option<Duration>) {
        #[cfg(feature = "metrics")]
        if let Some(gauge) = &self.gauge
            && let Some(limit) = limit()
        {
            gauge.set(limit);
        }
    }
}
