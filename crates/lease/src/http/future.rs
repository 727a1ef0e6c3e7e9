//! The future of the resource's side.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use steadfast_core::parts::Waiter;
use tower_service::Service;

use crate::{Fenced, Pass};

pin_project! {
    /// The future of [`FenceService`](super::FenceService).
    ///
    /// Dropping it drops the request; its place at the fence is given back after that.
    #[must_use = "futures do nothing unless polled"]
    pub struct FenceFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        // The future before the pass, in which order they are dropped.
        Running { #[pin] inner: S::Future, pass: Option<Pass>, watch: Option<Waiter> },
        // In a box, that requests which do not wait are not moved about with room for it.
        Waiting { waiting: Box<Waiting<S, B>> },
        Refused { fenced: Fenced },
        Done,
    }
}

/// A request that is to be called on the instance that was made ready for it.
struct Waiting<S, B> {
    admitted: Admitted,
    call: Option<(S, Request<B>)>,
    hands_pass: bool,
}

/// In a box: it waits for other calls or for a disk.
type Admitted = Pin<Box<dyn Future<Output = Result<Pass, Fenced>> + Send>>;

impl<S: Service<Request<B>>, B> FenceFuture<S, B> {
    /// Without a pass it is not fenced; a newer call ends it where there is a watch.
    #[inline(always)]
    pub(crate) const fn running(
        inner: S::Future,
        pass: Option<Pass>,
        watch: Option<Waiter>,
    ) -> Self {
        Self { state: State::Running { inner, pass, watch } }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn waiting(
        admitted: impl Future<Output = Result<Pass, Fenced>> + Send + 'static,
        ready: S,
        request: Request<B>,
        hands_pass: bool,
    ) -> Self {
        let (admitted, call) = (Box::pin(admitted) as Admitted, Some((ready, request)));
        let waiting = Box::new(Waiting { admitted, call, hands_pass });
        Self { state: State::Waiting { waiting } }
    }

    #[cold]
    #[inline(never)]
    pub(crate) const fn refused(fenced: Fenced) -> Self {
        Self { state: State::Refused { fenced } }
    }
}

impl<S, B> Future for FenceFuture<S, B>
where
    S: Service<Request<B>>,
    S::Error: From<Fenced>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let polled = match state.as_mut().project() {
                StateProjection::Running { inner, pass, watch } => {
                    let polled = inner.poll(cx);
                    if polled.is_pending() {
                        let (Some(pass), Some(watch)) = (pass, watch) else {
                            return Poll::Pending;
                        };
                        Poll::Ready(Err(ready!(pass.poll_cancelled(watch, cx)).into()))
                    } else {
                        polled
                    }
                }
                StateProjection::Waiting { waiting } => {
                    let Waiting { admitted, call, hands_pass } = &mut **waiting;
                    match ready!(admitted.as_mut().poll(cx)) {
                        Ok(pass) => {
                            let (mut ready, mut request) =
                                call.take().expect("it is taken once, with the state");
                            if *hands_pass {
                                request.extensions_mut().insert(pass.clone());
                            }
                            let watch = pass.watch_if_cancelled();
                            let inner = ready.call(request);
                            state.set(State::Running { inner, pass: Some(pass), watch });
                            continue;
                        }
                        Err(fenced) => Poll::Ready(Err(fenced.into())),
                    }
                }
                StateProjection::Refused { fenced } => Poll::Ready(Err((*fenced).into())),
                StateProjection::Done => panic!("polled after it was done"),
            };
            // What was overtaken is gone before the newer call runs, however long its caller keeps
            // this future.
            state.set(State::Done);
            return polled;
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for FenceFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceFuture").finish_non_exhaustive()
    }
}
