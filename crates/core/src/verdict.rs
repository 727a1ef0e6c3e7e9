//! The one classification all layers share.

use std::time::Duration;

use crate::{Executed, Grounds, Pushback, RefusalKind};

/// What an outcome says about the service and about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The service answered as it should.
    Success,
    /// The service or the way to it failed; the same request may succeed later.
    Transient {
        /// Whether the failed request may have been executed.
        executed: Executed,
        /// What the service said about being asked again.
        pushback: Pushback,
    },
    /// The service refused because it has too much to do.
    Throttled {
        /// Whether the refused request may have been executed.
        executed: Executed,
        /// What the service said about being asked again.
        pushback: Pushback,
    },
    /// Says nothing bad of the service, and the same request may succeed later: a conflict that
    /// passes, a request that took too long to arrive. A breaker counts a success, a timeout takes
    /// no sample, a retry repeats it like a transient failure.
    Repeatable {
        /// Whether the request may have been executed.
        executed: Executed,
        /// What the service said about when to come back.
        retry_after: Option<Duration>,
    },
    /// The request is at fault: the service is healthy, and repeating changes nothing.
    Permanent,
    /// Says nothing about the service: it is not counted anywhere.
    Ignored,
}

impl Verdict {
    /// A transient failure with nothing said about being asked again.
    #[must_use]
    pub const fn transient(executed: Executed) -> Self {
        Self::Transient { executed, pushback: Pushback::Unsaid }
    }

    /// Refused before it was executed, with nothing said about being asked again.
    #[must_use]
    pub const fn throttled() -> Self {
        Self::Throttled { executed: Executed::No, pushback: Pushback::Unsaid }
    }

    /// Whether the failure counts against the service.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Throttled { .. })
    }

    /// When the service or a layer said to come back, if it said a time.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Transient { pushback, .. } | Self::Throttled { pushback, .. } => {
                pushback.retry_after()
            }
            Self::Repeatable { retry_after, .. } => retry_after,
            Self::Success | Self::Permanent | Self::Ignored => None,
        }
    }
}

impl From<Grounds> for Verdict {
    /// A refusal seen from further out: what an inner layer's "no" says about the call.
    fn from(grounds: Grounds) -> Self {
        let Grounds { kind, retry_after, executed, handle: _ } = grounds;
        match kind {
            RefusalKind::Unavailable | RefusalKind::TimedOut => {
                Self::Transient { executed, pushback: retry_after.into() }
            }
            RefusalKind::DeadlineExceeded => Self::Ignored,
            RefusalKind::TooMany => Self::Throttled { executed, pushback: retry_after.into() },
            RefusalKind::RequestTimeout => Self::Repeatable { executed, retry_after },
            RefusalKind::Conflict if retry_after.is_some() => {
                Self::Repeatable { executed, retry_after }
            }
            RefusalKind::Conflict
            | RefusalKind::Stale
            | RefusalKind::Unacceptable
            | RefusalKind::Malformed
            | RefusalKind::TooLarge
            | RefusalKind::PreconditionRequired
            | RefusalKind::NotHolder => Self::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_verdict() {
        let soon = Some(Duration::from_secs(1));
        for executed in [Executed::No, Executed::Maybe] {
            for retry_after in [None, soon] {
                let verdict = |kind| {
                    let grounds = Grounds::not_executed(kind).with_retry_after(retry_after);
                    Verdict::from(Grounds { executed, ..grounds })
                };
                let pushback = Pushback::from(retry_after);
                let transient = Verdict::Transient { executed, pushback };
                let repeatable = Verdict::Repeatable { executed, retry_after };
                let conflict = if retry_after.is_some() { repeatable } else { Verdict::Permanent };
                for (kind, expected) in [
                    (RefusalKind::Unavailable, transient),
                    (RefusalKind::TimedOut, transient),
                    (RefusalKind::DeadlineExceeded, Verdict::Ignored),
                    (RefusalKind::TooMany, Verdict::Throttled { executed, pushback }),
                    (RefusalKind::Conflict, conflict),
                    (RefusalKind::RequestTimeout, repeatable),
                    (RefusalKind::Stale, Verdict::Permanent),
                    (RefusalKind::Unacceptable, Verdict::Permanent),
                    (RefusalKind::Malformed, Verdict::Permanent),
                    (RefusalKind::TooLarge, Verdict::Permanent),
                    (RefusalKind::PreconditionRequired, Verdict::Permanent),
                    (RefusalKind::NotHolder, Verdict::Permanent),
                ] {
                    assert_eq!(verdict(kind), expected, "{kind}");
                }
            }
        }
    }

    #[test]
    fn what_is_repeatable_counts_against_no_service_and_keeps_its_time() {
        let retry_after = Some(Duration::from_secs(3));
        let repeatable = Verdict::Repeatable { executed: Executed::Maybe, retry_after };
        assert!(!repeatable.is_failure());
        assert_eq!(repeatable.retry_after(), retry_after);
    }
}
