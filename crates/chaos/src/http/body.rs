//! Bodies that are flipped, cut and stalled.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    BoxError,
    damage::{Damage, Taken},
};
use crate::Injection;

pin_project! {
    /// A response's body, whole or spoilt.
    ///
    /// One whose size is known is spoilt at a place drawn evenly over all of it, and one whose size
    /// is not, in its first piece. A stall or a cut is in the midst: something comes before it, as
    /// far as there are two bytes. A body that no byte comes of is not spoilt, but for a cut, which
    /// then takes its end away. Sizes, frames and trailers are those of the service, and a body
    /// that is cut promises the size it would have had.
    ///
    /// A fault is counted when the place is reached. A body that is read no further was not spoilt.
    ///
    /// Its error is a boxed one: that of the body as it came, or [`BodyCut`].
    pub struct FaultBody<B> {
        // None for the body of a status, and once it is cut.
        #[pin]
        inner: Option<B>,
        // In a box: bodies are seldom spoilt.
        damage: Option<Pin<Box<Damage>>>,
    }
}

/// The body of a response was cut by a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: the body is cut")]
#[non_exhaustive]
pub struct BodyCut;

impl<B> FaultBody<B> {
    #[inline]
    pub(super) const fn whole(inner: B) -> Self {
        Self { inner: Some(inner), damage: None }
    }

    pub(super) const fn empty() -> Self {
        Self { inner: None, damage: None }
    }
}

impl<B: Body<Data = Bytes>> FaultBody<B> {
    pub(super) fn spoilt(inner: B, injection: Injection) -> Self {
        let damage = if inner.is_end_stream() {
            None
        } else {
            Damage::new(injection, inner.size_hint().exact())
        };
        Self { inner: Some(inner), damage: damage.map(Box::pin) }
    }
}

impl<B> Body for FaultBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(damage) = this.damage else {
            let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
            return inner.poll_frame(cx).map_err(Into::into);
        };
        loop {
            if let Some(next) = ready!(damage.as_mut().poll(cx)) {
                return Poll::Ready(Some(next));
            }
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            let frame = match ready!(inner.poll_frame(cx)).transpose() {
                Ok(frame) => frame,
                Err(error) => {
                    damage.as_mut().give_up();
                    return Poll::Ready(Some(Err(error.into())));
                }
            };
            let taken = damage.as_mut().take(frame);
            if damage.is_cut() {
                this.inner.set(None);
            }
            if let Taken::Give(frame) = taken {
                return Poll::Ready(frame.map(Ok));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_held_up = self.damage.as_ref().is_some_and(|damage| damage.holds());
        !is_held_up && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        match &self.damage {
            None => inner,
            Some(damage) => damage.size_hint(inner),
        }
    }
}

/// A body made here, such as that of a refusal.
impl<B: From<Bytes>> From<Bytes> for FaultBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::whole(B::from(bytes))
    }
}

impl<B: Default> Default for FaultBody<B> {
    fn default() -> Self {
        Self::whole(B::default())
    }
}

impl<B> fmt::Debug for FaultBody<B> {
    /// Says nothing of what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultBody")
            .field("is_spoilt", &self.damage.is_some())
            .finish_non_exhaustive()
    }
}
