//! The body that the inner service is called with.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A request's body, as the service behind the layer gets it.
    ///
    /// That of a request without a key is the caller's own, and costs nothing. That of a request
    /// with a key is here as a whole.
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Passed {
            #[pin]
            body: B,
        },
        Whole {
            data: Bytes,
            trailers: Option<Box<HeaderMap>>,
        },
        /// A stream, with what was read of it.
        Begun {
            data: Bytes,
            rest: Pin<Box<B>>,
        },
    }
}

/// What was read of a body that has ended.
pub(super) struct Whole {
    pub(super) data: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl<B> RequestBody<B> {
    pub(super) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(super) fn whole(Whole { data, trailers }: Whole) -> Self {
        Self { kind: Kind::Whole { data, trailers: trailers.map(Box::new) } }
    }

    pub(super) const fn begun(data: Bytes, rest: Pin<Box<B>>) -> Self {
        Self { kind: Kind::Begun { data, rest } }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passed { body } => body.poll_frame(cx),
            KindProjection::Whole { data, .. } | KindProjection::Begun { data, .. }
                if !data.is_empty() =>
            {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            KindProjection::Whole { trailers, .. } => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
            }
            KindProjection::Begun { rest, .. } => rest.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
            Kind::Begun { data, rest } => data.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Whole { data, .. } => SizeHint::with_exact(data.len() as u64),
            Kind::Begun { data, rest } => {
                let (here, mut hint) = (data.len() as u64, rest.size_hint());
                // The upper bound first: it may not fall below the lower one.
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper.saturating_add(here));
                }
                hint.set_lower(hint.lower().saturating_add(here));
                hint
            }
        }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    /// Says what is read, never contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, len) = match &self.kind {
            Kind::Passed { .. } => return f.write_str("RequestBody(passed)"),
            Kind::Whole { data, .. } => ("whole", data.len()),
            Kind::Begun { data, .. } => ("begun", data.len()),
        };
        f.debug_struct("RequestBody").field("kind", &kind).field("len", &len).finish()
    }
}

/// Makes what the inner service takes out of a [`RequestBody`]. Closures and functions
/// `Fn(RequestBody<B>) -> T` do so too.
pub trait WrapBody<B> {
    /// The body type that the inner service takes.
    type Body;

    /// The body as the inner service takes it.
    fn wrap(&self, body: RequestBody<B>) -> Self::Body;
}

impl<B, T, F: Fn(RequestBody<B>) -> T> WrapBody<B> for F {
    type Body = T;

    fn wrap(&self, body: RequestBody<B>) -> T {
        self(body)
    }
}

/// The inner service takes a [`RequestBody`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs;

impl<B> WrapBody<B> for AsIs {
    type Body = RequestBody<B>;

    fn wrap(&self, body: RequestBody<B>) -> RequestBody<B> {
        body
    }
}
