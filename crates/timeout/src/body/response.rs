//! The limits of a response's body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::ConfigError;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    config::{BodyTimeoutConfig, Limits},
    error::Stalled,
    timed::{BoxError, TimedBody},
};

/// Ends the body of a response whose frames do not come, with [`Stalled`] as the body's error.
///
/// A timeout of the call ends with the head; this goes on from there. What the caller sees is a
/// body that breaks off: the head was passed on, and no retry repeats it.
///
/// ```
/// use std::time::Duration;
/// use steadfast_timeout::{BodyTimeoutConfig, BodyTimeoutLayer};
///
/// let config = BodyTimeoutConfig::new()
///     .between_frames(Duration::from_secs(20))
///     .whole(Duration::from_secs(600));
/// let layer = BodyTimeoutLayer::new(config)?;
/// # Ok::<_, steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BodyTimeoutLayer {
    limits: Limits,
}

impl BodyTimeoutLayer {
    /// Ends bodies by these limits.
    ///
    /// # Errors
    /// When a limit is zero, or none is set.
    pub fn new(config: BodyTimeoutConfig) -> Result<Self, ConfigError> {
        Ok(Self { limits: config.check()? })
    }
}

impl<S> Layer<S> for BodyTimeoutLayer {
    type Service = BodyTimeout<S>;

    fn layer(&self, inner: S) -> BodyTimeout<S> {
        BodyTimeout { inner, layer: *self }
    }
}

/// The service of a [`BodyTimeoutLayer`].
#[derive(Clone, Copy, Debug)]
pub struct BodyTimeout<S> {
    inner: S,
    layer: BodyTimeoutLayer,
}

impl<S> BodyTimeout<S> {
    /// The service behind.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind, whose bodies have no limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, B> Service<Req> for BodyTimeout<S>
where
    S: Service<Req, Response = Response<B>>,
    B: Body<Error: Into<BoxError>>,
{
    type Response = Response<TimedBody<B>>;
    type Error = S::Error;
    type Future = BodyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        BodyTimeoutFuture { inner: self.inner.call(request), limits: self.layer.limits }
    }
}

pin_project! {
    /// The future of [`BodyTimeout`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct BodyTimeoutFuture<F> {
        #[pin]
        inner: F,
        limits: Limits,
    }
}

impl<F, B, E> Future for BodyTimeoutFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<TimedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let stalled = Stalled::response(Duration::ZERO);
        Poll::Ready(Ok(response.map(|body| TimedBody::new(body, *this.limits, stalled, None))))
    }
}
