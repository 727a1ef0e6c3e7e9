//! Keeping an HTTP request.

use std::fmt;

use http::{HeaderName, Method, Request, request::Parts};
use http_body::Body;
use steadfast_core::{Attempt, http::IdempotencyKey};

use super::{
    attempt_header::AttemptHeader,
    body::{ReplayBody, SavedBody},
    counted::is_counted,
    error::BoxError,
};
use crate::{
    budget::Budget,
    idempotency::Idempotency,
    replay::{CannotReplay, Ended, Replay},
};

/// Replays an HTTP request with its body, of which it keeps up to a limit.
///
/// The inner service is called with `Request<ReplayBody<B>>`, unless [`body_as`](Self::body_as)
/// says otherwise. From the second attempt on, the request's extensions hold the [`Attempt`].
///
/// A body beyond the limit is still sent, in full, but the request can then not be sent again. What
/// was not read does not count: after a refused connection a body of any size is sent to the next
/// attempt.
#[derive(Clone, Debug)]
pub struct HttpReplay<I = MethodOrKey, W = AsIs> {
    idempotency: I,
    limit: usize,
    wrap: W,
    header: AttemptHeader,
}

/// Room for most API calls, and little enough to be kept for thousands of requests at once; the
/// same as linkerd's.
const DEFAULT_LIMIT: usize = 64 * 1024;

impl<I> HttpReplay<I> {
    /// Replays requests; `idempotency` says by the request's head which of them may be executed
    /// twice.
    #[must_use]
    pub const fn new(idempotency: I) -> Self {
        Self { idempotency, limit: DEFAULT_LIMIT, wrap: AsIs, header: AttemptHeader::Unsaid }
    }
}

impl<I, W> HttpReplay<I, W> {
    /// How many bytes of a body are kept, 64 KiB by default.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Calls the inner service with the body type that it takes, made by `wrap` from the
    /// [`ReplayBody`] of each attempt.
    pub fn body_as<W2>(self, wrap: W2) -> HttpReplay<I, W2> {
        let Self { idempotency, limit, header, .. } = self;
        HttpReplay { idempotency, limit, wrap, header }
    }

    /// Writes the attempt's number into this header of each request, 1 on the first: Envoy's
    /// `x-envoy-attempt-count`, or a name of the API's own. What the caller wrote there is
    /// replaced.
    #[must_use]
    pub fn with_attempt_header(self, name: HeaderName) -> Self {
        Self { header: AttemptHeader::Number(name), ..self }
    }

    /// Writes `grpc-previous-rpc-attempts` (gRFC A6): how many attempts were made before, absent on
    /// the first. What the caller wrote there is removed.
    #[must_use]
    pub fn with_grpc_attempts(self) -> Self {
        Self { header: AttemptHeader::Previous, ..self }
    }

    pub(crate) fn with_idempotency<I2>(self, idempotency: I2) -> HttpReplay<I2, W> {
        let Self { limit, wrap, header, .. } = self;
        HttpReplay { idempotency, limit, wrap, header }
    }
}

impl Default for HttpReplay {
    fn default() -> Self {
        Self::new(MethodOrKey)
    }
}

/// Makes what the inner service takes out of an attempt's body. Closures and functions
/// `Fn(ReplayBody<B>) -> T` do so too.
pub trait WrapBody<B> {
    /// The body type that the inner service takes.
    type Body;

    /// The body of one attempt as the inner service takes it.
    fn wrap(&self, body: ReplayBody<B>) -> Self::Body;
}

impl<B, T, F: Fn(ReplayBody<B>) -> T> WrapBody<B> for F {
    type Body = T;

    fn wrap(&self, body: ReplayBody<B>) -> T {
        self(body)
    }
}

/// The inner service takes a [`ReplayBody`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs;

impl<B> WrapBody<B> for AsIs {
    type Body = ReplayBody<B>;

    fn wrap(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

/// Idempotent by method (GET, HEAD, OPTIONS, TRACE, PUT, DELETE: RFC 9110, section 9.2.2) or by an
/// `Idempotency-Key` that is one: no server can tell a repetition by an empty or malformed key.
#[derive(Clone, Copy, Debug, Default)]
pub struct MethodOrKey;

impl Idempotency<Parts> for MethodOrKey {
    fn is_idempotent(&self, head: &Parts) -> bool {
        const IDEMPOTENT: [Method; 6] = [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::TRACE,
            Method::PUT,
            Method::DELETE,
        ];
        IDEMPOTENT.contains(&head.method)
            || matches!(IdempotencyKey::from_headers(&head.headers), Ok(Some(_)))
    }
}

/// A request that can be sent again, or nothing where there is but one attempt.
pub struct SavedRequest<B>(Option<(Parts, SavedBody<B>)>);

impl<B> fmt::Debug for SavedRequest<B> {
    /// Says the method, never headers or body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.0.as_ref().map(|(head, _)| &head.method);
        f.debug_struct("SavedRequest").field("method", &method).finish_non_exhaustive()
    }
}

impl<B, I, W> Replay<Request<B>> for HttpReplay<I, W>
where
    B: Body<Error: Into<BoxError>> + Unpin,
    I: Idempotency<Parts>,
    W: WrapBody<B>,
{
    type Request = Request<W::Body>;
    type Saved = SavedRequest<B>;

    fn is_counted(&self, request: &mut Request<B>, budget: &Budget) -> bool {
        is_counted(request.extensions_mut(), budget)
    }

    fn first(&self, request: Request<B>) -> (Self::Request, Self::Saved) {
        let (mut head, body) = request.into_parts();
        self.header.tell(&mut head.headers, Attempt::FIRST);
        let (body, saved) = ReplayBody::new(body, self.limit);
        (Request::from_parts(head.clone(), self.wrap.wrap(body)), SavedRequest(Some((head, saved))))
    }

    fn only(&self, mut request: Request<B>) -> (Self::Request, Self::Saved) {
        self.header.tell(request.headers_mut(), Attempt::FIRST);
        (request.map(|body| self.wrap.wrap(ReplayBody::once(body))), SavedRequest(None))
    }

    fn is_idempotent(&self, saved: &Self::Saved) -> bool {
        saved.0.as_ref().is_some_and(|(head, _)| self.idempotency.is_idempotent(head))
    }

    fn again(
        &self,
        saved: &mut Self::Saved,
        attempt: Attempt,
        ended: Ended,
    ) -> Result<Self::Request, CannotReplay> {
        let (head, body) = saved.0.as_ref().ok_or(CannotReplay::NotKept)?;
        let mut head = head.clone();
        head.extensions.insert(attempt);
        self.header.tell(&mut head.headers, attempt);
        Ok(Request::from_parts(head, self.wrap.wrap(body.again(ended)?)))
    }
}
