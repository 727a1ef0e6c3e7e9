//! A future with a limit.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use steadfast_core::{Classify, Verdict, parts::Alarm};

use crate::{error::Elapsed, watch::Watch};

pin_project! {
    /// Any future and its timer, which is set once the future has to wait.
    pub(crate) struct Timed<F> {
        // None when the call was refused or given up.
        #[pin]
        inner: Option<F>,
        #[pin]
        timer: Alarm,
        watch: Watch,
    }
}

impl<F> Timed<F> {
    #[inline]
    pub(crate) const fn new(inner: F, watch: Watch) -> Self {
        Self { inner: Some(inner), timer: Alarm::new(), watch }
    }

    /// For a call that `watch` has refused.
    pub(crate) const fn refused(watch: Watch) -> Self {
        Self { inner: None, timer: Alarm::new(), watch }
    }
}

impl<F: Future> Timed<F> {
    /// Polls the inner future, then the timer. `judge` is asked only about an output that was waited for.
    #[inline]
    pub(crate) fn poll_judged(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        judge: impl FnOnce(&F::Output) -> Verdict,
    ) -> Poll<Result<F::Output, Elapsed>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(Err(this.watch.refused())) };
        this.watch.enter();
        let polled = inner.poll(cx);
        this.watch.leave();
        if let Poll::Ready(output) = polled {
            this.watch.completed(|| judge(&output));
            return Poll::Ready(Ok(output));
        }
        ready!(poll_timer(this.timer, this.watch, cx));
        // Whoever holds the returned error may hold this future too: the call ends now, not with it.
        this.inner.set(None);
        Poll::Ready(Err(this.watch.timed_out()))
    }
}

impl<F> fmt::Debug for Timed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("watch", &self.watch).finish_non_exhaustive()
    }
}

#[inline(never)]
fn poll_timer(mut timer: Pin<&mut Alarm>, watch: &mut Watch, cx: &mut Context<'_>) -> Poll<()> {
    if !timer.is_set() {
        let Some(at) = watch.wait() else { return Poll::Pending };
        timer.as_mut().set(at);
    }
    timer.poll(cx)
}

pin_project! {
    /// The future of [`Timeout`](crate::Timeout): the inner response, or [`Elapsed`] as the service's error.
    ///
    /// Dropping it cancels the call. That is no failure of the service; that it had waited so long already is
    /// remembered where it is news.
    pub struct ResponseFuture<F, C> {
        #[pin]
        timed: Timed<F>,
        classifier: C,
    }
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(crate) const fn new(timed: Timed<F>, classifier: C) -> Self {
        Self { timed, classifier }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    E: From<Elapsed>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let classifier = this.classifier;
        match ready!(this.timed.poll_judged(cx, |output| classifier.classify(output.as_ref()))) {
            Ok(output) => Poll::Ready(output),
            Err(elapsed) => Poll::Ready(Err(elapsed.into())),
        }
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("timed", &self.timed).finish_non_exhaustive()
    }
}
