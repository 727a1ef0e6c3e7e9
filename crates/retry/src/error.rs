//! What a budget says when it is exhausted.

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
