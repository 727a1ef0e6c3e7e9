//! What a budget says when it is exhausted, and a retry that comes too late.

use steadfast_core::{Grounds, HandleName, Refusal, RefusalKind};
use thiserror::Error;

/// The budget does not cover another retry: too much was sent again in its window already.
///
/// The retry layer never answers a request with it: there the caller gets the failure that could
/// not be retried. It is for programs that use a [`Budget`](crate::Budget) on its own. Of a budget
/// that was [named](crate::BudgetConfig::named) it says the name, but not to a caller at the other
/// end of HTTP or gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the retry budget {}is exhausted", named(self.grounds.handle))]
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

    /// The same refusal by the budget of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle) }
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

    fn detail(&self) -> String {
        self.with_handle(None).to_string()
    }
}

/// The name, and a blank behind it.
fn named(handle: Option<HandleName>) -> String {
    handle.map(|name| format!("{name} ")).unwrap_or_default()
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
