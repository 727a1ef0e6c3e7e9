//! What a service says about being asked again.

use std::time::Duration;

/// What the service said about being asked again, beside the failure itself: gRPC's server
/// pushback, HTTP's `Retry-After`.
///
/// It speaks of repeating the request and changes nothing about the failure: a breaker counts one
/// that says [`Never`](Self::Never) like any other.
///
/// A classifier of your own says it in its verdict:
///
/// ```
/// use std::{io, time::Duration};
///
/// use steadfast_core::{Classify, DefaultClassifier, Executed, Pushback, Verdict};
///
/// struct Reply {
///     status: u16,
///     retry_after: Option<Duration>,
///     should_retry: bool,
/// }
///
/// let classifier = |outcome: Result<&Reply, &io::Error>| match outcome {
///     Ok(reply) if reply.status >= 500 => Verdict::Transient {
///         executed: Executed::Maybe,
///         pushback: if reply.should_retry { reply.retry_after.into() } else { Pushback::Never },
///     },
///     Ok(_) => Verdict::Success,
///     Err(_) => DefaultClassifier.classify(outcome),
/// };
/// let reply = Reply { status: 503, retry_after: None, should_retry: false };
/// let verdict = classifier.classify(Ok(&reply));
/// assert!(verdict.is_failure());
/// assert_eq!(verdict.retry_after(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pushback {
    /// Nothing: the caller's own backoff decides.
    #[default]
    Unsaid,
    /// Not before this time has passed.
    After(Duration),
    /// Not at all: a retry gives this failure to the caller, and its budget is not charged.
    ///
    /// In gRPC a `grpc-retry-pushback-ms` that is negative or cannot be read (gRFC A6). HTTP has no
    /// header of its own for it; a classifier that knows its service's, such as
    /// `Stripe-Should-Retry: false`, says this.
    Never,
}

impl Pushback {
    /// The time to wait at least, if one was said.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::After(after) => Some(after),
            Self::Unsaid | Self::Never => None,
        }
    }
}

impl From<Option<Duration>> for Pushback {
    /// The time to come back, where one is known.
    fn from(retry_after: Option<Duration>) -> Self {
        retry_after.map_or(Self::Unsaid, Self::After)
    }
}
