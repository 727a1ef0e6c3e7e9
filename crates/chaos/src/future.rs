//! The future.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
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
        #[pin]
        stage: Stage<F, W>,
        types: PhantomData<fn(Req) -> P>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, W> {
        Passing {
            #[pin]
            inner: F,
        },
        Struck {
            #[pin]
            way: W,
        },
        // The caller hears nothing for ever.
        Silent,
    }
}

impl<F, W, P, Req> FaultFuture<F, W, P, Req> {
    #[inline]
    pub(crate) const fn passing(inner: F) -> Self {
        Self { stage: Stage::Passing { inner }, types: PhantomData }
    }

    pub(crate) const fn struck(way: W) -> Self {
        Self { stage: Stage::Struck { way }, types: PhantomData }
    }

    pub(crate) const fn silent() -> Self {
        Self { stage: Stage::Silent, types: PhantomData }
    }
}

impl<F, W, P, Req, Res, Err> Future for FaultFuture<F, W, P, Req>
where
    F: Future<Output = Result<Res, Err>>,
    W: Future<Output = Option<Result<P::Response, Err>>>,
    P: Protocol<Req, Res, Err>,
{
    type Output = Result<P::Response, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        match stage.as_mut().project() {
            StageProjection::Passing { inner } => inner.poll(cx).map_ok(P::pass),
            StageProjection::Struck { way } => match ready!(way.poll(cx)) {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    // What the request held is let go while its caller still waits.
                    stage.set(Stage::Silent);
                    Poll::Pending
                }
            },
            StageProjection::Silent => Poll::Pending,
        }
    }
}

impl<F, W, P, Req> fmt::Debug for FaultFuture<F, W, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Passing { .. } => "passing",
            Stage::Struck { .. } => "struck",
            Stage::Silent => "silent",
        };
        f.debug_struct("FaultFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
