//! The limits of a response's body.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::{ConfigError, Select, parts::Lane};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    config::{BodyTimeoutConfig, Limits},
    error::Stalled,
    timed::{BoxError, TimedBody},
    watch::Watch,
};
use crate::{TimeLimit, shared::Shared};

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
///
/// A limit that is learned from the bodies, one for each route:
///
/// ```
/// # #[cfg(feature = "keyed")] {
/// use std::{num::NonZeroUsize, time::Duration};
/// use http::Request;
/// use steadfast_core::PerKey;
/// use steadfast_timeout::{BodyTimeoutConfig, BodyTimeoutLayer, LimitConfig, TimeLimit};
///
/// let config = LimitConfig::between_frames(Duration::from_secs(30)).named("downloads");
/// let route = |request: &Request<()>| request.uri().path().starts_with("/reports");
/// let by_route: PerKey<bool, _, _> =
///     TimeLimit::per_key(config, NonZeroUsize::new(10).unwrap(), route)?;
/// let layer = BodyTimeoutLayer::new(BodyTimeoutConfig::new().adaptive(by_route))?;
/// # }
/// # Ok::<_, steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BodyTimeoutLayer<H = TimeLimit> {
    limits: Limits<H>,
}

impl<H> BodyTimeoutLayer<H> {
    /// Ends bodies by these limits.
    ///
    /// # Errors
    /// When a limit is zero, none is set, or a fixed one beside an adaptive one.
    pub fn new(config: BodyTimeoutConfig<H>) -> Result<Self, ConfigError> {
        Ok(Self { limits: config.check()? })
    }
}

impl<S, H: Clone> Layer<S> for BodyTimeoutLayer<H> {
    type Service = BodyTimeout<S, Self>;

    fn layer(&self, inner: S) -> BodyTimeout<S, Self> {
        BodyTimeout { inner, layer: self.clone() }
    }
}

/// The service of a [`BodyTimeoutLayer`].
#[derive(Clone, Debug)]
pub struct BodyTimeout<S, L = BodyTimeoutLayer> {
    inner: S,
    layer: L,
}

impl<S, L> BodyTimeout<S, L> {
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

impl<S, Req, B, H> Service<Req> for BodyTimeout<S, BodyTimeoutLayer<H>>
where
    S: Service<Req, Response = Response<B>>,
    H: Select<Req, Handle = TimeLimit>,
    B: Body<Error: Into<BoxError>>,
{
    type Response = Response<TimedBody<B>>;
    type Error = S::Error;
    type Future = BodyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Limits { whole, .. } = self.layer.limits;
        let limit = Some(self.layer.limits.lane(&request));
        BodyTimeoutFuture { inner: self.inner.call(request), limit, whole }
    }
}

pin_project! {
    /// The future of [`BodyTimeout`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BodyTimeoutFuture<F> {
        #[pin]
        inner: F,
        // Taken by the body.
        limit: Option<Arc<Lane<Shared>>>,
        whole: Option<Duration>,
    }
}

impl<F, B, E> Future for BodyTimeoutFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<TimedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let limit = this.limit.take().expect("the response comes once");
        let watch = Watch::new(limit, *this.whole, Stalled::response(Duration::ZERO), None);
        Poll::Ready(Ok(response.map(|body| TimedBody::new(body, watch))))
    }
}

impl<F> fmt::Debug for BodyTimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTimeoutFuture").field("whole", &self.whole).finish_non_exhaustive()
    }
}
