//! The future of a call.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use steadfast_core::{
    Classify,
    parts::{Alarm, Lane},
};

use crate::{call::Call, error::Elapsed, shared::Shared};

pin_project! {
    /// The future of [`Timeout`](crate::Timeout) and of [`TimeLimit::run`](crate::TimeLimit::run):
    /// the inner output, or [`Elapsed`] as its error.
    ///
    /// Dropping it cancels the call, which is no failure of the service, and says nothing of its
    /// latency.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ResponseFuture<F, C> {
        // None when the call was refused or given up.
        #[pin]
        inner: Option<F>,
        // Set once the inner future has to wait.
        #[pin]
        timer: Alarm,
        call: Call,
        classifier: C,
    }
}

impl<F, C> ResponseFuture<F, C> {
    #[inline(always)]
    pub(crate) const fn new(inner: F, call: Call, classifier: C) -> Self {
        Self { inner: Some(inner), timer: Alarm::new(), call, classifier }
    }

    /// For a call that is not made, because its deadline has passed.
    #[cold]
    pub(crate) fn refused(limit: Arc<Lane<Shared>>, classifier: C) -> Self {
        Self { inner: None, timer: Alarm::new(), call: Call::refused(limit), classifier }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    E: From<Elapsed>,
{
    type Output = Result<T, E>;

    // Polls the inner future, then the timer. The outcome is matched before it is judged: behind a
    // function that takes the whole `Result`, it would go through memory.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(this.call.refusal().into()));
        };
        match inner.poll(cx) {
            Poll::Ready(Ok(response)) => {
                if this.call.completed(|| this.classifier.classify(Ok(&response))) {
                    return Poll::Ready(Err(this.call.timed_out().into()));
                }
                Poll::Ready(Ok(response))
            }
            Poll::Ready(Err(error)) => {
                if this.call.completed(|| this.classifier.classify(Err(&error))) {
                    return Poll::Ready(Err(this.call.timed_out().into()));
                }
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                ready!(poll_timer(this.timer, this.call, cx));
                // The caller may keep this future beside the error it returned: the call ends now,
                // not with the future.
                this.inner.set(None);
                Poll::Ready(Err(this.call.timed_out().into()))
            }
        }
    }
}

#[inline(never)]
fn poll_timer(mut timer: Pin<&mut Alarm>, call: &mut Call, cx: &mut Context<'_>) -> Poll<()> {
    if !timer.is_set() {
        let Some(at) = call.wait() else { return Poll::Pending };
        timer.as_mut().set(at);
    }
    ready!(timer.as_mut().poll(cx));
    let Some(at) = call.go_on() else { return Poll::Ready(()) };
    timer.as_mut().set(at);
    timer.poll(cx)
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("call", &self.call).finish_non_exhaustive()
    }
}
