//! The future.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::Protocol;

pin_project! {
    /// The future of a request that may meet a fault.
    ///
    /// Dropping it cancels the call. Of a request that is lost it holds nothing: neither the
    /// request nor an instance of the service. What else was struck stands in a box of its own, the
    /// `W`, so that the future of a request that passes is no larger for it.
    #[must_use = "futures do nothing unless polled"]
    pub struct FaultFuture<F, W, P, Req> {
        // Of a request that passes.
        #[pin]
        inner: Option<F>,
        // Of one that was struck, until its caller hears nothing any more.
        way: Option<W>,
        types: PhantomData<fn(Req) -> P>,
    }
}

impl<F, W, P, Req> FaultFuture<F, W, P, Req> {
    #[inline(always)]
    pub(crate) const fn passing(inner: F) -> Self {
        Self { inner: Some(inner), way: None, types: PhantomData }
    }

    /// None for a request that is lost.
    #[inline(always)]
    pub(crate) const fn struck(way: Option<W>) -> Self {
        Self { inner: None, way, types: PhantomData }
    }
}

impl<F, W, P, Req, Res, Err> Future for FaultFuture<F, W, P, Req>
where
    F: Future<Output = Result<Res, Err>>,
    W: Future<Output = Option<Result<P::Response, Err>>> + Unpin,
    P: Protocol<Req, Res, Err>,
{
    type Output = Result<P::Response, Err>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll(cx).map_ok(P::pass),
            None => {
                let (outcome, rest) = poll_struck(this.way.take(), cx);
                *this.way = rest;
                outcome
            }
        }
    }
}

/// By value, out of line: the future of a request that passes need not stand in memory for it.
#[cold]
#[inline(never)]
fn poll_struck<W, T>(way: Option<W>, cx: &mut Context<'_>) -> (Poll<T>, Option<W>)
where
    W: Future<Output = Option<T>> + Unpin,
{
    let Some(mut way) = way else { return (Poll::Pending, None) };
    match Pin::new(&mut way).poll(cx) {
        Poll::Pending => (Poll::Pending, Some(way)),
        Poll::Ready(Some(outcome)) => (Poll::Ready(outcome), None),
        // What the request held is let go while its caller still waits.
        Poll::Ready(None) => (Poll::Pending, None),
    }
}

impl<F, W, P, Req> fmt::Debug for FaultFuture<F, W, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match (&self.inner, &self.way) {
            (Some(_), _) => "passing",
            (None, Some(_)) => "struck",
            (None, None) => "silent",
        };
        f.debug_struct("FaultFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
