//! What is told to the outside: one counter increment for each call, one for each retry, an event for each decision.

use std::{sync::Arc, time::Duration};

use steadfast_core::Attempt;

use crate::{policy::Outcome, replay::CannotReplay};

/// Reports under the layer's name; nothing without the features `metrics` and `tracing`.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only events carry the name from here"))]
    name: Arc<str>,
    #[cfg(feature = "metrics")]
    counters: counters::Counters,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            counters: counters::Counters::new(&name),
            name,
        }
    }

    /// A call has ended.
    #[inline]
    pub(crate) fn ended(&self, outcome: Outcome) {
        #[cfg(feature = "metrics")]
        self.counters.ended(outcome);
        let _ = outcome;
    }

    /// A failure will be retried.
    pub(crate) fn retrying(&self, failed: Attempt, delay: Duration) {
        #[cfg(feature = "metrics")]
        self.counters.retrying();
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::retry", retry = %self.name, attempt = failed.number(), ?delay, "retrying");
        let _ = (failed, delay);
    }

    /// A failure is given to the caller.
    pub(crate) fn given_up(&self, failed: Attempt, outcome: Outcome, why: Option<CannotReplay>) {
        #[cfg(feature = "tracing")]
        match why {
            Some(why) => tracing::debug!(
                target: "steadfast::retry",
                retry = %self.name, attempt = failed.number(), outcome = outcome.label(), %why, "not retrying"
            ),
            None => tracing::debug!(
                target: "steadfast::retry",
                retry = %self.name, attempt = failed.number(), outcome = outcome.label(), "not retrying"
            ),
        }
        let _ = (failed, outcome.label(), why);
    }
}

#[cfg(feature = "metrics")]
mod counters {
    use std::{
        fmt,
        sync::{Arc, OnceLock},
    };

    use metrics::{Counter, counter};
    use steadfast_core::parts::OutcomeCounters;

    use crate::policy::Outcome;

    /// The handles are made on first use: before the program installs its recorder they would stay no-ops.
    pub(super) struct Counters {
        name: Arc<str>,
        calls: OutcomeCounters,
        retries: OnceLock<Counter>,
    }

    impl Counters {
        pub(super) fn new(name: &Arc<str>) -> Self {
            let calls = OutcomeCounters::new("steadfast_retry_calls_total", "retry", Arc::clone(name), Outcome::LABELS);
            Self { name: Arc::clone(name), calls, retries: OnceLock::new() }
        }

        #[inline]
        pub(super) fn ended(&self, outcome: Outcome) {
            self.calls.increment(outcome as usize);
        }

        pub(super) fn retrying(&self) {
            let make = || counter!("steadfast_retry_retries_total", "retry" => Arc::clone(&self.name));
            self.retries.get_or_init(make).increment(1);
        }
    }

    impl fmt::Debug for Counters {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Counters").field("calls", &self.calls).finish_non_exhaustive()
        }
    }
}
