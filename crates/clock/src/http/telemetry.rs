//! What is told of messages, when the features are on.

use std::sync::Arc;

#[cfg(feature = "metrics")]
use steadfast_core::parts::Counters;
use steadfast_core::parts::Labels;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::Counters;

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

impl Labels for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] =
        &[Self::Stamped, Self::Unstamped, Self::Malformed, Self::Refused, Self::Ignored];

    fn label(self) -> &'static str {
        match self {
            Self::Stamped => "stamped",
            Self::Unstamped => "unstamped",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A layer's name, and what is counted under it. No event tells a header's value.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(
        not(feature = "tracing"),
        expect(dead_code, reason = "only events carry the name from here")
    )]
    name: Arc<str>,
    received: Counters<Outcome>,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            received: Counters::new("steadfast_clock_received_total", "clock", Arc::clone(&name)),
            name,
        }
    }

    #[inline]
    pub(crate) fn received(&self, outcome: Outcome) {
        self.received.increment(outcome);
    }

    /// One debug event.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
    pub(crate) fn ignored(&self, drift: DriftTooLarge) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::clock", clock = &*self.name, excess = ?drift.excess, "a stamp too far ahead was ignored");
    }

    /// One debug event. The refusal itself is small and knows no store's error, so that is told
    /// here.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
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
