//! The response future.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use steadfast_core::Classify;
use tower_service::Service;

use crate::{circuit::Circuit, error::CircuitOpen, permit::Permit, shared::Refused};

pin_project! {
    /// The future of [`Breaker`](crate::Breaker).
    ///
    /// Dropping it cancels the call. If the inner future panics, the call has failed.
    // Flat, and no enum of unlike variants: the compiler keeps the fields in registers.
    #[derive(Debug)]
    pub struct ResponseFuture<F, C> {
        // `None` when the call was refused.
        #[pin]
        inner: Option<F>,
        permit: Permit,
        refused: Refused,
        classifier: C,
    }
}

impl<F, C> ResponseFuture<F, C> {
    /// Calls `service` if `circuit` lets the request in.
    #[inline(always)]
    pub(crate) fn call<S, Req>(circuit: &Circuit, service: &mut S, request: Req, classifier: C) -> Self
    where
        S: Service<Req, Future = F>,
    {
        match circuit.admit() {
            Ok(mut permit) => {
                let inner = Some(permit.run(|| service.call(request)));
                Self { inner, permit, refused: Refused::UNTOLD, classifier }
            }
            Err(refused) => Self { inner: None, permit: Permit::settled(), refused, classifier },
        }
    }
}

impl<F, C, Res, Err> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Res, Err>>,
    C: Classify<Res, Err>,
    Err: From<CircuitOpen>,
{
    type Output = Result<Res, Err>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(Err(refuse(*this.refused))) };
        // A match for each arm, and no result of a result: the answer goes from the inner future to the caller untouched.
        match this.permit.run(|| inner.poll(cx)) {
            Poll::Ready(Ok(response)) => {
                let verdict = this.classifier.classify(Ok(&response));
                this.permit.settle(verdict);
                Poll::Ready(Ok(response))
            }
            Poll::Ready(Err(error)) => {
                settle_error(this.permit.take(), this.classifier, &error);
                Poll::Ready(Err(error))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cold]
#[inline(never)]
fn settle_error<C: Classify<Res, Err>, Res, Err>(permit: Permit, classifier: &C, error: &Err) {
    permit.record(classifier.classify(Err(error)));
}

#[cold]
#[inline(never)]
fn refuse<E: From<CircuitOpen>>(refused: Refused) -> E {
    CircuitOpen::from(refused).into()
}
