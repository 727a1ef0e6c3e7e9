//! What the layers of a stack hear of an error that its own chain would say wrongly.

use steadfast_core::{Grounds, Refusal, RefusalKind};

use crate::{Error, watch::Watch};

/// An error of reqwest's with what is known of it besides. Layers read the grounds as they read
/// those of a refusal; the caller is given the error alone.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Judged {
    error: reqwest::Error,
    #[source]
    grounds: Grounds,
}

impl Refusal for Judged {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

/// The error as layers are given it.
///
/// A request that cannot be made is the caller's fault. A redirect that the client does not follow,
/// by its policy or because there were too many, is an answer: it will be the same again. Where one
/// was followed, the request was answered before, whatever the error says of its last hop.
pub(crate) fn judged(error: reqwest::Error, watch: &Watch) -> Error {
    let grounds = if error.is_builder() && !watch.has_followed() {
        malformed()
    } else if error.is_redirect() {
        Grounds::maybe_executed(RefusalKind::Unacceptable)
    } else if watch.may_have_followed() {
        Grounds::maybe_executed(RefusalKind::Unavailable)
    } else {
        return Error::Service(error);
    };
    Error::Refused(Box::new(Judged { error, grounds }))
}

/// The error of a request that cannot be made.
pub(crate) fn unmade(error: reqwest::Error) -> Error {
    Error::Refused(Box::new(Judged { error, grounds: malformed() }))
}

/// A request whose deadline passed before the stack was ready for it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the stack was not ready before the deadline")]
struct TooLate(#[source] Grounds);

impl Refusal for TooLate {
    fn grounds(&self) -> Grounds {
        self.0
    }
}

/// The error of a request that waited for the stack until its deadline.
pub(crate) fn too_late() -> Error {
    Error::Refused(Box::new(TooLate(Grounds::not_executed(RefusalKind::DeadlineExceeded))))
}

const fn malformed() -> Grounds {
    Grounds::not_executed(RefusalKind::Malformed)
}

/// The error as the caller is given it: reqwest's own where it is one.
pub(crate) fn told(error: Error) -> Error {
    let Error::Refused(refusal) = error else { return error };
    if !(&*refusal as &dyn std::error::Error).is::<Judged>() {
        return Error::Refused(refusal);
    }
    let refusal: Box<dyn std::error::Error> = refusal;
    let judged = refusal.downcast::<Judged>().expect("its type was just looked at");
    Error::Service(judged.error)
}
