//! Collecting a response's body before a layer judges the response.
//!
//! A response whose head says 200 can still fail: the body breaks off, or the gRPC status in the
//! trailers is an error. A layer that judges at the head misses both. This layer stands *inside*
//! the judging ones and holds a response back until its end is known, up to a size. What is larger
//! streams on and is judged by its head, as without this layer.

use std::{
    collections::VecDeque,
    error::Error as StdError,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Grounds, Refusal, RefusalKind, Sealed};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Holds each response back until its body has ended, as long as that is at most `limit` bytes.
///
/// A body that breaks off becomes the error [`BodyFailed`]; trailers are put into the response's
/// extensions as [`Trailers`], and still follow the body. Costs the buffering of one response and
/// the time to its last byte: for calls with small answers, not for downloads or event streams,
/// whose first bytes would wait for the last.
///
/// ```
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use steadfast_core::http::CollectLayer;
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let client = service_fn(async |_: Request<()>| {
///     Ok::<_, BoxError>(Response::new(Full::<bytes::Bytes>::from("all of it")))
/// });
/// let service = CollectLayer::new(64 * 1024).layer(client);
/// let response = service.oneshot(Request::new(())).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "all of it");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CollectLayer {
    limit: usize,
}

impl CollectLayer {
    /// Waits for bodies of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for CollectLayer {
    type Service = Collect<S>;

    fn layer(&self, inner: S) -> Collect<S> {
        Collect { inner, limit: self.limit }
    }
}

/// The service of [`CollectLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Collect<S> {
    inner: S,
    limit: usize,
}

impl<S> Collect<S> {
    /// The inner service.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service itself.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, B> Service<Req> for Collect<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: From<BodyFailed>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<CollectBody<B>>;
    type Error = S::Error;
    type Future = CollectFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        CollectFuture { inner: self.inner.call(request), limit: self.limit, reading: None }
    }
}

pin_project! {
    /// The future of [`Collect`].
    pub struct CollectFuture<F, B: Body> {
        #[pin]
        inner: F,
        limit: usize,
        reading: Option<Response<CollectBody<B>>>,
    }
}

impl<F, B: Body> std::fmt::Debug for CollectFuture<F, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectFuture")
            .field("reading", &self.reading.is_some())
            .finish_non_exhaustive()
    }
}

impl<F, B, E> Future for CollectFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: From<BodyFailed>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<CollectBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.reading.is_none() {
            match ready!(this.inner.poll(cx)) {
                Ok(response) => *this.reading = Some(response.map(CollectBody::new)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let mut response = this.reading.take().expect("put there above, or by an earlier poll");
        match response.body_mut().poll_fill(cx, *this.limit) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(source)) => return Poll::Ready(Err(BodyFailed::new(source).into())),
            Poll::Pending => {
                *this.reading = Some(response);
                return Poll::Pending;
            }
        }
        if let Some(trailers) = response.body().trailers.clone() {
            response.extensions_mut().insert(Trailers(trailers));
        }
        Poll::Ready(Ok(response))
    }
}

/// The trailers of a response that was held back until its end, in the response's extensions.
#[derive(Clone)]
pub struct Trailers(pub HeaderMap);

impl std::fmt::Debug for Trailers {
    /// Says names, never values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trailers").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

/// The response's body broke off. Its head had come: the request may have been executed, whatever
/// the body failed with.
///
/// Its source is a [`Sealed`] error, which says so to every classifier.
#[derive(Debug, thiserror::Error)]
#[error("the response body failed")]
#[non_exhaustive]
pub struct BodyFailed {
    /// What the body failed with, sealed.
    pub source: Sealed,
}

impl BodyFailed {
    /// A body that failed with `error`.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self { source: Sealed::new(error) }
    }
}

impl Refusal for BodyFailed {
    fn grounds(&self) -> Grounds {
        Grounds::maybe_executed(RefusalKind::Unavailable)
    }
}

/// A body whose beginning, or all of it, is already here.
pub struct CollectBody<B: Body> {
    buffered: VecDeque<B::Data>,
    buffered_bytes: usize,
    trailers: Option<HeaderMap>,
    /// What has not been read yet; none once the end is known.
    rest: Option<B>,
}

impl<B: Body + Unpin> CollectBody<B> {
    fn new(body: B) -> Self {
        Self { buffered: VecDeque::new(), buffered_bytes: 0, trailers: None, rest: Some(body) }
    }

