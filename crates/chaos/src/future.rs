//! The future.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::Protocol;

pin_project! {
    /// The future of a request that may meet a fault.
    #[must_use = "futures do nothing unless polled"]
    pub struct FaultFuture<F, P, Req> {
        #[pin]
        inner: Option<F>,
        protocol: P,
        request: PhantomData<fn(Req)>,
    }
}

impl<F, P, Req> FaultFuture<F, P, Req> {
    pub(crate) const fn pass(inner: F, protocol: P) -> Self {
        Self { inner: Some(inner), protocol, request: PhantomData }
    }

    pub(crate) const fn lost(protocol: P) -> Self {
        Self { inner: None, protocol, request: PhantomData }
    }
}

impl<F, P, Req, Res, Err> Future for FaultFuture<F, P, Req>
where
    F: Future<Output = Result<Res, Err>>,
    P: Protocol<Req, Res, Err>,
{
    type Output = Result<P::Response, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => {
                let outcome = ready!(inner.poll(cx));
                Poll::Ready(outcome.map(|response| this.protocol.pass(response)))
            }
            None => Poll::Pending,
        }
    }
}

impl<F, P, Req> std::fmt::Debug for FaultFuture<F, P, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultFuture").finish_non_exhaustive()
    }
}
