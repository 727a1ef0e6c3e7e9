//! The refusal of the layers.

use std::time::Duration;

use steadfast_core::{Grounds, Refusal, RefusalKind};

use crate::{ClockError, DriftTooLarge, Physical};

/// A request or its answer could not be stamped, and goes no further.
///
/// | fault | HTTP | gRPC | when to come back |
/// |---|---|---|---|
/// | [`TooFarAhead`](StampFault::TooFarAhead) | 422 | `INVALID_ARGUMENT` | with the same stamp after its [`excess`](DriftTooLarge::excess); never with one beyond [`Physical::LIMIT`] |
/// | [`NotStored`](StampFault::NotStored) | 503 | `UNAVAILABLE` | unknown |
///
/// A sender whose clock counts in place, because it has heard of one that is ahead, is believed
/// after that time. One whose wall clock is ahead is not: its stamps go on with it.
///
/// It says whether the request may have been executed: it certainly was not when the request itself
/// could not be stamped, and it may have been when the answer could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
#[non_exhaustive]
pub struct StampRefused {
    /// What was wrong.
    pub fault: StampFault,
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

/// Why a message could not be stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StampFault {
    /// The stamp it carries is too far ahead of this node's wall clock to be believed.
    #[error("{0}")]
    TooFarAhead(DriftTooLarge),
    /// The clock is a [`PersistentHlc`](crate::PersistentHlc), and its high water could not be
    /// stored.
    #[error("the high water of the clock could not be stored")]
    NotStored,
}

impl StampRefused {
    /// The request could not be stamped; the service was not called.
    #[must_use]
    pub const fn before_the_call(fault: StampFault) -> Self {
        Self {
            fault,
            grounds: Grounds::not_executed(fault.kind()).with_retry_after(fault.retry_after()),
        }
    }

    /// The answer could not be stamped, and was dropped.
    #[must_use]
    pub const fn after_the_call(fault: StampFault) -> Self {
        Self {
            fault,
            grounds: Grounds::maybe_executed(fault.kind()).with_retry_after(fault.retry_after()),
        }
    }
}

impl Refusal for StampRefused {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

impl StampFault {
    const fn kind(self) -> RefusalKind {
        match self {
            Self::TooFarAhead(_) => RefusalKind::Unacceptable,
            Self::NotStored => RefusalKind::Unavailable,
        }
    }

    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TooFarAhead(DriftTooLarge { remote, excess })
                if remote.physical().grains() <= Physical::LIMIT.grains() =>
            {
                Some(excess)
            }
            _ => None,
        }
    }
}

impl From<&ClockError> for StampFault {
    fn from(error: &ClockError) -> Self {
        match error {
            ClockError::DriftTooLarge(drift) => Self::TooFarAhead(*drift),
            ClockError::HighWater(_) => Self::NotStored,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use steadfast_core::cause;

    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_refusal_says_what_was_wrong_and_its_source_whether_it_was_executed() {
        let drift = DriftTooLarge::new(Timestamp::MIN, Duration::from_secs(2));
        let refused = StampRefused::before_the_call(StampFault::TooFarAhead(drift));
        assert_eq!(
            refused.to_string(),
            "the stamp 1970-01-01T00:00:00.000000Z+00000 is 2s further ahead than is allowed"
        );
        assert_eq!(
            cause::<Grounds>(&refused),
            Some(
                &Grounds::not_executed(RefusalKind::Unacceptable)
                    .with_retry_after(Some(drift.excess))
            )
        );

        let refused = StampRefused::after_the_call(StampFault::NotStored);
        assert_eq!(refused.to_string(), "the high water of the clock could not be stored");
        assert_eq!(
            cause::<Grounds>(&refused),
            Some(&Grounds::maybe_executed(RefusalKind::Unavailable))
        );
    }
}
