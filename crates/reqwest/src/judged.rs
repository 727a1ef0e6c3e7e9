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
/// A request that cannot be made is the caller's fault. Where a redirect was followed, the request
/// was answered before, whatever the error says of its last hop.
pub(crate) fn judged(error: reqwest::Error, watch: &Watch) -> Error {
    let grounds = if error.is_builder() && !watch.has_followed() {
        malformed()
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
