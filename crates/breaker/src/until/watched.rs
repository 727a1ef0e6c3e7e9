//! The body of an answer that is judged until its end.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::http::{BodyEnd, ClassifyEnd};

use crate::answered::Answered;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

pin_project! {
    /// A body that tells its circuit how it ends, and is otherwise `B` as it is: nothing is held
    /// back, armed or put on the heap. It is `Unpin`, `Send` and `Sync` if `B` is.
    ///
    /// Its error is the body's own in a box, in which the circuit can look into it.
    ///
    /// Dropping it says that the rest was not read.
    pub struct WatchedBody<B, C> {
        #[pin]
        inner: B,
        // Settled from the beginning where the end has nothing to say.
        answered: Answered,
        classifier: C,
    }
}

impl<B, C> WatchedBody<B, C> {
    #[inline]
    pub(super) const fn new(inner: B, answered: Answered, classifier: C) -> Self {
        Self { inner, answered, classifier }
    }
}

impl<B, C> Body for WatchedBody<B, C>
where
    B: Body<Error: Into<BoxError>>,
    C: ClassifyEnd,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let answered = this.answered;
        if answered.is_settled() {
            return this.inner.poll_frame(cx).map_err(Into::into);
        }
        // A server does not ask a body that is at its end for more: it is asked after each frame.
        let (polled, is_over) = answered.run(|| {
            let polled = this.inner.as_mut().poll_frame(cx);
            let is_over = polled.is_ready() && this.inner.is_end_stream();
            (polled, is_over)
        });
        answered.awaited(polled.is_pending());
        // Each arm judges for itself: the frame goes from the body to the reader untouched.
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                let trailers = frame.trailers_ref();
                if is_over || trailers.is_some() {
                    answered.end(this.classifier.classify_end(BodyEnd::Ended(trailers)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                answered.end(this.classifier.classify_end(BodyEnd::Failed(&*error)));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                answered.end(this.classifier.classify_end(BodyEnd::Ended(None)));
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that says nothing: for layers of others that answer by themselves.
impl<B: Default, C: Default> Default for WatchedBody<B, C> {
    fn default() -> Self {
        Self::new(B::default(), Answered::settled(), C::default())
    }
}

impl<B, C> fmt::Debug for WatchedBody<B, C> {
    /// Says whether the end is still to come, never contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedBody")
            .field("is_awaited", &!self.answered.is_settled())
            .finish_non_exhaustive()
    }
}
