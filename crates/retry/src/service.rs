//! The service.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use steadfast_core::{Classify, RequestContext, parts::thread_number};
use tower_layer::Layer;
use tower_service::Service;

use crate::{call::Call, future::ResponseFuture, lanes::Lanes, layer::RetryLayer, replay::Replay};

/// The service of a [`RetryLayer`], which is its `L`.
///
/// The first attempt is made by the instance that was made ready, where it stands. Further attempts
/// are each made by a clone of a *template*, made ready then. The template is a clone of the inner
/// service, taken at the first call that a thread makes; it lives as long as a clone of this
/// service, or the future of a call. So whatever an instance learns by itself, and does not share
/// with its clones, stays with the handle: a further attempt does not know of it. And its instance
/// is dropped as the attempt begins, so an instance must not end its calls when it is dropped, any
/// more than under tower's `oneshot`.
pub struct Retry<S, L> {
    inner: S,
    lanes: Arc<Lanes<S, L>>,
}

impl<S, L> Retry<S, L> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. Further attempts of later calls are made by clones of what
    /// it has become; clones of this handle and calls under way keep to what it was.
    pub fn get_mut(&mut self) -> &mut S
    where
        L: Clone,
    {
        self.lanes = Arc::new(Lanes::new(self.lanes.layer.clone()));
        &mut self.inner
    }

    /// The inner service, without the retries.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, L> Clone for Retry<S, L> {
    /// The clone is not ready, even if this handle is.
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), lanes: Arc::clone(&self.lanes) }
    }
}

impl<S: fmt::Debug, L: fmt::Debug> fmt::Debug for Retry<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("layer", &self.lanes.layer)
            .finish()
    }
}

impl<C: Clone, X: Clone, P: Clone, S> Layer<S> for RetryLayer<C, X, P> {
    type Service = Retry<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry { inner, lanes: Arc::new(Lanes::new(self.clone())) }
    }
}

impl<S, C, X, P, Req> Service<Req> for Retry<S, RetryLayer<C, X, P>>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    X: RequestContext<Req> + Clone,
    P: Replay<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, X, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // At a second call site the compiler would not inline it by itself, and the future would come
    // back through memory.
    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let thread = thread_number();
        let lane = self.lanes.lane(thread, &self.inner);
        let layer = &lane.layer;
        if !layer.replay.is_counted(&mut request, &layer.budget) {
            layer.budget.deposit_by(thread);
        }
        let deadline = layer.context.deadline(&request);
        let (first, saved) = if layer.shared.policy.is_single() {
            layer.replay.only(request)
        } else {
            layer.replay.first(request)
        };
        let call = Call::new(lane, saved, deadline);
        ResponseFuture::new(self.inner.call(first), call)
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RetryConfig;

    #[test]
    fn a_clone_of_the_service_and_a_call_cost_one_count_each() {
        let service = RetryLayer::new(RetryConfig::new()).layer(());
        let lanes = &service.lanes;
        let lane = lanes.lane(0, &service.inner);
        let counts = || {
            let shared = [&lanes.layer, &lane.layer].map(|layer| Arc::strong_count(&layer.shared));
            (Arc::strong_count(lanes), Arc::strong_count(lane), shared)
        };
        // The layer's state is held by the service and by its one lane.
        assert_eq!(counts(), (1, 1, [2, 2]));
        let clone = service.clone();
        assert_eq!(counts(), (2, 1, [2, 2]));
        let call = Call::new(lane, (), None);
        assert_eq!(counts(), (2, 2, [2, 2]));
        drop((clone, call));
        assert_eq!(counts(), (1, 1, [2, 2]));
    }
}