    /// Reads until the end, or until more than `limit` bytes are held.
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<(), BoxError>>
    where
        B::Error: Into<BoxError>,
    {
        while let Some(body) = &mut self.rest {
            if self.buffered_bytes > limit {
                break;
            }
            match ready!(Pin::new(body).poll_frame(cx)) {
                None => self.rest = None,
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                Some(Ok(frame)) => self.keep(frame),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, frame: Frame<B::Data>) {
        match frame.into_data() {
            // Empty frames say nothing, and must not fill memory.
            Ok(data) if !data.has_remaining() => {}
            Ok(data) => {
                self.buffered_bytes += data.remaining();
                self.buffered.push_back(data);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }
}

// The data is never pinned, only moved out.
impl<B: Body + Unpin> Unpin for CollectBody<B> {}

impl<B: Body + Unpin> Body for CollectBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(data) = this.buffered.pop_front() {
            this.buffered_bytes -= data.remaining();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(body) = &mut this.rest {
            return Pin::new(body).poll_frame(cx);
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.buffered.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.buffered_bytes as u64;
        let mut hint = self.rest.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        // The upper bound first: it may not fall below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + here);
        }
        hint.set_lower(hint.lower() + here);
        hint
    }
}

impl<B: Body> std::fmt::Debug for CollectBody<B> {
    /// Says sizes, never contents.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectBody")
            .field("buffered_bytes", &self.buffered_bytes)
            .field("ended", &self.rest.is_none())
            .finish_non_exhaustive()
    }
}

impl<B: Body + Default + Unpin> Default for CollectBody<B> {
    fn default() -> Self {
        Self::new(B::default())
    }
}

impl<B: Body + Unpin + From<bytes::Bytes>> From<bytes::Bytes> for CollectBody<B> {
    fn from(bytes: bytes::Bytes) -> Self {
        Self::new(B::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::{BodyExt, StreamBody};
    use tower::{BoxError, ServiceExt, service_fn};

    use super::*;

    type Step = Result<Frame<Bytes>, Infallible>;

    /// Yields its frames one by one, each after it was pending once.
    fn slow(frames: Vec<Frame<Bytes>>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let mut frames: VecDeque<Step> = frames.into_iter().map(Ok).collect();
        let mut waits = true;
        StreamBody::new(futures_stream(move |cx| {
            waits = !waits;
            if waits {
                return Poll::Ready(frames.pop_front());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    fn futures_stream<F>(poll: F) -> futures::stream::PollFn<F>
    where
        F: FnMut(&mut Context<'_>) -> Poll<Option<Step>>,
    {
        futures::stream::poll_fn(poll)
    }

    async fn through(
        limit: usize,
        frames: Vec<Frame<Bytes>>,
    ) -> Response<impl Body<Data = Bytes, Error = Infallible>> {
        let mut frames = Some(frames);
        let service = service_fn(move |(): ()| {
            let response = Response::new(slow(frames.take().unwrap()));
            async move { Ok::<_, BoxError>(response) }
        });
        CollectLayer::new(limit).layer(service).oneshot(()).await.unwrap()
    }

    fn data(bytes: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(bytes.as_bytes()))
    }

    #[tokio::test]
    async fn trailers_are_known_with_the_head_and_still_follow_the_body() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("5"));
        let response =
            through(100, vec![data("ab"), data("c"), Frame::trailers(trailers.clone())]).await;
        assert_eq!(response.extensions().get::<Trailers>().unwrap().0, trailers);
        assert_eq!(response.body().size_hint().exact(), Some(3));
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_awaited_and_one_above_it_streams_on() {
        let exact = through(3, vec![data("ab"), data("c")]).await;
        assert_eq!(exact.body().size_hint().exact(), Some(3), "its end is known");
        let above = through(2, vec![data("ab"), data("c"), data("d")]).await;
        assert_eq!(above.body().size_hint().exact(), None, "its end is not");
        assert_eq!(above.into_body().collect().await.unwrap().to_bytes(), "abcd");
    }

    #[test]
    fn a_body_that_failed_was_executed_whatever_it_failed_with() {
        use crate::{Classify, Executed, Verdict, http::HttpClassifier};
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error: BoxError = BodyFailed::new(refused).into();
        let verdict = HttpClassifier.classify(Err::<&Response<()>, _>(&error));
        assert_eq!(verdict, Verdict::transient(Executed::Maybe));
    }

    #[tokio::test]
    async fn an_empty_body_ends_at_once() {
        let empty = through(3, vec![]).await;
        assert!(empty.body().is_end_stream());
    }
}
