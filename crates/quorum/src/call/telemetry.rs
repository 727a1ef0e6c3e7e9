//! What is told of calls, when the features are on.

use std::sync::Arc;

use super::course::Course;
#[cfg(feature = "tracing")]
use crate::Nodes;

/// How a call ended: the closed set of outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Won,
    Lost,
    Incomplete,
    Cancelled,
}

/// The labels, in the order of [`Outcome`].
#[cfg(any(feature = "metrics", feature = "tracing"))]
const OUTCOMES: &[&str] = &["won", "lost", "incomplete", "cancelled"];

/// Why a node was called: the closed set of causes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// It was called at the start.
    Opening,
    /// Another failed.
    Failure,
    /// Others took too long.
    Delay,
    /// Another is not ready.
    Unready,
}

/// The labels, in the order of [`Cause`].
#[cfg(feature = "metrics")]
const CAUSES: &[&str] = &["opening", "failure", "delay", "unready"];

/// The name of calls, and what is counted under it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only events carry the name from here"))]
    name: Arc<str>,
    #[cfg(feature = "metrics")]
    calls: steadfast_core::parts::OutcomeCounters,
    #[cfg(feature = "metrics")]
    requests: steadfast_core::parts::OutcomeCounters,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        #[cfg(feature = "metrics")]
        let counters =
            |metric, set| steadfast_core::parts::OutcomeCounters::new(metric, "quorum", Arc::clone(&name), set);
        Self {
            #[cfg(feature = "metrics")]
            calls: counters("steadfast_quorum_calls_total", OUTCOMES),
            #[cfg(feature = "metrics")]
            requests: counters("steadfast_quorum_requests_total", CAUSES).by("cause"),
            name,
        }
    }

    /// A call was given up from outside.
    pub(crate) fn cancelled(&self) {
        self.count(Outcome::Cancelled);
    }

    /// A call was decided, or its time has run out.
    #[inline]
    pub(crate) fn ended<const WORDS: usize>(&self, outcome: Outcome, course: &Course<WORDS>) {
        self.count(outcome);
        #[cfg(feature = "tracing")]
        if !matches!(outcome, Outcome::Won) {
            self.failed(outcome, course.no(), course.out());
        }
        let _ = course;
    }

    #[inline]
    fn count(&self, outcome: Outcome) {
        #[cfg(feature = "metrics")]
        self.calls.increment(outcome as usize);
        let _ = outcome;
    }

    #[inline]
    pub(crate) fn called(&self, cause: Cause) {
        #[cfg(feature = "metrics")]
        self.requests.increment(cause as usize);
        let _ = cause;
    }

    /// One debug event: who failed, and who was still out. Nothing of the request or the answers.
    #[cfg(feature = "tracing")]
    fn failed<const WORDS: usize>(&self, outcome: Outcome, no: Nodes<WORDS>, out: Nodes<WORDS>) {
        let outcome = OUTCOMES[outcome as usize];
        tracing::debug!(target: "steadfast::quorum", quorum = %self.name, outcome, %no, %out, "no quorum");
    }
}
