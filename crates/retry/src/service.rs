//! The service.

use std::{
    fmt, mem,
    task::{Context, Poll},
};

use steadfast_core::{Classify, RequestContext, parts::Striped};
use tower_service::Service;

use crate::{
    budget::Pocket,
    call::Call,
    future::ResponseFuture,
    replay::Replay,
    shared::{Rules, Shared},
};

/// The service of [`RetryLayer`](crate::RetryLayer). `R` is its [`Rules`].
///
/// The instance of the inner service that was made ready goes into the call's future, for its further attempts, and is dropped with it; a
/// clone takes its place here. So what the inner service must not lose belongs into what its clones share.
pub struct Retry<S, R> {
    pub(crate) inner: S,
    pub(crate) shared: Striped<Shared<R>>,
    pub(crate) pocket: Pocket,
}

impl<S, R> Retry<S, R> {
    /// The service behind this one.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, R> Clone for Retry<S, R> {
    /// The clone is not ready, even if this handle is, and starts with an empty pocket.
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone(), pocket: Pocket::EMPTY }
    }
}

impl<S, R> Drop for Retry<S, R> {
    fn drop(&mut self) {
        self.pocket.empty(&self.shared.budget, self.shared.lane().index());
    }
}

impl<S: fmt::Debug, R> fmt::Debug for Retry<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("plan", &self.shared.plan)
            .field("budget", &self.shared.budget)
            .finish_non_exhaustive()
    }
}

impl<S, C, P, X, Req> Service<Req> for Retry<S, Rules<C, P, X>>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
    X: RequestContext<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Rules<C, P, X>, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let lane = self.shared.lane();
        let rules = &lane.rules;
        self.pocket.deposit(&lane.budget, lane.index());
        let deadline = rules.context.deadline(&request);
        let (first, saved) =
            if lane.plan.is_single() { rules.replay.only(request) } else { rules.replay.first(request) };
        let call = Call::new(lane, saved, deadline);
        // The instance that was made ready is the one to call, now and for every further attempt.
        let fresh = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, fresh);
        let inner = service.call(first);
        ResponseFuture::new(inner, service, call)
    }
}
