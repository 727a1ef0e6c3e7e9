//! What is reported: one counter increment for each call, one for each retry, an event for each
//! decision.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "metrics")]
use steadfast_core::parts::Counters;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::Counters;
use steadfast_core::{Attempt, HandleName, parts::Reconfigured};

use crate::{policy::Outcome, replay::CannotReplay};

/// Reports under the layer's name.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(
        not(feature = "tracing"),
        expect(dead_code, reason = "only events carry the name from here")
    )]
    name: Arc<str>,
    calls: Counters<Outcome>,
    retries: Counters<()>,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            calls: Counters::new("steadfast_retry_calls_total", "retry", Arc::clone(&name)),
            retries: Counters::new("steadfast_retry_retries_total", "retry", Arc::clone(&name)),
            name,
        }
    }

    /// A call has ended.
    #[inline(always)]
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.calls.increment(outcome);
    }

    /// A failure will be retried.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "only events say more than that")
    )]
    pub(crate) fn retrying(&self, failed: Attempt, delay: Duration) {
        self.retries.increment(());
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::retry", retry = %self.name, attempt = failed.number(), ?delay, "retrying");
    }

    /// A failure is given to the caller; `why` the request could not be had again, if that is the
    /// reason.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, clippy::unused_self, reason = "an event only")
    )]
    pub(crate) fn given_up(&self, failed: Attempt, outcome: Outcome, why: Option<CannotReplay>) {
        #[cfg(feature = "tracing")]
        tracing::debug!(
            target: "steadfast::retry",
            retry = %self.name,
            attempt = failed.number(),
            outcome = steadfast_core::parts::Labels::label(outcome),
            why = why.map(tracing::field::display),
            "not retrying"
        );
    }
}

/// A budget's name, and what is counted under it.
#[derive(Debug)]
pub(crate) struct BudgetTelemetry {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "events alone say it"))]
    name: Arc<str>,
    /// The same, for refusals.
    handle: Option<HandleName>,
    reconfigurations: Counters<Reconfigured>,
}

impl BudgetTelemetry {
    pub(crate) fn new(name: Option<Arc<str>>) -> Self {
        let name = name.unwrap_or_else(|| Arc::from("default"));
        let metric = "steadfast_retry_budget_reconfigurations_total";
        let handle = HandleName::new(&name);
        Self { reconfigurations: Counters::new(metric, "budget", Arc::clone(&name)), handle, name }
    }

    pub(crate) const fn handle(&self) -> Option<HandleName> {
        self.handle
    }

    /// One info event where it was.
    pub(crate) fn reconfigured(&self, applied: bool) {
        let outcome = if applied { Reconfigured::Applied } else { Reconfigured::Refused };
        self.reconfigurations.increment(outcome);
        #[cfg(feature = "tracing")]
        if applied {
            tracing::info!(target: "steadfast::retry", budget = &*self.name, "budget was reconfigured");
        }
    }
}
