//! The future.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

pin_project! {
    /// The future of a request that may have a key.
    ///
    /// Dropped, it cancels a request without a key. One with a key is not stranded: nothing is done
    /// before the first poll, and what was begun then is finished and stored.
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyedFuture<F: Future> {
        // Of a request without a key.
        #[pin]
        inner: Option<F>,
        // Of one with a key.
        answer: Option<Answer<F::Output>>,
    }
}

/// In a box: it awaits a store.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<F: Future> KeyedFuture<F> {
    #[inline(always)]
    pub(crate) const fn passed(inner: F) -> Self {
        Self { inner: Some(inner), answer: None }
    }

    #[inline(always)]
    pub(crate) const fn keyed(answer: Answer<F::Output>) -> Self {
        Self { inner: None, answer: Some(answer) }
    }
}

impl<F: Future> Future for KeyedFuture<F> {
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.answer) {
            (Some(inner), _) => inner.poll(cx),
            (None, Some(answer)) => answer.as_mut().poll(cx),
            (None, None) => unreachable!("both constructors set one"),
        }
    }
}

impl<F: Future> fmt::Debug for KeyedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedFuture").finish_non_exhaustive()
    }
}
