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
use steadfast_core::{ConfigError, Select};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    config::{BodyTimeoutConfig, Limits},
    error::Stalled,
    timed::{BoxError, TimedBody},
    watch::Watch,
};
use crate::TimeLimit;

/// Ends the body of a request whose frames do not come: a client that sends too slowly, or holds a
/// connection without sending.
///
/// The handler gets [`Stalled`] as the body's error, while it reads. Where it then fails, or
/// answers with a status of 400 or above, the request is refused with [`Stalled`], which is a 408
/// under `http::respond`. An answer that it gives all the same stands.
///
/// A handler that does not read is not ended by it: that is a `TimeoutLayer`'s.
///
/// An adaptive limit learns from the clients: slow ones raise it for all, to the ceiling at most.
#[derive(Clone, Debug)]
pub struct RequestBodyTimeoutLayer<H = TimeLimit> {
    limits: Limits<H>,
}

impl<H> RequestBodyTimeoutLayer<H> {
    /// Ends bodies by these limits.
    ///
    /// # Errors
    /// When a limit is zero, none is set, or a fixed one beside an adaptive one.
    pub fn new(config: BodyTimeoutConfig<H>) -> Result<Self, ConfigError> {
        Ok(Self { limits: config.check()? })
    }
}

impl<S, H: Clone> Layer<S> for RequestBodyTimeoutLayer<H> {
    type Service = RequestBodyTimeout<S, Self>;

    fn layer(&self, inner: S) -> RequestBodyTimeout<S, Self> {
        RequestBodyTimeout { inner, layer: self.clone() }
    }
}

/// The service of a [`RequestBodyTimeoutLayer`].
#[derive(Clone, Debug)]
pub struct RequestBodyTimeout<S, L = RequestBodyTimeoutLayer> {
    inner: S,
    layer: L,
}

impl<S, L> RequestBodyTimeout<S, L> {
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

impl<S, B, Reply, H> Service<Request<B>> for RequestBodyTimeout<S, RequestBodyTimeoutLayer<H>>
where
    H: Select<Request<B>, Handle = TimeLimit>,
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
        let limits = &self.layer.limits;
        let stalled = Stalled::request(Duration::ZERO);
        // A body that is at its end needs nothing.
        let told = (!request.body().is_end_stream()).then(Arc::default);
        let watch = Watch::new(limits.lane(&request), limits.whole, stalled, told.clone());
        let request = request.map(|body| TimedBody::new(body, watch));
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
