//! The refusal.

use std::time::Duration;

use steadfast_core::{Grounds, Refusal, RefusalKind};

/// The circuit is open: the request was refused and never reached the service.
///
/// `retry_after` in its grounds is what is left of the open time; `None` while probes are under way
/// or the circuit is forced open, when there is no such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit open")]
#[non_exhaustive]
pub struct CircuitOpen {
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

impl CircuitOpen {
    /// A refusal with the time after which it makes sense to come back.
    #[must_use]
    pub const fn after(left: Duration) -> Self {
        Self {
            grounds: Grounds::not_executed(RefusalKind::Unavailable).with_retry_after(Some(left)),
        }
    }

    /// A refusal until the circuit changes its state, which has no time of its own.
    #[must_use]
    pub const fn until_changed() -> Self {
        Self { grounds: Grounds::not_executed(RefusalKind::Unavailable) }
    }
}

impl Refusal for CircuitOpen {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}
