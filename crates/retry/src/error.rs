//! What a budget says when it is exhausted, and a retry that comes too late.

use steadfast_core::{Grounds, Refusal, RefusalKind};
use thiserror::Error;

/// The budget does not cover another retry: too much was sent again in its window already.
///
/// The retry layer never answers a request with it: there the caller gets the failure that could
/// not be retried. It is for programs that use a [`Budget`](crate::Budget) on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the retry budget is exhausted")]
#[non_exhaustive]
pub struct BudgetExhausted {
    /// Too much was asked for, and nothing was executed.
    #[source]
    pub grounds: Grounds,
}

impl BudgetExhausted {
    /// The refusal of a withdrawal that the budget does not cover.
    #[must_use]
    pub const fn new() -> Self {
        Self { grounds: Grounds::not_executed(RefusalKind::TooMany) }
    }
}

impl Default for BudgetExhausted {
    fn default() -> Self {
        Self::new()
    }
}

impl Refusal for BudgetExhausted {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

/// The request's deadline passed while the next attempt waited for the service to become ready.
///
/// The attempt before ended with a response, which was dropped before that wait. The call ends with
/// this where the service's error can hold any refusal
/// ([`Failure::refused`](steadfast_core::Failure::refused)): `BoxError`, `Error<E>`, `io::Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the deadline passed before the service was ready for another attempt")]
#[non_exhaustive]
pub struct TooLate {
    /// The caller's time was over, and an attempt before may have been executed.
    #[source]
    pub grounds: Grounds,
}

impl TooLate {
    /// The refusal of an attempt that would have come too late.
    #[must_use]
    pub const fn new() -> Self {
        Self { grounds: Grounds::maybe_executed(RefusalKind::DeadlineExceeded) }
    }
}

impl Default for TooLate {
    fn default() -> Self {
        Self::new()
    }
}

impl Refusal for TooLate {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}
