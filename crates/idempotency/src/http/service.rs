//! The service.

use std::{
    borrow::Cow,
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::Body;
use steadfast_core::{
    Failure,
    http::{IDEMPOTENCY_KEY, IdempotencyKey},
};
use tower_service::Service;

use super::{
    body::{RequestBody, WrapBody},
    claim::HttpClaim,
    fingerprint::RequestFingerprint,
    future::ResponseFuture,
    layer::IdempotencyLayer,
    options::{MissingKey, NoPrincipal, OnStream, Options},
    reply::ReplyBody,
    run::Keyed,
};
use crate::{Idempotency, RecordId, Refused};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The service of [`IdempotencyLayer`]: runs the handler once for each `Idempotency-Key`, and
/// answers duplicates with its reply.
///
/// Readiness is the inner service's own. A duplicate holds what made it ready until it is answered:
/// put limits of concurrency outside.
///
/// The error is the inner service's own, or made of a [`Refused`]. A handler that panics does so to
/// its first caller, once its key is settled, and so does a policy; where the principal, the
/// fingerprint or the making of a body panics, nothing was claimed. Outside of a tokio runtime with
/// a timer a request with a key panics.
#[derive(Clone, Debug)]
pub struct IdempotencyService<S, L = IdempotencyLayer> {
    inner: S,
    layer: L,
}

impl<S, L> IdempotencyService<S, L> {
    /// `inner`, behind `layer`.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }

    /// The service behind.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, RB, P, F, W> Service<Request<B>> for IdempotencyService<S, IdempotencyLayer<P, F, W>>
where
    S: Service<Request<W::Body>, Response = Response<RB>> + Clone + Send + 'static,
    S::Error: From<Refused> + Failure + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    P: for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>>,
    F: RequestFingerprint + Clone + Send + 'static,
    W: WrapBody<B, Body: Send + 'static> + Clone + Send + 'static,
{
    type Response = Response<ReplyBody<RB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, RB, S::Error>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Always: out of line, request and future go through memory once more.
    #[inline(always)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Options { methods, missing_key, .. } = &*self.layer.options;
        if methods.contains(request.method()) {
            if has_key(request.headers()) {
                return self.call_keyed(request);
            }
            if *missing_key == MissingKey::Refuse {
                return self.refuse(Refused::missing_key());
            }
        }
        self.pass(request)
    }
}

impl<S, P, F, W> IdempotencyService<S, IdempotencyLayer<P, F, W>> {
    /// Calls the inner service with the caller's own body.
    #[inline(always)]
    fn pass<B, RB>(&mut self, request: Request<B>) -> ResponseFuture<S::Future, RB, S::Error>
    where
        S: Service<Request<W::Body>, Response = Response<RB>>,
        W: WrapBody<B>,
    {
        let wrap = &self.layer.wrap;
        let request = request.map(|body| wrap.wrap(RequestBody::passed(body)));
        ResponseFuture::passed(self.inner.call(request))
    }

    #[cold]
    fn refuse<Fut, RB, E: From<Refused>>(&self, refused: Refused) -> ResponseFuture<Fut, RB, E> {
        ResponseFuture::refused(self.layer.handle.refuse(refused).into())
    }

    #[inline(never)]
    fn call_keyed<B, RB>(&mut self, request: Request<B>) -> ResponseFuture<S::Future, RB, S::Error>
    where
        S: Service<Request<W::Body>, Response = Response<RB>> + Clone + Send + 'static,
        S::Error: From<Refused> + Failure + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        P: for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>>,
        F: RequestFingerprint + Clone + Send + 'static,
        W: WrapBody<B, Body: Send + 'static> + Clone + Send + 'static,
    {
        let (head, body) = request.into_parts();
        match self.layer.named(&head) {
            Named::Record(id) => {
                // The instance that was made ready is the one that is called.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let IdempotencyLayer { handle, fingerprint, wrap, options, .. } = &self.layer;
                let keyed = Keyed {
                    service,
                    handle: handle.clone(),
                    fingerprint: fingerprint.clone(),
                    wrap: wrap.clone(),
                    options: options.clone(),
                };
                ResponseFuture::keyed(Box::pin(keyed.answer(id, head, body)))
            }
            Named::Pass => self.pass(Request::from_parts(head, body)),
            Named::Refused(refused) => self.refuse(refused),
        }
    }
}

/// A name of its own is hashed byte by byte, which takes longer than to look at a few names.
#[inline(always)]
fn has_key(headers: &HeaderMap) -> bool {
    const FEW: usize = 16;
    if headers.keys_len() > FEW {
        return headers.contains_key(IDEMPOTENCY_KEY);
    }
    headers.keys().any(|name| *name == IDEMPOTENCY_KEY)
}

/// What the head of a request with a key says.
enum Named {
    Record(RecordId),
    Pass,
    Refused(Refused),
}

impl<P, F, W> IdempotencyLayer<P, F, W>
where
    P: for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>>,
{
    fn named(&self, head: &Parts) -> Named {
        let key = match IdempotencyKey::from_headers(&head.headers) {
            Ok(Some(key)) => key,
            Ok(None) => return Named::Pass,
            Err(_) => return Named::Refused(Refused::malformed_key()),
        };
        let Options { is_stream, on_stream, no_principal, .. } = &*self.options;
        if is_stream.as_ref().is_some_and(|is_stream| is_stream(head)) {
            return match on_stream {
                OnStream::Refuse => Named::Refused(Refused::streaming()),
                OnStream::Pass => Named::Pass,
            };
        }
        match ((self.principal)(head), no_principal) {
            // Passed on, its copies would not be known: that is for requests without a principal.
            (Some(scope), _) => match RecordId::new(scope.as_bytes(), key.as_str()) {
                // It stands twice, and claimed it further out: here it would wait for itself.
                Ok(id) if is_claimed(head, &self.handle, &id) => Named::Pass,
                Ok(id) => Named::Record(id),
                Err(_) => Named::Refused(Refused::scope_too_long()),
            },
            (None, NoPrincipal::Refuse) => Named::Refused(Refused::no_principal()),
            (None, NoPrincipal::Pass) => Named::Pass,
        }
    }
}

fn is_claimed(head: &Parts, handle: &Idempotency, id: &RecordId) -> bool {
    head.extensions.get::<HttpClaim>().is_some_and(|claim| claim.is_of(handle, id))
}
