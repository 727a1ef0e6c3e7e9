//! The response future.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use steadfast_core::Classify;
use tower_service::Service;

use crate::{circuit::Circuit, error::CircuitOpen, permit::Permit, shared::Refused};

pin_project! {
    /// The future of [`Breaker`](crate::Breaker).
    ///
    /// Dropping it cancels the call. If the inner future panics, the call has failed.
    #[derive(Debug)]
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: CallState<F, C>,
    }
}

pin_project! {
    #[project = CallStateProjection]
    #[derive(Debug)]
    enum CallState<F, C> {
        Called { #[pin] inner: F, permit: Permit, classifier: C },
        Refused { refused: Refused },
    }
}

impl<F, C> ResponseFuture<F, C> {
    /// Calls `service` if `circuit` lets the request in.
    #[inline]
    pub(crate) fn call<S, Req>(circuit: &Circuit, service: &mut S, request: Req, classifier: C) -> Self
    where
        S: Service<Req, Future = F>,
    {
        let state = match circuit.admit() {
            Ok(mut permit) => {
                let inner = permit.run(|| service.call(request));
                CallState::Called { inner, permit, classifier }
            }
            Err(refused) => CallState::Refused { refused },
        };
        Self { state }
    }
}

impl<F, C, Res, Err> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Res, Err>>,
    C: Classify<Res, Err>,
    Err: From<CircuitOpen>,
{
    type Output = Result<Res, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            CallStateProjection::Called { inner, permit, classifier } => {
                let outcome = ready!(permit.run(|| inner.poll(cx)));
                permit.settle(classifier.classify(outcome.as_ref()));
                Poll::Ready(outcome)
            }
            CallStateProjection::Refused { refused } => Poll::Ready(Err(CircuitOpen::from(*refused).into())),
        }
    }
}
