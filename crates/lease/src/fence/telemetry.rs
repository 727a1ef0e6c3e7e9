//! What metrics and events are told of calls. Never the name of a resource.

use std::sync::Arc;

#[cfg(feature = "metrics")]
use steadfast_core::parts::Counters;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::Counters;
use steadfast_core::{HandleName, parts::Labels};

use super::refused::{Fenced, FencedReason};

/// What became of a call at a fence: the closed set of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Stale,
    OutOfOrder,
    Overtaken,
    Missing,
    Malformed,
    TooFarAhead,
    Busy,
    Unnamed,
    Full,
    NotStored,
    NoPlace,
    Broken,
}

/// Reports under the fence's name.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(
        not(feature = "tracing"),
        expect(dead_code, reason = "only events carry the name from here")
    )]
    name: Arc<str>,
    /// The same, for refusals.
    handle: Option<HandleName>,
    calls: Counters<Outcome>,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        let calls = Counters::new("steadfast_fence_calls_total", "fence", Arc::clone(&name));
        let handle = HandleName::new(&name);
        Self { name, handle, calls }
    }

    #[inline]
    pub(crate) fn passed(&self) {
        self.calls.increment(Outcome::Passed);
    }

    /// Counts the refusal, and passes it on with the fence's name. One event, where a holder has
    /// lost its lease or its tokens cannot be right.
    #[cold]
    pub(crate) fn refused(&self, fenced: Fenced) -> Fenced {
        self.calls.increment(fenced.reason.into());
        #[cfg(feature = "tracing")]
        match fenced.reason {
            FencedReason::Stale { presented, highest }
            | FencedReason::Overtaken { presented, highest } => tracing::warn!(
                target: "steadfast::fence",
                fence = &*self.name,
                %presented,
                %highest,
                "a call under an old token was kept away"
            ),
            FencedReason::TooFarAhead { presented, most } => tracing::warn!(
                target: "steadfast::fence",
                fence = &*self.name,
                %presented,
                %most,
                "a token too far ahead was refused"
            ),
            _ => {}
        }
        fenced.with_handle(self.handle)
    }

    /// A mark could not be written down.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "nothing is said without the feature")
    )]
    pub(crate) fn store_failed(&self, error: &(dyn std::error::Error + 'static)) {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "steadfast::fence",
            fence = &*self.name,
            error,
            "a mark could not be written down"
        );
    }
}

impl From<FencedReason> for Outcome {
    fn from(reason: FencedReason) -> Self {
        match reason {
            FencedReason::Stale { .. } => Self::Stale,
            FencedReason::OutOfOrder { .. } => Self::OutOfOrder,
            FencedReason::Overtaken { .. } => Self::Overtaken,
            FencedReason::Missing => Self::Missing,
            FencedReason::Malformed => Self::Malformed,
            FencedReason::TooFarAhead { .. } => Self::TooFarAhead,
            FencedReason::Busy => Self::Busy,
            FencedReason::Unnamed => Self::Unnamed,
            FencedReason::Full => Self::Full,
            FencedReason::NotStored => Self::NotStored,
            FencedReason::NoPlace => Self::NoPlace,
            FencedReason::Broken => Self::Broken,
        }
    }
}

impl Labels for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Passed,
        Self::Stale,
        Self::OutOfOrder,
        Self::Overtaken,
        Self::Missing,
        Self::Malformed,
        Self::TooFarAhead,
        Self::Busy,
        Self::Unnamed,
        Self::Full,
        Self::NotStored,
        Self::NoPlace,
        Self::Broken,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Stale => "stale",
            Self::OutOfOrder => "out_of_order",
            Self::Overtaken => "overtaken",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooFarAhead => "too_far_ahead",
            Self::Busy => "busy",
            Self::Unnamed => "unnamed",
            Self::Full => "full",
            Self::NotStored => "not_stored",
            Self::NoPlace => "no_place",
            Self::Broken => "broken",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
