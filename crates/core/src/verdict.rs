//! The one classification all layers share.

use std::time::Duration;

use crate::{Grounds, RefusalKind};

/// What an outcome says about the service and about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The service answered as it should.
    Success,
    /// The service or the way to it failed; the same request may succeed later.
    Transient {
        /// Whether the failed request may have been executed.
        executed: Executed,
        /// What the service said about when to come back.
        retry_after: Option<Duration>,
    },
    /// The service refused because it has too much to do.
    Throttled {
        /// Whether the refused request may have been executed.
        executed: Executed,
        /// What the service said about when to come back.
        retry_after: Option<Duration>,
    },
    /// The request is at fault: the service is healthy, and repeating changes nothing.
    Permanent,
    /// Says nothing about the service: it is not counted anywhere.
    Ignored,
}

/// Whether a failed request may have been executed: the one fact that decides what may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// The request certainly did not run.
    No,
    /// The request may have run, may be running, or may still run.
    Maybe,
}

impl Verdict {
    /// A transient failure with nothing said about when to come back.
    #[must_use]
    pub const fn transient(executed: Executed) -> Self {
        Self::Transient { executed, retry_after: None }
    }

    /// Refused before it was executed, with nothing said about when to come back.
    #[must_use]
    pub const fn throttled() -> Self {
        Self::Throttled { executed: Executed::No, retry_after: None }
    }

    /// Whether the failure counts against the service.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Throttled { .. })
    }

    /// What the service or a layer said about when to come back.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Transient { retry_after, .. } | Self::Throttled { retry_after, .. } => retry_after,
            Self::Success | Self::Permanent | Self::Ignored => None,
        }
    }
}

impl From<Grounds> for Verdict {
    /// A refusal seen from further out: what an inner layer's "no" says about the call.
    fn from(grounds: Grounds) -> Self {
        let executed = if grounds.may_have_executed { Executed::Maybe } else { Executed::No };
        match grounds.kind {
            RefusalKind::Unavailable | RefusalKind::TimedOut => {
                Self::Transient { executed, retry_after: grounds.retry_after }
            }
            RefusalKind::TooMany => Self::Throttled { executed, retry_after: grounds.retry_after },
            RefusalKind::Conflict | RefusalKind::Stale | RefusalKind::Unacceptable => Self::Permanent,
        }
    }
}
