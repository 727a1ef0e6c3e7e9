//! Why a body is not sent to its end.

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the body of an attempt failed.
///
/// The body's own error is boxed, as it is rare, so that this is an error whatever the body's error
/// type is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The request's body failed.
    #[error("the request body failed")]
    Body(#[source] BoxError),
    /// Another attempt was begun since, and the rest of the body is for that one.
    #[error("the request is being sent again by a later attempt")]
    Superseded,
}

impl ReplayError {
    pub(super) fn from_body(error: impl Into<BoxError>) -> Self {
        Self::Body(error.into())
    }
}
