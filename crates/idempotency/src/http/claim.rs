//! The claim of a request, as its handler has it.

use std::{fmt, num::NonZeroU32, sync::Arc};

use bytes::Bytes;

use super::options::Options;
use crate::{Claim, Idempotency, RecordId};

/// The claim of a request with a key: in the extensions of the request that the handler gets, and
/// with the feature `axum` an extractor. `Option<HttpClaim>` is one for requests with and without a
/// key.
///
/// A handler looks at it where a second run is possible: under
/// [`OnAbandoned::Takeover`](crate::OnAbandoned::Takeover) an earlier one may have been executed,
/// and one that has lost its claim should stop.
#[derive(Clone)]
pub struct HttpClaim {
    claim: Claim,
    /// The handle and the record that it is of.
    of: (Idempotency, RecordId),
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        expect(dead_code, reason = "to keep responses")
    )]
    options: Arc<Options>,
}

/// In the extensions of a response: what its handler has stored of it in its own transaction.
#[derive(Clone)]
pub(super) struct Settled(pub(super) Bytes);

impl HttpClaim {
    pub(super) const fn new(
        claim: Claim,
        of: (Idempotency, RecordId),
        options: Arc<Options>,
    ) -> Self {
        Self { claim, of, options }
    }

    /// Whether it is of this record of this handle.
    pub(super) fn is_of(&self, handle: &Idempotency, id: &RecordId) -> bool {
        self.of.0.is_same(handle) && self.of.1 == *id
    }

    /// 1 for the first run under this key. Above that an earlier run was abandoned, and may have
    /// been executed, in part or whole: look for what it has done before doing it again.
    #[must_use]
    pub const fn attempt(&self) -> NonZeroU32 {
        self.claim.attempt()
    }

    /// Whether the key may be another's: [`Claim::is_lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.claim.is_lost()
    }

    /// Waits until the claim [is lost](Self::is_lost), if ever. Cancel-safe.
    pub async fn lost(&self) {
        self.claim.lost().await;
    }

    /// The claim itself. What is stored by it is not a response: a handler that completes it so, in
    /// place of [`HttpClaim`]'s own `complete`, has its callers refused.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }
}

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

impl fmt::Debug for HttpClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpClaim").field(&self.claim).finish()
    }
}

#[cfg(feature = "axum")]
pub use extract::NoClaim;

#[cfg(feature = "axum")]
mod extract {
    use std::convert::Infallible;

    use axum_core::{
        body::Body,
        extract::{FromRequestParts, OptionalFromRequestParts},
        response::{IntoResponse, Response},
    };
    use http::{StatusCode, request::Parts};
    use steadfast_core::http::{IDEMPOTENCY_KEY, response_to};

    use super::HttpClaim;
    use crate::Refused;

    /// A request came to its handler without a claim.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[non_exhaustive]
    pub enum NoClaim {
        /// It has no key. HTTP 400.
        #[error("this request needs an Idempotency-Key")]
        NoKey,
        /// It has a key, and no layer has claimed it: the route has none, or the layer passes on
        /// requests like this. HTTP 500.
        #[error("no layer has claimed the request's Idempotency-Key")]
        NoLayer,
    }

    impl IntoResponse for NoClaim {
        fn into_response(self) -> Response {
            match self {
                Self::NoKey => response_to::<Body>(&Refused::missing_key()),
                Self::NoLayer => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    }

    impl<S: Sync> FromRequestParts<S> for HttpClaim {
        type Rejection = NoClaim;

        async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, NoClaim> {
            let has_key = head.headers.contains_key(IDEMPOTENCY_KEY);
            let rejection = if has_key { NoClaim::NoLayer } else { NoClaim::NoKey };
            head.extensions.get().cloned().ok_or(rejection)
        }
    }

    impl<S: Sync> OptionalFromRequestParts<S> for HttpClaim {
        type Rejection = Infallible;

        async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
            Ok(head.extensions.get().cloned())
        }
    }
}
