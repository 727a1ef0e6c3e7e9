//! The refusal.

use std::{fmt, time::Duration};

use steadfast_core::{Executed, Grounds, Refusal, RefusalKind, parts::Labels};

/// A request was not given to its operation, or its operation's result is not to be had.
///
/// The grounds speak of the request as its key knows it, this copy of it and those before: they say
/// [`Executed::No`] only where no copy can have been executed on account of this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

/// Why an [`Idempotency`](crate::Idempotency) refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Another copy of the request is under way. HTTP 409 with a time to come back.
    InFlight,
    /// The key was used for another payload. HTTP 422, final.
    Mismatch,
    /// The operation may have been executed, and its outcome is not known. HTTP 409, final.
    Abandoned,
    /// The operation is done, and its reply was too large to keep. HTTP 409, final.
    NotKept,
    /// The operation ran, but had lost its claim to another run in the meantime: that one's reply
    /// counts. HTTP 409 with a time to come back.
    Lost,
    /// Too many operations are under way. HTTP 429, not executed.
    Full,
    /// The handle was shut down. HTTP 503: not executed if it came after that, and perhaps if it
    /// was under way.
    ShutDown,
    /// The store did not answer the claim. HTTP 503, not executed.
    Store,
    /// The stored reply cannot be read. HTTP 409, final.
    Unreadable,
}

impl Refused {
    /// Another copy is under way; come back after this time.
    #[must_use]
    pub const fn in_flight(after: Duration) -> Self {
        Self::perhaps(Reason::InFlight, RefusalKind::Conflict, Some(after))
    }

    /// The key was used for another payload. This one was not executed.
    #[must_use]
    pub const fn mismatch() -> Self {
        Self::not(Reason::Mismatch, RefusalKind::Unacceptable)
    }

    /// The operation may have been executed, and its outcome is not known.
    #[must_use]
    pub const fn abandoned() -> Self {
        Self::perhaps(Reason::Abandoned, RefusalKind::Conflict, None)
    }

    /// The reply was too large to keep.
    #[must_use]
    pub const fn not_kept() -> Self {
        Self::perhaps(Reason::NotKept, RefusalKind::Conflict, None)
    }

    /// Another run of the operation counts; its reply is to be had after this time.
    #[must_use]
    pub const fn lost(after: Duration) -> Self {
        Self::perhaps(Reason::Lost, RefusalKind::Conflict, Some(after))
    }

    /// Too many operations are under way.
    #[must_use]
    pub const fn full() -> Self {
        Self::not(Reason::Full, RefusalKind::TooMany)
    }

    /// The handle was shut down, before or while the operation ran.
    #[must_use]
    pub const fn shut_down(executed: Executed) -> Self {
        match executed {
            Executed::No => Self::not(Reason::ShutDown, RefusalKind::Unavailable),
            Executed::Maybe => Self::perhaps(Reason::ShutDown, RefusalKind::Unavailable, None),
        }
    }

    /// The store did not answer the claim.
    #[must_use]
    pub const fn store() -> Self {
        Self::not(Reason::Store, RefusalKind::Unavailable)
    }

    /// The stored reply cannot be read.
    #[must_use]
    pub const fn unreadable() -> Self {
        Self::perhaps(Reason::Unreadable, RefusalKind::Conflict, None)
    }

    const fn not(reason: Reason, kind: RefusalKind) -> Self {
        Self { reason, grounds: Grounds::not_executed(kind) }
    }

    const fn perhaps(reason: Reason, kind: RefusalKind, after: Option<Duration>) -> Self {
        Self { reason, grounds: Grounds::maybe_executed(kind).with_retry_after(after) }
    }
}

impl Refusal for Refused {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InFlight => "another request with this idempotency key is under way",
            Self::Mismatch => "this idempotency key was used for another request",
            Self::Abandoned => "the request may have been executed, and its outcome is not known",
            Self::NotKept => "the request was executed, and its reply was too large to keep",
            Self::Lost => "another run of this request counts",
            Self::Full => "too many requests with idempotency keys are under way",
            Self::ShutDown => "shut down",
            Self::Store => "the store of idempotency keys does not answer",
            Self::Unreadable => "the request was executed, and its stored reply cannot be read",
        })
    }
}

impl Labels for Reason {
    const KEY: &'static str = "reason";
    const ALL: &'static [Self] = &[
        Self::InFlight,
        Self::Mismatch,
        Self::Abandoned,
        Self::NotKept,
        Self::Lost,
        Self::Full,
        Self::ShutDown,
        Self::Store,
        Self::Unreadable,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Mismatch => "mismatch",
            Self::Abandoned => "abandoned",
            Self::NotKept => "not_kept",
            Self::Lost => "lost",
            Self::Full => "full",
            Self::ShutDown => "shut_down",
            Self::Store => "store",
            Self::Unreadable => "unreadable",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
