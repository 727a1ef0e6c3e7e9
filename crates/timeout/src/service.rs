//! The service.

use std::task::{Context, Poll};

use steadfast_core::{Classify, RequestContext};
use tower_service::Service;

use crate::{
    error::Elapsed,
    future::{ResponseFuture, Timed},
    layer::TimeoutLayer,
    select::Limits,
    watch::Watch,
};

/// The service of [`TimeoutLayer`]: gives a request up when it has waited for its limit.
///
/// Readiness is the inner service's own, and is not timed.
#[derive(Clone, Copy, Debug)]
pub struct Timeout<S, L = TimeoutLayer> {
    inner: S,
    layer: L,
}

impl<S, L> Timeout<S, L> {
    /// `inner`, with the limits of `layer`.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }

    /// The service behind.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, Req, C, X, L> Service<Req> for Timeout<S, TimeoutLayer<C, X, L>>
where
    S: Service<Req>,
    S::Error: From<Elapsed>,
    C: Classify<S::Response, S::Error> + Clone,
    X: RequestContext<Req>,
    L: Limits<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let TimeoutLayer { limits, classifier, context } = &self.layer;
        let deadline = context.deadline(&request);
        let is_retry = context.attempt(&request).is_retry();
        let mut watch = limits.with(&request, |limit| Watch::new(limit.lane(), deadline, is_retry));
        let timed =
            if watch.refuse_if_late() { Timed::refused(watch) } else { Timed::new(self.inner.call(request), watch) };
        ResponseFuture::new(timed, classifier.clone())
    }
}
