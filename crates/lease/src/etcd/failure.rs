//! What an error of etcd's means.

use std::error::Error;

use steadfast_core::Executed;
use tonic::{Code, ConnectError, Status};

use crate::StoreError;

/// Why a call has failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("etcd: {code:?}: {message}")]
pub(super) struct Failure {
    code: Code,
    message: String,
    /// It never left: there was no connection.
    is_unsent: bool,
}

impl Failure {
    /// A stream has ended without an answer.
    pub(super) fn unanswered() -> Self {
        let message = "the stream has ended".to_owned();
        Self { code: Code::Unavailable, message, is_unsent: false }
    }

    pub(super) const fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// There is no such lease, or not any more.
    pub(super) fn is_no_lease(&self) -> bool {
        self.code == Code::NotFound
    }

    /// The token of the user is not known any more: tokens are forgotten after five minutes, and by
    /// servers that restart.
    pub(super) fn is_stale_token(&self) -> bool {
        self.code == Code::Unauthenticated
            || self.message.contains("invalid auth token")
            || self.message.contains("revision of auth store is old")
    }

    /// The server did not say it, or says that it cannot serve now: another may.
    pub(super) fn is_of_server(&self) -> bool {
        !matches!(
            self.code,
            Code::NotFound
                | Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::ResourceExhausted
        )
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let mut cause = status.source();
        let mut is_unsent = false;
        while let Some(error) = cause {
            is_unsent |= error.is::<ConnectError>();
            cause = error.source();
        }
        Self { code: status.code(), message: status.message().to_owned(), is_unsent }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let error = match failure.code {
            _ if failure.is_unsent => Self::unavailable(Executed::No),
            Code::ResourceExhausted if failure.message.contains("space exceeded") => Self::full(),
            Code::ResourceExhausted => Self::unavailable(Executed::No),
            Code::DeadlineExceeded => Self::timed_out(),
            // By the client's end, of an answer that is too long.
            Code::DataLoss | Code::OutOfRange => Self::corrupt().executed_as(Executed::Maybe),
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::Unimplemented => Self::misconfigured(),
            _ => Self::unavailable(Executed::Maybe),
        };
        error.because(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreErrorKind::{Corrupt, Full, Misconfigured, TimedOut, Unavailable};

    #[test]
    fn an_error_says_what_is_wrong_and_whether_the_call_may_have_been_executed() {
        use Executed::{Maybe, No};
        let connect = ConnectError("refused".into());
        for (status, kind, executed) in [
            (Status::from_error(Box::new(connect)), Unavailable, No),
            (Status::unavailable("etcdserver: request timed out"), Unavailable, Maybe),
            (Status::unknown("h2 protocol error"), Unavailable, Maybe),
            (Status::cancelled("reset"), Unavailable, Maybe),
            (Status::resource_exhausted("etcdserver: too many requests"), Unavailable, No),
            (Status::resource_exhausted("etcdserver: mvcc: database space exceeded"), Full, No),
            (Status::deadline_exceeded(""), TimedOut, Maybe),
            (Status::out_of_range("decoded message length too large"), Corrupt, Maybe),
            (Status::permission_denied("etcdserver: permission denied"), Misconfigured, No),
            (Status::invalid_argument("etcdserver: user name is empty"), Misconfigured, No),
        ] {
            let shown = format!("{status:?}");
            let error = StoreError::from(Failure::from(status));
            assert_eq!((error.kind(), error.executed()), (kind, executed), "{shown}");
        }
    }
}
