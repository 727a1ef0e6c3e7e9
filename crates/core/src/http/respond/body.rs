//! The body of a response that is the service's own or that of a refusal.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response of [`respond`](super::respond): the service's own, as it came, or the
    /// bytes of a rendered refusal.
    ///
    /// At most 32 bytes larger than `B`, and nothing is put on the heap. It is made `From<Bytes>`
    /// and has a `Default` whatever `B` is, so that layers of others which answer by themselves
    /// stand round it.
    #[derive(Debug)]
    pub struct RespondBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Own { #[pin] body: B },
        Rendered { bytes: Bytes },
    }
}

impl<B> RespondBody<B> {
    /// The body of the service.
    pub(super) const fn own(body: B) -> Self {
        Self { content: Content::Own { body } }
    }
}

impl<B> From<Bytes> for RespondBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Rendered { bytes } }
    }
}

/// Empty.
impl<B> Default for RespondBody<B> {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl<B> Body for RespondBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().content.project() {
            ContentProjection::Own { body } => body.poll_frame(cx),
            ContentProjection::Rendered { bytes } if bytes.is_empty() => Poll::Ready(None),
            ContentProjection::Rendered { bytes } => {
                let bytes = std::mem::take(bytes);
                Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
            }
        }
    }

    /// An empty answer is at its end from the beginning: HTTP/2 and gRPC send it in one frame.
    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own { body } => body.is_end_stream(),
            Content::Rendered { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own { body } => body.size_hint(),
            Content::Rendered { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, fmt::Debug, future::poll_fn, pin::pin};

    use http::HeaderMap;
    use http_body_util::{BodyExt, Full};

    use super::*;

    /// A body that cannot be made of bytes.
    #[derive(Debug)]
    struct Foreign(VecDeque<Frame<Bytes>>);

    impl Body for Foreign {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(3)
        }
    }

    async fn next<B: Body<Error: Debug>>(body: Pin<&mut B>) -> Option<Frame<B::Data>> {
        let mut body = body;
        poll_fn(|cx| body.as_mut().poll_frame(cx)).await.map(Result::unwrap)
    }

    #[tokio::test]
    async fn a_services_own_body_passes_frame_by_frame_with_its_hints_and_its_trailers() {
        let frames = [Frame::data(Bytes::from("one")), Frame::trailers(HeaderMap::new())];
        let mut body = pin!(RespondBody::own(Foreign(frames.into())));
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, Some(3)));
        let data = next(body.as_mut()).await.unwrap().into_data().unwrap();
        assert_eq!(data, "one");
        assert!(!body.is_end_stream());
        assert!(next(body.as_mut()).await.unwrap().is_trailers());
        assert!(body.is_end_stream());
        assert!(next(body).await.is_none());
    }

    #[tokio::test]
    async fn a_rendered_one_is_a_single_frame_and_knows_its_end_and_its_size() {
        let mut body = pin!(RespondBody::<Foreign>::from(Bytes::from("refused")));
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, Some(7)));
        assert_eq!(next(body.as_mut()).await.unwrap().into_data().unwrap(), "refused");
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
        assert!(next(body).await.is_none());
    }

    #[tokio::test]
    async fn an_empty_one_is_at_its_end_without_a_frame() {
        for body in [RespondBody::<Foreign>::default(), Bytes::new().into()] {
            assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
            assert!(body.collect().await.unwrap().to_bytes().is_empty());
        }
    }

    #[test]
    fn it_is_a_few_words_larger_than_the_services_own() {
        let more = |own: usize, with: usize| with - own;
        assert!(more(size_of::<Full<Bytes>>(), size_of::<RespondBody<Full<Bytes>>>()) <= 8);
        // Of 16 bytes, as axum's and tonic's; of 40, as hyper's.
        assert!(more(16, size_of::<RespondBody<[usize; 2]>>()) <= 24);
        assert!(more(40, size_of::<RespondBody<[usize; 5]>>()) <= 8);
        assert!(more(0, size_of::<RespondBody<()>>()) <= 32);
    }
}
