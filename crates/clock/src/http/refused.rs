//! The refusal of the layers.

use std::time::Duration;

use steadfast_core::{Grounds, Refusal, RefusalKind};

use crate::{ClockError, DriftTooLarge, Physical};

/// A request or its answer could not be stamped, and goes no further.
///
/// | fault | HTTP | gRPC | executed | when to come back |
/// |---|---|---|---|---|
/// | a request [too far ahead](StampFault::TooFarAhead) | 503 | `UNAVAILABLE` | no | after its [`excess`](DriftTooLarge::excess), at most 2 s |
/// | one beyond [`Physical::LIMIT`] | 422 | `INVALID_ARGUMENT` | no | never |
/// | an answer too far ahead, however far | 503 | `UNAVAILABLE` | perhaps | unknown |
/// | [`NotStored`](StampFault::NotStored) | 503 | `UNAVAILABLE` | a request: no; an answer: perhaps | unknown |
///
/// **Whose fault it is.** A stamp too far ahead shows that two clocks differ, and not which of them
/// is wrong; a node cannot judge itself. So the node that refuses a *request* says that it is
/// unavailable: where its own clock is behind, by seconds or, restored from an image, by years,
/// breakers and balancers turn to other nodes; where the sender's is ahead, all nodes refuse it,
/// and what opens are its own circuits. Only a stamp beyond [`Physical::LIMIT`], in the year 2860,
/// which no clock gives out, is the request's fault. A client that drops an *answer* holds the peer
/// for unavailable likewise; one that is itself behind opens its circuits to all that are right.
///
/// **When to come back.** A sender whose clock counts in place, because it has heard of one that is
/// ahead, is believed after the excess. One whose wall clock is ahead is not, nor does a wall clock
/// that is behind catch up by itself. So no more than 2 s is named, which is what a retry waits for
/// by default: one that was told to wait longer would give up, and not go to another node. The next
/// answer of a peer has another stamp, so of answers no time is named.
///
/// **Whether it was executed** is known to the layers of this process. A 503 and an `UNAVAILABLE`
/// that came over the network may stand for a request that was: there a retry repeats what is
/// idempotent, and nothing else.
///
/// A gateway that forwards the header as it came lets one sender open the circuits of all: strip
/// it, or let a [`PropagateHlcLayer`](crate::PropagateHlcLayer) replace it.
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
    /// The stamp it carries is too far ahead of this node's wall clock to be believed: the sender's
    /// clock is wrong, or this node's.
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
            grounds: match fault {
                StampFault::TooFarAhead(drift) if drift.is_beyond_the_limit() => {
                    Grounds::not_executed(RefusalKind::Unacceptable)
                }
                StampFault::TooFarAhead(drift) => Grounds::not_executed(RefusalKind::Unavailable)
                    .with_retry_after(Some(at_most(drift.excess, LONGEST))),
                StampFault::NotStored => Grounds::not_executed(RefusalKind::Unavailable),
            },
        }
    }

    /// The answer could not be stamped, and was dropped.
    #[must_use]
    pub const fn after_the_call(fault: StampFault) -> Self {
        Self { fault, grounds: Grounds::maybe_executed(RefusalKind::Unavailable) }
    }
}

impl Refusal for StampRefused {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

/// The longest wait that a retry obeys by default. More than that would make it give up.
const LONGEST: Duration = Duration::from_secs(2);

const fn at_most(length: Duration, bound: Duration) -> Duration {
    if length.as_nanos() > bound.as_nanos() { bound } else { length }
}

impl DriftTooLarge {
    /// Whether no clock gives out such a stamp: it is never accepted.
    const fn is_beyond_the_limit(&self) -> bool {
        self.remote.physical().grains() > Physical::LIMIT.grains()
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
        let drift = DriftTooLarge::new(Timestamp::MIN, Duration::from_micros(1_234_567));
        let refused = StampRefused::before_the_call(StampFault::TooFarAhead(drift));
        assert_eq!(
            refused.to_string(),
            "the stamp 1970-01-01T00:00:00.000000Z+00000 is 1.23 s further ahead than is allowed"
        );
        assert_eq!(
            cause::<Grounds>(&refused),
            Some(
                &Grounds::not_executed(RefusalKind::Unavailable)
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
