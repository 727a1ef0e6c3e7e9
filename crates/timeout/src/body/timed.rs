//! A body whose reader does not wait for ever.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::{Deadline, parts::Alarm};

use super::{config::Limits, error::Stalled};
use crate::shared::CLOCK;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

pin_project! {
    /// A body that ends with [`Stalled`] when its reader has waited too long for it.
    ///
    /// The frame is asked for before the time is looked at, so that a frame which has come in time
    /// is read, however late its reader is. The timer is armed when a frame has to be waited for,
    /// and by the next frame set back; frames that are ready arm nothing, need no runtime, and put
    /// nothing on the heap. The body is `Unpin` if `B` is.
    pub struct TimedBody<B> {
        #[pin]
        inner: B,
        limits: Limits,
        stalled: Stalled,
        // When the whole must have ended.
        end: Option<Instant>,
        // Made at the first wait.
        alarm: Option<Pin<Box<Alarm>>>,
        // What the reader waits under now: whether of the whole.
        waits: Option<bool>,
        is_over: bool,
        // Where the layer reads that the body has stalled.
        tells: Option<Arc<OnceLock<Stalled>>>,
    }
}

impl<B> TimedBody<B> {
    /// `stalled` is of a body of this side; its limit is set when it happens.
    pub(super) fn new(
        inner: B,
        limits: Limits,
        stalled: Stalled,
        tells: Option<Arc<OnceLock<Stalled>>>,
    ) -> Self {
        let end = limits.whole.map(|whole| Deadline::after(CLOCK.now(), whole).instant());
        Self { inner, limits, stalled, end, alarm: None, waits: None, is_over: false, tells }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for TimedBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            *this.waits = None;
            *this.is_over = !matches!(frame, Some(Ok(_)));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(Alarm::new()));
        let whole = *this.waits.get_or_insert_with(|| {
            let frame = this.limits.between_frames;
            let next = frame.map(|limit| Deadline::after(CLOCK.now(), limit).instant());
            // One of the two is there.
            let (at, whole) = match (next, *this.end) {
                (Some(next), Some(end)) => (next.min(end), end <= next),
                (Some(next), None) => (next, false),
                (None, end) => (end.unwrap_or_else(|| CLOCK.now()), true),
            };
            alarm.as_mut().set(at);
            whole
        });
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        *this.is_over = true;
        let limit = if whole { this.limits.whole } else { this.limits.between_frames };
        let stalled = Stalled { limit: limit.unwrap_or_default(), whole, ..*this.stalled };
        if let Some(tells) = this.tells {
            // It is written once: the body is over.
            let _ = tells.set(stalled);
        }
        Poll::Ready(Some(Err(stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for TimedBody<B> {
    /// Says the limits, never contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedBody")
            .field("limits", &self.limits)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
