//! A body whose reader does not wait for ever.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::watch::Watch;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

pin_project! {
    /// A body that ends with [`Stalled`](crate::Stalled) when its reader has waited too long for
    /// it.
    ///
    /// The frame is asked for before the time is looked at, so that a frame which has come in time
    /// is read, however late its reader is. The timer is armed when a frame has to be waited for,
    /// and by the next frame set back; frames that are ready arm nothing, need no runtime, and put
    /// nothing on the heap. The body is `Unpin` if `B` is.
    pub struct TimedBody<B> {
        #[pin]
        inner: B,
        watch: Watch,
    }
}

impl<B: Body> TimedBody<B> {
    pub(super) fn new(inner: B, mut watch: Watch) -> Self {
        if inner.is_end_stream() {
            watch.ended();
        }
        Self { inner, watch }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for TimedBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if this.watch.is_over() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = this.inner.as_mut().poll_frame(cx) else {
            let stalled = ready!(this.watch.poll(cx));
            return Poll::Ready(Some(Err(stalled.into())));
        };
        match frame {
            Some(Ok(frame)) => {
                this.watch.came(false);
                // hyper's server stops here where the body says so, and asks for no end.
                if this.inner.is_end_stream() {
                    this.watch.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.watch.came(true);
                this.watch.failed();
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                this.watch.came(false);
                this.watch.ended();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.watch.is_over() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for TimedBody<B> {
    /// Says how far it is, never contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedBody").field("is_over", &self.watch.is_over()).finish_non_exhaustive()
    }
}
