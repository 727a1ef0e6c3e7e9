//! Keeping an HTTP request.

use std::fmt;

use http::{HeaderName, Method, Request, request::Parts};
use http_body::Body;
use steadfast_core::Attempt;

use super::body::{ReplayBody, SavedBody};
use crate::{
    idempotency::Idempotency,
    replay::{CannotReplay, Ended, Replay},
};

/// `Idempotency-Key`: with it any request may be sent again, because the server tells the repetition by the key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Replays an HTTP request with its body, of which it keeps up to a limit.
///
/// The inner service is called with `Request<ReplayBody<B>>`. From the second attempt on, the request's extensions hold the
/// [`Attempt`].
///
/// A body beyond the limit is still sent, in full, but the request can then not be sent again. What was not read does
/// not count: after a refused connection a body of any size is sent to the next attempt.
#[derive(Clone, Copy, Debug)]
pub struct HttpReplay<I = MethodOrKey> {
    idempotency: I,
    limit: usize,
}

/// Room for most API calls, and little enough to be kept for thousands of requests at once; the same as linkerd's.
const DEFAULT_LIMIT: usize = 64 * 1024;

impl<I> HttpReplay<I> {
    /// Replays requests; `idempotency` says by the request's head which of them may be executed twice.
    #[must_use]
    pub const fn new(idempotency: I) -> Self {
        Self { idempotency, limit: DEFAULT_LIMIT }
    }

    /// How many bytes of a body are kept, 64 KiB by default.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

impl Default for HttpReplay {
    fn default() -> Self {
        Self::new(MethodOrKey)
    }
}

/// Idempotent by method (GET, HEAD, OPTIONS, TRACE, PUT, DELETE: RFC 9110, section 9.2.2) or by an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MethodOrKey;

impl Idempotency<Parts> for MethodOrKey {
    fn is_idempotent(&self, head: &Parts) -> bool {
        const IDEMPOTENT: [Method; 6] =
            [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE];
        IDEMPOTENT.contains(&head.method) || head.headers.contains_key(IDEMPOTENCY_KEY)
    }
}

/// A request that can be sent again.
pub struct SavedRequest<B> {
    head: Parts,
    body: SavedBody<B>,
}

impl<B> fmt::Debug for SavedRequest<B> {
    /// Says the method, never headers or body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedRequest").field("method", &self.head.method).finish_non_exhaustive()
    }
}

impl<B, I> Replay<Request<B>> for HttpReplay<I>
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: Idempotency<Parts>,
{
    type Request = Request<ReplayBody<B>>;
    type Saved = SavedRequest<B>;

    fn first(&self, request: Request<B>) -> (Self::Request, Self::Saved) {
        let (head, body) = request.into_parts();
        let (body, saved) = ReplayBody::new(body, self.limit);
        (Request::from_parts(head.clone(), body), SavedRequest { head, body: saved })
    }

    fn is_idempotent(&self, saved: &Self::Saved) -> bool {
        self.idempotency.is_idempotent(&saved.head)
    }

    fn again(&self, saved: &mut Self::Saved, attempt: Attempt, ended: Ended) -> Result<Self::Request, CannotReplay> {
        let mut head = saved.head.clone();
        head.extensions.insert(attempt);
        Ok(Request::from_parts(head, saved.body.again(ended)?))
    }
}
