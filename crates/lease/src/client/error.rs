//! Why there is no lease, and that one is lost.

use std::time::Duration;

use steadfast_core::{ConfigError, Executed, Grounds, Refusal, RefusalKind, parts::Rounded};

use crate::{FencingToken, HolderName, Loss, Status, StoreError, StoreErrorKind};

/// Why a lease was not granted. What may have been granted all the same, because an answer was
/// lost, is undone in the background.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Another holds it.
    #[error("held by {holder:?} for {} unless it is renewed", Rounded(*.left))]
    Held {
        /// How long it will be, unless it is renewed.
        left: Duration,
        /// By whom.
        holder: HolderName,
    },
    /// The deadline passed.
    #[error("the lease was not to be had before the deadline")]
    TimedOut,
    /// The store granted a token that is not above the floor: it has lost its record, and does not
    /// obey.
    #[error("the store granted the token {token}, which is not above {floor}")]
    BelowFloor {
        /// What it granted.
        token: FencingToken,
        /// What the token should have been above.
        floor: FencingToken,
    },
    /// The grants were over before their answers came, or last no longer than the margin.
    #[error("a grant of {} was over before its answer came", Rounded(*.ttl))]
    TooLate {
        /// What was granted last.
        ttl: Duration,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// What is asked for cannot work.
    #[error("the request cannot work")]
    Unacceptable(#[from] ConfigError),
    /// Too many calls ask at once.
    #[error("too many calls ask for leases at once")]
    Full,
    /// The client was shut down.
    #[error("the client was shut down")]
    ShutDown,
    /// The caller is outside of a tokio runtime.
    #[error("no tokio runtime to keep a lease in")]
    NoRuntime,
}

impl AcquireError {
    /// Whether the next try may have better luck: the store was away for a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => {
                matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
            }
            Self::TooLate { .. } => true,
            _ => false,
        }
    }
}

impl Refusal for AcquireError {
    /// What was to be done under the lease was not executed.
    fn grounds(&self) -> Grounds {
        match self {
            Self::Held { left, .. } => {
                Grounds::not_executed(RefusalKind::Conflict).with_retry_after(Some(*left))
            }
            Self::TimedOut => Grounds::not_executed(RefusalKind::DeadlineExceeded),
            Self::Unacceptable(_) => Grounds::not_executed(RefusalKind::Unacceptable),
            Self::Full => Grounds::not_executed(RefusalKind::TooMany),
            _ => Grounds::not_executed(RefusalKind::Unavailable),
        }
    }

    /// Without the name of the holder, which is no business of a caller at the other end.
    fn detail(&self) -> String {
        match self {
            Self::Held { left, .. } => {
                format!("held by another for {} unless it is renewed", Rounded(*left))
            }
            other => other.to_string(),
        }
    }
}

/// The lease is not held for long enough, or any more: HTTP 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease with the token {token} {}", said(.status))]
#[non_exhaustive]
pub struct LeaseLost {
    /// Of the lease.
    pub token: FencingToken,
    /// What it is worth. Where it is held still, what remains is too short.
    pub status: Status,
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

impl LeaseLost {
    /// The lease of this token, and whether what was done under it may have been executed.
    #[must_use]
    pub const fn new(token: FencingToken, status: Status, executed: Executed) -> Self {
        let kind = RefusalKind::NotHolder;
        let grounds = match executed {
            Executed::No => Grounds::not_executed(kind),
            Executed::Maybe => Grounds::maybe_executed(kind),
        };
        Self { token, status, grounds }
    }
}

impl Refusal for LeaseLost {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

const fn said(status: &Status) -> &'static str {
    match status {
        Status::Granted | Status::AtRisk => "ends too soon",
        Status::Released => "was released",
        Status::Lost(Loss::Unanswered) => "is lost: no renewal was answered in time",
        Status::Lost(Loss::NotRenewed) => "is over: it was not renewed",
        Status::Lost(Loss::Taken) => "is lost: another holds it",
        Status::Lost(Loss::Revoked) => "is lost: the store ended it",
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_holder_is_for_logs_and_not_for_strangers() {
        let holder = HolderName::new("node of the vault").unwrap();
        let held = AcquireError::Held { left: Duration::from_nanos(4_999_999_873), holder };
        let text = held.to_string();
        assert!(text.contains("vault") && text.contains("for 5 s unless"), "{text}");
        assert_eq!(held.detail(), "held by another for 5 s unless it is renewed");
        assert_eq!(AcquireError::Full.detail(), AcquireError::Full.to_string());
    }
}
