//! What a layer says when it will not carry a request any further.

use std::{error::Error, fmt, time::Duration};

use crate::{executed::Executed, handle_name::HandleName, kind::RefusalKind, rounded::Rounded};

/// A layer's own "no": why it refused a request, when to come back, and whether the request may
/// have run.
///
/// Every layer has one small `Copy` struct for each way it can refuse. It reaches the caller
/// through `S::Error: From<TheRefusal>`, so the service's error type never changes.
///
/// A refusal's [`source`](Error::source) is its [`Grounds`]: any layer further out finds them in
/// any error that keeps its source chain, without knowing which layer refused.
pub trait Refusal: Error + Send + Sync + 'static {
    /// The facts of this refusal as plain data.
    fn grounds(&self) -> Grounds;

    /// What kind of refusal this is.
    fn kind(&self) -> RefusalKind {
        self.grounds().kind
    }

    /// When it makes sense to come back; `None` when waiting does not help or nothing is known.
    fn retry_after(&self) -> Option<Duration> {
        self.grounds().retry_after
    }

    /// Whether the request may have been executed before the layer gave up on it.
    ///
    /// [`Executed::No`] is a promise: the request never reached the service behind the layer.
    fn executed(&self) -> Executed {
        self.grounds().executed
    }

    /// The refusal in words for the caller at the other end: the `detail` of a problem document,
    /// the message of a gRPC status.
    ///
    /// Its [`Display`](fmt::Display) is for logs, and names the [handle](Grounds::handle) that
    /// refused. What is behind this process is no business of strangers, so here the name is left
    /// out. A refusal of your own that names something overrides this as well.
    fn detail(&self) -> String {
        self.to_string()
    }
}

/// The facts behind a refusal: the end of a refusal's source chain, found again with
/// [`cause::<Grounds>`](crate::cause).
///
/// With the feature `tonic` its own source is a `tonic::Status` of the matching code, which is
/// where tonic looks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Grounds {
    /// What kind of refusal this is.
    pub kind: RefusalKind,
    /// When it makes sense to come back.
    pub retry_after: Option<Duration>,
    /// Whether the request may have been executed.
    pub executed: Executed,
    /// The name of the handle that refused, if it was given one: for logs, not for strangers.
    pub handle: Option<HandleName>,
}

impl Grounds {
    /// Grounds of a refusal made before the request went anywhere.
    #[must_use]
    pub const fn not_executed(kind: RefusalKind) -> Self {
        Self { kind, retry_after: None, executed: Executed::No, handle: None }
    }

    /// Grounds of a refusal made after the request was sent on.
    #[must_use]
    pub const fn maybe_executed(kind: RefusalKind) -> Self {
        Self { kind, retry_after: None, executed: Executed::Maybe, handle: None }
    }

    /// The same grounds, with the time after which it makes sense to come back.
    #[must_use]
    pub const fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The same grounds, with the name of the handle that refused, or without one.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { handle, ..self }
    }

    /// Whether the time of the caller was over: the one fact that passes a seal.
    pub(crate) fn is_callers_deadline(&self) -> bool {
        self.kind == RefusalKind::DeadlineExceeded
    }
}

/// Without the handle, which the refusal's own words name.
impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let executed = match self.executed {
            Executed::No => "not executed",
            Executed::Maybe => "may have been executed",
        };
        write!(f, "{}, {executed}", self.kind)?;
        match self.retry_after {
            Some(after) => write!(f, ", retry after {}", Rounded(after)),
            None => Ok(()),
        }
    }
}

impl Error for Grounds {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        #[cfg(feature = "tonic")]
        return Some(crate::status::static_status(self.kind));
        #[cfg(not(feature = "tonic"))]
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A refusal on any grounds.
    #[cfg(feature = "http")]
    #[derive(Clone, Copy, Debug, thiserror::Error)]
    #[error("refused")]
    pub(crate) struct Refused {
        #[source]
        pub(crate) grounds: Grounds,
    }

    #[cfg(feature = "http")]
    impl Refusal for Refused {
        fn grounds(&self) -> Grounds {
            self.grounds
        }
    }

    #[test]
    fn grounds_read_as_a_sentence() {
        let grounds = Grounds::not_executed(RefusalKind::Unavailable)
            .with_retry_after(Some(Duration::from_secs(2)));
        assert_eq!(grounds.to_string(), "unavailable, not executed, retry after 2 s");
        assert_eq!(
            Grounds::maybe_executed(RefusalKind::TimedOut).to_string(),
            "timed out, may have been executed"
        );
    }
}
