//! The kinds of refusal, from which HTTP and gRPC answers are derived.

use std::fmt;

/// The kinds of refusal. HTTP and gRPC answers are derived from them.
///
/// `Unavailable`, `TimedOut` and `TooMany` speak of the service or the way to it. A
/// `DeadlineExceeded` speaks of the caller alone, and nothing counts it. All others speak of the
/// request: they count against no service, and only a `Conflict` with a time to come back and a
/// `RequestTimeout` are worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The service behind the layer does not answer well enough to be called. HTTP 503, gRPC
    /// `UNAVAILABLE`.
    Unavailable,
    /// The service did not answer in the time that it is given. HTTP 504, gRPC
    /// `DEADLINE_EXCEEDED`.
    TimedOut,
    /// The time that the caller gave the request is over, and nothing shows that the service is to
    /// blame for it. HTTP 504, gRPC `DEADLINE_EXCEEDED`.
    ///
    /// It is not counted anywhere, and final to a retry: there is no time left for another attempt.
    DeadlineExceeded,
    /// More requests than a limit or a budget allows. HTTP 429, gRPC `RESOURCE_EXHAUSTED`.
    TooMany,
    /// The request collides with another that is under way or done. HTTP 409, gRPC `ABORTED`.
    ///
    /// With a time to come back the conflict passes, and the same request may succeed then. Without
    /// one it is final.
    Conflict,
    /// The request speaks for a state that has passed, such as an old fencing token. HTTP 412, gRPC
    /// `FAILED_PRECONDITION`.
    Stale,
    /// The request is well-formed and cannot be accepted, at any time. HTTP 422, gRPC
    /// `INVALID_ARGUMENT`.
    Unacceptable,
    /// The request cannot be read, such as one whose `Idempotency-Key` is no string. HTTP 400, gRPC
    /// `INVALID_ARGUMENT`.
    Malformed,
    /// The request is larger than the layer takes. HTTP 413, gRPC `INVALID_ARGUMENT`.
    TooLarge,
    /// The request took too long to arrive. HTTP 408, gRPC `ABORTED`. The same request may succeed
    /// later.
    RequestTimeout,
    /// The request lacks a condition that the layer asks for, such as a key or a token. HTTP 428,
    /// gRPC `FAILED_PRECONDITION`.
    PreconditionRequired,
    /// The caller does not hold what the request needs it to hold. HTTP 403, gRPC
    /// `PERMISSION_DENIED`.
    NotHolder,
}

impl RefusalKind {
    /// Every kind there is.
    pub const ALL: &[Self] = &[
        Self::Unavailable,
        Self::TimedOut,
        Self::DeadlineExceeded,
        Self::TooMany,
        Self::Conflict,
        Self::Stale,
        Self::Unacceptable,
        Self::Malformed,
        Self::TooLarge,
        Self::RequestTimeout,
        Self::PreconditionRequired,
        Self::NotHolder,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed out",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::TooMany => "too many requests",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::Unacceptable => "unacceptable",
            Self::Malformed => "malformed",
            Self::TooLarge => "too large",
            Self::RequestTimeout => "request too slow to arrive",
            Self::PreconditionRequired => "precondition required",
            Self::NotHolder => "not the holder",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_listed_once() {
        // No wildcard: a new kind does not compile here before it has a place.
        let place = |kind| match kind {
            RefusalKind::Unavailable => 0,
            RefusalKind::TimedOut => 1,
            RefusalKind::DeadlineExceeded => 2,
            RefusalKind::TooMany => 3,
            RefusalKind::Conflict => 4,
            RefusalKind::Stale => 5,
            RefusalKind::Unacceptable => 6,
            RefusalKind::Malformed => 7,
            RefusalKind::TooLarge => 8,
            RefusalKind::RequestTimeout => 9,
            RefusalKind::PreconditionRequired => 10,
            RefusalKind::NotHolder => 11,
        };
        let places: Vec<_> = RefusalKind::ALL.iter().map(|kind| place(*kind)).collect();
        assert_eq!(places, (0..12).collect::<Vec<_>>());
    }
}
