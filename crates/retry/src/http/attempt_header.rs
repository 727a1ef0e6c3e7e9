//! Telling the server which attempt a request is.

use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_core::Attempt;

/// How many attempts were made before this one (gRFC A6).
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// What a request's head says of its attempt.
#[derive(Clone, Debug, Default)]
pub(super) enum AttemptHeader {
    #[default]
    Unsaid,
    /// gRPC's: how many were before, absent on the first.
    Previous,
    /// The attempt's number in this header, 1 on the first.
    Number(HeaderName),
}

impl AttemptHeader {
    /// What the caller said of it goes: to the server the caller's attempts are this layer's.
    pub(super) fn tell(&self, headers: &mut HeaderMap, attempt: Attempt) {
        match self {
            Self::Unsaid => {}
            Self::Previous if attempt.is_retry() => {
                let before = HeaderValue::from(attempt.number() - 1);
                headers.insert(PREVIOUS_ATTEMPTS, before);
            }
            Self::Previous => {
                headers.remove(PREVIOUS_ATTEMPTS);
            }
            Self::Number(name) => {
                headers.insert(name.clone(), HeaderValue::from(attempt.number()));
            }
        }
    }
}
