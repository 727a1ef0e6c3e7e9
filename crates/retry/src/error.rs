//! What a budget says when it is exhausted.

use std::{error::Error, fmt};

use steadfast_core::{Grounds, Refusal, RefusalKind};

/// The budget does not cover another retry: too much was sent again in its window already.
///
/// The retry layer never answers a request with it: there the caller gets the failure that could not be retried. It is for
/// those who use a [`Budget`](crate::Budget) on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetExhausted {
    grounds: Grounds,
}

impl BudgetExhausted {
    /// The refusal of an exhausted budget.
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

impl fmt::Display for BudgetExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the retry budget is exhausted")
    }
}

impl Error for BudgetExhausted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.grounds)
    }
}

impl Refusal for BudgetExhausted {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}
