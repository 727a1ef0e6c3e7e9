//! What is told of calls, when the features are on.

use std::{sync::Arc, time::Duration};

#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::{Counters, OwnedGauge};
#[cfg(feature = "metrics")]
use steadfast_core::parts::{Counters, OwnedGauge};
use steadfast_core::{
    HandleName,
    parts::{Labels, Reconfigured},
};

/// How a call ended: the closed set of outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Completed,
    TimedOut,
    DeadlinePassed,
    Cancelled,
    DeadlineCut,
}

impl Labels for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Completed,
        Self::TimedOut,
        Self::DeadlinePassed,
        Self::Cancelled,
        Self::DeadlineCut,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::TimedOut => "timed_out",
            Self::DeadlinePassed => "deadline_passed",
            Self::Cancelled => "cancelled",
            Self::DeadlineCut => "deadline_cut",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// How an exploration ended: the closed set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Explored {
    /// With the answer.
    Answered,
    /// Without, after all the time it had.
    InVain,
    /// By its caller, its deadline, or a failure: it says nothing.
    Interrupted,
}

impl Labels for Explored {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Answered, Self::InVain, Self::Interrupted];

    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::InVain => "in_vain",
            Self::Interrupted => "interrupted",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// How a body under a limit ended: the closed set.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodyEnd {
    /// It was read to its end.
    Ended,
    /// The next frame did not come.
    Stalled,
    /// The time of the whole was over.
    Overdue,
    /// By an error of its own.
    Failed,
    /// Its reader dropped it before its end, or never read it.
    Dropped,
}

#[cfg(feature = "http")]
impl Labels for BodyEnd {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] =
        &[Self::Ended, Self::Stalled, Self::Overdue, Self::Failed, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Stalled => "stalled",
            Self::Overdue => "overdue",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A limit's name, and what is counted under it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    name: Arc<str>,
    /// The same, for refusals.
    handle: Option<HandleName>,
    calls: Counters<Outcome>,
    #[cfg(feature = "http")]
    bodies: Counters<BodyEnd>,
    explorations: Counters<Explored>,
    reconfigurations: Counters<Reconfigured>,
    limit: Option<OwnedGauge>,
}

impl Telemetry {
    /// With `gauge`, the limit itself is shown, if it has a name.
    pub(crate) fn new(name: Option<Arc<str>>, gauge: bool) -> Self {
        let gauge = gauge && name.is_some();
        let name = name.unwrap_or_else(|| Arc::from("default"));
        let limit =
            || OwnedGauge::new("steadfast_timeout_limit_seconds", "timeout", Arc::clone(&name));
        Self {
            calls: Counters::new("steadfast_timeout_calls_total", "timeout", Arc::clone(&name)),
            #[cfg(feature = "http")]
            bodies: Counters::new("steadfast_timeout_bodies_total", "timeout", Arc::clone(&name)),
            explorations: Counters::new(
                "steadfast_timeout_explorations_total",
                "timeout",
                Arc::clone(&name),
            ),
            reconfigurations: Counters::new(
                "steadfast_timeout_reconfigurations_total",
                "timeout",
                Arc::clone(&name),
            ),
            limit: gauge.then(limit),
            handle: HandleName::new(&name),
            name,
        }
    }

    /// Where the name is not one that the user gave.
    #[cfg(feature = "http")]
    pub(crate) fn refusing_as(self, handle: Option<HandleName>) -> Self {
        Self { handle, ..self }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) const fn handle(&self) -> Option<HandleName> {
        self.handle
    }

    #[inline]
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.calls.increment(outcome);
    }

    #[cfg(feature = "http")]
    pub(crate) fn body_ended(&self, outcome: BodyEnd) {
        self.bodies.increment(outcome);
    }

    pub(crate) fn explored(&self, outcome: Explored) {
        self.explorations.increment(outcome);
    }

    /// One info event where it was.
    pub(crate) fn reconfigured(&self, applied: bool) {
        let outcome = if applied { Reconfigured::Applied } else { Reconfigured::Refused };
        self.reconfigurations.increment(outcome);
        #[cfg(feature = "tracing")]
        if applied {
            tracing::info!(target: "steadfast::timeout", timeout = &*self.name, "limit was reconfigured");
        }
    }

    /// One debug event. The request is not in it.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
    pub(crate) fn timed_out(&self, limit: Duration, explored: Duration) {
        #[cfg(feature = "tracing")]
        let explored = (!explored.is_zero()).then(|| tracing::field::debug(explored));
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::timeout", timeout = &*self.name, ?limit, explored, "no answer within the limit");
    }

    /// One debug event. The request is not in it.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
    pub(crate) fn deadline_cut(&self, waited: Duration) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::timeout", timeout = &*self.name, ?waited, "cut by the caller's deadline");
    }

    /// One debug event. Nothing of the body is in it.
    #[cfg(feature = "http")]
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
    pub(crate) fn stalled(&self, stalled: &crate::Stalled) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "steadfast::timeout", timeout = &*self.name, "{}", steadfast_core::Refusal::detail(stalled));
    }

    /// The limit calls now start with; `limit` is asked only where it is shown.
    #[inline]
    pub(crate) fn limit_is(&self, limit: impl FnOnce() -> Duration) {
        if let Some(gauge) = &self.limit {
            gauge.set_with(|| Some(limit()));
        }
    }
}
