//! The service.

use std::task::{Context, Poll};

use steadfast_core::{Classify, RequestContext, Select, Selected};
use tower_service::Service;

use crate::{
    TimeLimit, call::Call, error::Elapsed, future::ResponseFuture, layer::TimeoutLayer,
    shared::CLOCK,
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
    /// `inner`, with the limit of `layer`.
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

    /// The service behind, without the limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, C, X, H> Service<Req> for Timeout<S, TimeoutLayer<C, X, H>>
where
    S: Service<Req>,
    S::Error: From<Elapsed>,
    C: Classify<S::Response, S::Error> + Clone,
    X: RequestContext<Req>,
    H: Select<Req, Handle = TimeLimit>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let TimeoutLayer { handle, classifier, context } = &self.layer;
        let deadline = context.deadline(&request);
        let is_retry = context.attempt(&request).is_retry();
        // Not by `Deref`: where the handle may have to be dropped, the call goes through memory.
        let lane = match handle.select(&request) {
            Selected::Shared(limit) => limit.lane(),
            Selected::Own(limit) => limit.lane(),
        };
        // Reads the clock only if there is a deadline.
        if deadline.is_some_and(|deadline| deadline.has_passed(CLOCK.now())) {
            return ResponseFuture::refused(lane, classifier.clone());
        }
        // Before the inner service is called, so that a panic there is counted.
        let call = Call::new(lane, deadline, is_retry);
        ResponseFuture::new(self.inner.call(request), call, classifier.clone())
    }
}
