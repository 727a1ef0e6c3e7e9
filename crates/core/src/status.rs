//! The gRPC status of each kind of refusal.

use std::sync::OnceLock;

use tonic::{Code, Status};

use crate::kind::RefusalKind;

/// The status at the end of a refusal's source chain. One for each kind, made once.
pub(crate) fn static_status(kind: RefusalKind) -> &'static Status {
    macro_rules! status {
        ($code:ident) => {{
            static STATUS: OnceLock<Status> = OnceLock::new();
            STATUS.get_or_init(|| Status::new(Code::$code, kind.to_string()))
        }};
    }
    // An arm for each kind, also where two share a code: each has a static of its own, with its own
    // words.
    match kind {
        RefusalKind::Unavailable => status!(Unavailable),
        RefusalKind::TimedOut => status!(DeadlineExceeded),
        RefusalKind::DeadlineExceeded => status!(DeadlineExceeded),
        RefusalKind::TooMany => status!(ResourceExhausted),
        RefusalKind::Conflict => status!(Aborted),
        RefusalKind::Stale => status!(FailedPrecondition),
        RefusalKind::Unacceptable => status!(InvalidArgument),
        RefusalKind::Malformed => status!(InvalidArgument),
        RefusalKind::TooLarge => status!(InvalidArgument),
        RefusalKind::RequestTimeout => status!(Aborted),
        RefusalKind::PreconditionRequired => status!(FailedPrecondition),
        RefusalKind::NotHolder => status!(PermissionDenied),
    }
}
