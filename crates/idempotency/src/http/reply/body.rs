//! The body of the layer's responses.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::{http::BodyFailed, parts::Pieces};

use super::{
    BoxError,
    tape::{Reader, Step},
};

pin_project! {
    /// The body of a response: the handler's own, a copy of it, or that of a reply that was kept.
    ///
    /// It is what the caller would get without the layer, with one difference: where the end of the
    /// handler's body was not known, the caller gets every frame as it comes and the end once the
    /// reply is recorded. The error is [`BodyFailed`] over the handler's own.
    pub struct ReplyBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        /// The handler's own.
        Passed { #[pin] body: B },
        /// What is here, and what follows. In boxes: a response is moved several times, and one
        /// that is passed on pays for the size of all.
        Gathered { first: Bytes, more: Option<Box<More<B>>> },
        /// It comes from a copy that another task writes.
        Taped { reader: Box<Reader<B>> },
    }
}

/// What follows the first data.
struct More<B> {
    data: VecDeque<Bytes>,
    then: Then<B>,
}

/// What follows the data that are here.
pub(super) enum Then<B> {
    Trailers(Option<HeaderMap>),
    Error(BodyFailed),
    Rest(Pin<Box<B>>),
}

impl<B> ReplyBody<B> {
    /// The handler's own body.
    pub(crate) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    /// A whole body.
    pub(crate) fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { kind: Kind::gathered(data, VecDeque::new(), Then::Trailers(trailers)) }
    }

    /// The data in one frame, and what follows.
    pub(super) fn begun(data: Bytes, then: Then<B>) -> Self {
        Self { kind: Kind::gathered(data, VecDeque::new(), then) }
    }

    pub(super) fn gathered(mut pieces: Pieces, then: Then<B>) -> Self {
        pieces.seal();
        let mut pieces = pieces.sealed().iter().cloned();
        let (first, data) = (pieces.next().unwrap_or_default(), pieces.collect());
        Self { kind: Kind::gathered(first, data, then) }
    }

    pub(super) fn taped(reader: Reader<B>) -> Self {
        Self { kind: Kind::Taped { reader: Box::new(reader) } }
    }
}

impl<B> Kind<B> {
    fn gathered(first: Bytes, data: VecDeque<Bytes>, then: Then<B>) -> Self {
        let is_all = data.is_empty() && matches!(then, Then::Trailers(None));
        Self::Gathered { first, more: (!is_all).then(|| Box::new(More { data, then })) }
    }
}

impl<B> Body for ReplyBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let mut kind = self.project().kind;
        loop {
            let then = match kind.as_mut().project() {
                KindProjection::Passed { body } => {
                    return body.poll_frame(cx).map_err(BodyFailed::new);
                }
                KindProjection::Gathered { first, more } => {
                    let data = std::mem::take(first);
                    let Some(more) = more else {
                        let data = Some(data).filter(|data| !data.is_empty());
                        return Poll::Ready(data.map(|data| Ok(Frame::data(data))));
                    };
                    *first = more.data.pop_front().unwrap_or_default();
                    if data.is_empty() {
                        return more.then.poll_frame(cx);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                KindProjection::Taped { reader } => match ready!(reader.poll(cx)) {
                    Step::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Step::End(trailers) => Then::Trailers(trailers),
                    Step::Failed(error) => Then::Error(error),
                    Step::Rest(body) => Then::Rest(body),
                },
            };
            kind.set(Kind::gathered(Bytes::new(), VecDeque::new(), then));
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Gathered { first, more } => {
                first.is_empty() && more.as_ref().is_none_or(|more| more.then.is_end_stream())
            }
            Kind::Taped { reader } => reader.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Gathered { first, more: None } => SizeHint::with_exact(first.len() as u64),
            Kind::Gathered { first, more: Some(more) } => {
                let here = first.len() + more.data.iter().map(Bytes::len).sum::<usize>();
                let mut hint = more.then.size_hint();
                // The upper bound first: it may not fall below the lower one.
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper.saturating_add(here as u64));
                }
                hint.set_lower(hint.lower().saturating_add(here as u64));
                hint
            }
            Kind::Taped { reader } => {
                let (left, more_may_come) = reader.left();
                let mut hint = SizeHint::new();
                hint.set_lower(left as u64);
                if !more_may_come {
                    hint.set_upper(left as u64);
                }
                hint
            }
        }
    }
}

impl<B> Then<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        match self {
            Self::Trailers(trailers) => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Self::Error(_) => match std::mem::replace(self, Self::Trailers(None)) {
                Self::Error(error) => Poll::Ready(Some(Err(error))),
                _ => Poll::Ready(None),
            },
            Self::Rest(body) => body.as_mut().poll_frame(cx).map_err(BodyFailed::new),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Trailers(trailers) => trailers.is_none(),
            Self::Error(_) => false,
            Self::Rest(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Trailers(None) => SizeHint::with_exact(0),
            // A body of a known length is sent without trailers over HTTP/1.
            Self::Trailers(Some(_)) | Self::Error(_) => SizeHint::new(),
            Self::Rest(body) => body.size_hint(),
        }
    }
}

impl<B> From<Bytes> for ReplyBody<B> {
    fn from(data: Bytes) -> Self {
        Self::whole(data, None)
    }
}

impl<B> Default for ReplyBody<B> {
    /// An empty body.
    fn default() -> Self {
        Self::whole(Bytes::new(), None)
    }
}

impl<B> fmt::Debug for ReplyBody<B> {
    /// Never says contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Passed { .. } => "ReplyBody(passed)",
            Kind::Gathered { .. } => "ReplyBody(gathered)",
            Kind::Taped { .. } => "ReplyBody(taped)",
        })
    }
}
