//! The error of a guarded stack.

use std::{error::Error as StdError, fmt};

use crate::Refusal;

/// What a service wrapped by [`guard`](crate::guard) fails with: a layer's refusal, or the
/// service's own error.
///
/// It is made for services whose error type is foreign (`hyper`, `reqwest`, `io`), where neither
/// `From<TheRefusal>` can be written nor a `BoxError` is wanted.
#[derive(Debug)]
pub enum Error<E> {
    /// A layer of the stack refused the request.
    Refused(Box<dyn Refusal>),
    /// The service behind the stack failed.
    Service(E),
}

impl<E> Error<E> {
    /// The refusal, when a layer refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&dyn Refusal> {
        match self {
            Self::Refused(refusal) => Some(&**refusal),
            Self::Service(_) => None,
        }
    }

    /// The service's own error, when the service failed.
    #[must_use]
    pub fn into_service(self) -> Option<E> {
        match self {
            Self::Refused(_) => None,
            Self::Service(error) => Some(error),
        }
    }
}

impl<E, R: Refusal> From<R> for Error<E> {
    fn from(refusal: R) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Service(_) => f.write_str("service failed"),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Refused(refusal) => Some(&**refusal),
            Self::Service(error) => Some(error),
        }
    }
}
