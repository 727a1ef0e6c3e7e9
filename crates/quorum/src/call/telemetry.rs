//! Metrics and events of calls, when the features are on.

use std::sync::Arc;

#[cfg(feature = "metrics")]
use steadfast_core::parts::Counters;
use steadfast_core::parts::Labels;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::Counters;

use super::progress::Progress;
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

impl Labels for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Won, Self::Lost, Self::Incomplete, Self::Cancelled];

    fn label(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

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

impl Labels for Cause {
    const KEY: &'static str = "cause";
    const ALL: &'static [Self] = &[Self::Opening, Self::Failure, Self::Delay, Self::Unready];

    fn label(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Failure => "failure",
            Self::Delay => "delay",
            Self::Unready => "unready",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The name of calls, and what is counted under it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(
        not(feature = "tracing"),
        expect(dead_code, reason = "only events carry the name from here")
    )]
    name: Arc<str>,
    calls: Counters<Outcome>,
    requests: Counters<Cause>,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            calls: Counters::new("steadfast_quorum_calls_total", "quorum", Arc::clone(&name)),
            requests: Counters::new("steadfast_quorum_requests_total", "quorum", Arc::clone(&name)),
            name,
        }
    }

    /// A call was given up from outside.
    pub(crate) fn cancelled(&self) {
        self.calls.increment(Outcome::Cancelled);
    }

    /// A call was decided, or its time has run out.
    #[inline]
    pub(crate) fn ended<const WORDS: usize>(&self, outcome: Outcome, progress: &Progress<WORDS>) {
        self.calls.increment(outcome);
        #[cfg(feature = "tracing")]
        if !matches!(outcome, Outcome::Won) {
            self.failed(outcome, progress.no(), progress.out());
        }
        let _ = progress;
    }

    #[inline]
    pub(crate) fn called(&self, cause: Cause) {
        self.requests.increment(cause);
    }

    /// One debug event: the nodes that failed, and those that were still out. Nothing of the
    /// request or the answers.
    #[cfg(feature = "tracing")]
    fn failed<const WORDS: usize>(&self, outcome: Outcome, no: Nodes<WORDS>, out: Nodes<WORDS>) {
        let outcome = outcome.label();
        tracing::debug!(target: "steadfast::quorum", quorum = %self.name, outcome, %no, %out, "no quorum");
    }
}
