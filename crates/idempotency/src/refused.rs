//! The refusal.

use std::{fmt, time::Duration};

use steadfast_core::{Executed, Grounds, HandleName, Refusal, RefusalKind, parts::Labels};

/// A request was not given to its operation, or its operation's result is not to be had.
///
/// The grounds speak of the request as its key knows it, this copy of it and those before: they say
/// [`Executed::No`] only where no copy can have been executed on account of this call.
///
/// Of a handle that was [named](crate::IdempotencyConfig::named) it says the name: `idempotency
/// "payments": shut down`. A caller at the other end of HTTP or gRPC is not told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", named(self.grounds.handle))]
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
    /// The request's key is older than records are kept: an earlier copy may have been executed,
    /// and forgotten since. HTTP 412, final.
    KeyTooOld,
    /// The request's key is no key. HTTP 400.
    MalformedKey,
    /// The request has no key, and must have one. HTTP 400.
    MissingKey,
    /// The request has a key, and no principal that it could belong to. HTTP 400.
    NoPrincipal,
    /// The request has a key, and the name of its principal is too long to go with it into the name
    /// of a record. HTTP 400.
    ScopeTooLong,
    /// The request has a key, and a longer body than is read for one. HTTP 413.
    BodyTooLarge,
    /// The request has a key, and its body did not arrive in time. HTTP 408.
    BodyTimeout,
    /// The request has a key, and its body broke off. HTTP 400.
    BodyFailed,
    /// The request has a key, and is a stream: no two of them are the same. HTTP 400.
    Streaming,
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

    /// The key is older than records are kept.
    #[must_use]
    pub const fn key_too_old() -> Self {
        Self::perhaps(Reason::KeyTooOld, RefusalKind::Stale, None)
    }

    /// The stored reply cannot be read.
    #[must_use]
    pub const fn unreadable() -> Self {
        Self::perhaps(Reason::Unreadable, RefusalKind::Conflict, None)
    }

    /// The request's key is no key.
    #[must_use]
    pub const fn malformed_key() -> Self {
        Self::not(Reason::MalformedKey, RefusalKind::Malformed)
    }

    /// The request has no key, and must have one.
    #[must_use]
    pub const fn missing_key() -> Self {
        Self::not(Reason::MissingKey, RefusalKind::Malformed)
    }

    /// The request has no principal that its key could belong to.
    #[must_use]
    pub const fn no_principal() -> Self {
        Self::not(Reason::NoPrincipal, RefusalKind::Malformed)
    }

    /// The name of the request's principal, with its key, is longer than the name of a record.
    #[must_use]
    pub const fn scope_too_long() -> Self {
        Self::not(Reason::ScopeTooLong, RefusalKind::Malformed)
    }

    /// The request's body is longer than is read for a key.
    #[must_use]
    pub const fn body_too_large() -> Self {
        Self::not(Reason::BodyTooLarge, RefusalKind::TooLarge)
    }

    /// The request's body did not arrive in time.
    #[must_use]
    pub const fn body_timeout() -> Self {
        Self::not(Reason::BodyTimeout, RefusalKind::RequestTimeout)
    }

    /// The request's body broke off.
    #[must_use]
    pub const fn body_failed() -> Self {
        Self::not(Reason::BodyFailed, RefusalKind::Malformed)
    }

    /// The request is a stream.
    #[must_use]
    pub const fn streaming() -> Self {
        Self::not(Reason::Streaming, RefusalKind::Malformed)
    }

    /// The same refusal by the handle of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle), ..self }
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

    fn detail(&self) -> String {
        self.reason.to_string()
    }
}

fn named(handle: Option<HandleName>) -> String {
    handle.map(|name| format!("idempotency {name}: ")).unwrap_or_default()
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
            Self::MalformedKey => {
                "an Idempotency-Key is one line of 1 to 255 visible ASCII characters, bare or as \
                 a quoted string"
            }
            Self::MissingKey => "this request needs an Idempotency-Key",
            Self::NoPrincipal => "an idempotency key needs a principal that it belongs to",
            Self::ScopeTooLong => {
                "the name of the principal that an idempotency key belongs to is too long"
            }
            Self::BodyTooLarge => "the body of a request with an idempotency key is too large",
            Self::BodyTimeout => {
                "the body of a request with an idempotency key did not arrive in time"
            }
            Self::BodyFailed => "the body of a request with an idempotency key broke off",
            Self::KeyTooOld => "this idempotency key is older than replies are kept",
            Self::Streaming => "a stream cannot have an idempotency key",
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
        Self::KeyTooOld,
        Self::MalformedKey,
        Self::MissingKey,
        Self::NoPrincipal,
        Self::ScopeTooLong,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::BodyFailed,
        Self::Streaming,
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
            Self::KeyTooOld => "key_too_old",
            Self::MalformedKey => "malformed_key",
            Self::MissingKey => "missing_key",
            Self::NoPrincipal => "no_principal",
            Self::ScopeTooLong => "scope_too_long",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyFailed => "body_failed",
            Self::Streaming => "streaming",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
