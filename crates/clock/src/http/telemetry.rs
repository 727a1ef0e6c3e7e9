//! What is told of messages, when the features are on.

use std::sync::Arc;

use crate::{ClockError, DriftTooLarge};

/// What a message that was received carried, and what became of it: the closed set of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its stamp was adopted.
    Stamped,
    /// It had none.
    Unstamped,
    /// It had the header, with nothing in it that is a stamp.
    Malformed,
    /// It was refused.
    Refused,
    /// Its stamp was too far ahead, and it went on without.
    Ignored,
}

/// The labels, in the order of [`Outcome`].
#[cfg(feature = "metrics")]
const OUTCOMES: &[&str] = &["stamped", "unstamped", "malformed", "refused", "ignored"];

/// A layer's name, and what is counted under it. No event tells a header's value.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only events and metrics are named"))]
    name: Arc<str>,
    #[cfg(feature = "metrics")]
    counters: steadfast_core::parts::OutcomeCounters,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            counters: steadfast_core::parts::OutcomeCounters::new(
                "steadfast_clock_received_total",
                "clock",
                Arc::clone(&name),
                OUTCOMES,
            ),
            name,
        }
    }

    #[inline]
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted without the feature"))]
    pub(crate) fn received(&self, outcome: Outcome) {
        #[cfg(feature = "metrics")]
        self.counters.increment(outcome as usize);
    }

    /// One debug event.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "nothing is said without the feature"))]
    pub(crate) fn ignored(&self, drift: DriftTooLarge) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::clock", clock = &*self.name, excess = ?drift.excess, "a stamp too far ahead was ignored");
    }

    /// One debug event. The refusal itself is small and knows no store's error, so that is told here.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "nothing is said without the feature"))]
    pub(crate) fn refused(&self, error: &ClockError) {
        #[cfg(feature = "tracing")]
        match error {
            ClockError::DriftTooLarge(drift) => {
                tracing::debug!(target: "steadfast::clock", clock = &*self.name, excess = ?drift.excess, "a stamp too far ahead was refused");
            }
            ClockError::HighWater(error) => {
                let error: &(dyn std::error::Error + 'static) = error;
                tracing::debug!(target: "steadfast::clock", clock = &*self.name, error, "a message could not be stamped");
            }
        }
    }
}
