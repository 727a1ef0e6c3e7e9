//! The refusal of this crate.

use std::time::Duration;

use steadfast_core::{Executed, Grounds, Refusal, RefusalKind};

/// The time allowed for a request is over, and it is given up.
///
/// HTTP 504, gRPC `DEADLINE_EXCEEDED`. It says whether the request may have been executed: it may
/// have once the service was called, and certainly was not when its deadline had passed before
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
#[non_exhaustive]
pub struct Elapsed {
    /// How long the request was given, counted from when it began to wait. Zero when its deadline
    /// had already passed.
    pub limit: Duration,
    /// How long it was then let go on beyond `limit`, to find out what lies there: zero for most
    /// requests. It waited for `limit + explored` in all.
    pub explored: Duration,
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

impl Elapsed {
    /// The service was called and did not answer within `limit`.
    #[must_use]
    pub const fn after(limit: Duration) -> Self {
        let grounds = Grounds::maybe_executed(RefusalKind::TimedOut);
        Self { limit, explored: Duration::ZERO, grounds }
    }

    /// The same after the call had been let go on for `explored` beyond its limit.
    #[must_use]
    pub const fn with_explored(mut self, explored: Duration) -> Self {
        self.explored = explored;
        self
    }

    /// The request's deadline had passed before the service was called.
    ///
    /// Nothing was executed, so to a layer that retries it is safe to repeat. That it is also
    /// useless, that layer knows from the request's deadline: give it the same context as the
    /// timeout.
    #[must_use]
    pub const fn before_the_call() -> Self {
        let (limit, explored) = (Duration::ZERO, Duration::ZERO);
        Self { limit, explored, grounds: Grounds::not_executed(RefusalKind::TimedOut) }
    }

    fn words(&self) -> String {
        match self.grounds.executed {
            Executed::Maybe if self.explored.is_zero() => {
                format!("no answer within {:?}", self.limit)
            }
            Executed::Maybe => {
                let Self { limit, explored, .. } = self;
                format!("no answer within {limit:?}, nor in {explored:?} more")
            }
            Executed::No => "the deadline had passed before the call".to_owned(),
        }
    }
}

impl Refusal for Elapsed {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}
