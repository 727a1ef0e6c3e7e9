//! The limits of a request's body.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
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

/// Ends the body of a request whose frames do not come: a client that sends too slowly, or holds a
/// connection without sending.
///
/// The handler gets [`Stalled`] as the body's error, while it reads. Where it then fails, or
/// answers with a status of 400 or above, the request is refused with [`Stalled`], which is a 408
/// under `http::respond`. An answer that it gives all the same stands.
///
/// A handler that does not read is not ended by it: that is a `TimeoutLayer`'s.
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyTimeoutLayer {
    limits: Limits,
}

impl RequestBodyTimeoutLayer {
    /// Ends bodies by these limits.
    ///
    /// # Errors
    /// When a limit is zero, or none is set.
    pub fn new(config: BodyTimeoutConfig) -> Result<Self, ConfigError> {
        Ok(Self { limits: config.check()? })
    }
}

impl<S> Layer<S> for RequestBodyTimeoutLayer {
    type Service = RequestBodyTimeout<S>;

    fn layer(&self, inner: S) -> RequestBodyTimeout<S> {
        RequestBodyTimeout { inner, layer: *self }
    }
}

/// The service of a [`RequestBodyTimeoutLayer`].
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyTimeout<S> {
    inner: S,
    layer: RequestBodyTimeoutLayer,
}

impl<S> RequestBodyTimeout<S> {
    /// The service behind.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind, whose requests have no limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, Reply> Service<Request<B>> for RequestBodyTimeout<S>
where
    S: Service<Request<TimedBody<B>>, Response = Response<Reply>, Error: From<Stalled>>,
    B: Body<Error: Into<BoxError>>,
{
    type Response = Response<Reply>;
    type Error = S::Error;
    type Future = RequestBodyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limits = self.layer.limits;
        let stalled = Stalled::request(Duration::ZERO);
        // A body that is at its end needs nothing.
        let told = (!request.body().is_end_stream()).then(Arc::default);
        let tells = told.clone();
        let request = request.map(|body| TimedBody::new(body, limits, stalled, tells));
        RequestBodyTimeoutFuture { inner: self.inner.call(request), told }
    }
}

pin_project! {
    /// The future of [`RequestBodyTimeout`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RequestBodyTimeoutFuture<F> {
        #[pin]
        inner: F,
        told: Option<Arc<OnceLock<Stalled>>>,
    }
}

impl<F, Reply, E> Future for RequestBodyTimeoutFuture<F>
where
    F: Future<Output = Result<Response<Reply>, E>>,
    E: From<Stalled>,
{
    type Output = Result<Response<Reply>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        let stalled = this.told.as_ref().and_then(|told| told.get().copied());
        let has_failed = !matches!(&outcome, Ok(response) if response.status().as_u16() < 400);
        Poll::Ready(match stalled {
            Some(stalled) if has_failed => Err(stalled.into()),
            _ => outcome,
        })
    }
}
