//! The future of a request.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::reply::ReplyBody;

/// A box for each request with a key, which awaits a store in any case.
type Boxed<RB, E> = Pin<Box<dyn Future<Output = Result<Response<ReplyBody<RB>>, E>> + Send>>;

pin_project! {
    /// The future of [`IdempotencyService`](super::IdempotencyService).
    ///
    /// Dropped, it cancels a request without a key, or a stream that is passed on. Of one with a
    /// key nothing is done before its body was read; later, the handler goes on, and its reply is
    /// stored.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ResponseFuture<F, RB, E> {
        #[pin]
        state: State<F, RB, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, RB, E> {
        Passed {
            #[pin]
            inner: F,
        },
        Keyed {
            answer: Boxed<RB, E>,
        },
        Refused {
            error: Option<E>,
        },
    }
}

impl<F, RB, E> ResponseFuture<F, RB, E> {
    #[inline(always)]
    pub(super) const fn passed(inner: F) -> Self {
        Self { state: State::Passed { inner } }
    }

    pub(super) const fn keyed(answer: Boxed<RB, E>) -> Self {
        Self { state: State::Keyed { answer } }
    }

    pub(super) const fn refused(error: E) -> Self {
        Self { state: State::Refused { error: Some(error) } }
    }
}

impl<F, RB, E> Future for ResponseFuture<F, RB, E>
where
    F: Future<Output = Result<Response<RB>, E>>,
{
    type Output = Result<Response<ReplyBody<RB>>, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passed { inner } => {
                Poll::Ready(ready!(inner.poll(cx)).map(|response| response.map(ReplyBody::passed)))
            }
            StateProjection::Keyed { answer } => answer.as_mut().poll(cx),
            StateProjection::Refused { error } => {
                Poll::Ready(Err(error.take().expect("a future is not polled after its end")))
            }
        }
    }
}

impl<F, RB, E> fmt::Debug for ResponseFuture<F, RB, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Passed { .. } => "passed",
            State::Keyed { .. } => "keyed",
            State::Refused { .. } => "refused",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
