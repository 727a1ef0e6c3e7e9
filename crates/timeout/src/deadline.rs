//! The total deadline of a request.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Request};
use pin_project_lite::pin_project;
use steadfast_core::{
    ConfigError, Deadline, Verdict,
    http::{GRPC_TIMEOUT, REQUEST_TIMEOUT_MS, parse_grpc_timeout, parse_timeout_ms},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    TimeLimit,
    config::{LimitConfig, Rule},
    error::Elapsed,
    future::Timed,
    shared::CLOCK,
    watch::Watch,
};

/// Sets the deadline of a request, keeps it, and leaves it in the request's extensions for the layers further in.
///
/// The deadline is the nearest of: the total given here, what the caller's headers leave, and a [`Deadline`] that is already in the
/// extensions. With none of them the request passes as it is. When it has passed, the request is refused before the service is
/// called; when it passes while the service works, the service's future is dropped.
///
/// A header that cannot be read is as good as none: no caller fails by garbage.
///
/// When a request is refused before the service is called, the service stays ready: what it holds for that, such as a permit
/// of a concurrency limit, stays with the handle until its next call, or until the handle is dropped.
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    total: Option<Duration>,
    header: Option<HeaderName>,
    grpc: bool,
    limit: TimeLimit,
}

impl DeadlineLayer {
    /// Gives every request `total`, whatever it asks for.
    ///
    /// # Errors
    /// When `total` is zero.
    pub fn total(total: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!total.is_zero(), "total", total, "above zero")?;
        Ok(Self::new(Some(total), None, false))
    }

    /// Gives a request what its caller says: `grpc-timeout`, or `x-request-timeout-ms` in whole milliseconds.
    #[must_use]
    pub fn from_headers() -> Self {
        Self::new(None, Some(REQUEST_TIMEOUT_MS), true)
    }

    /// The same, and the caller's milliseconds are read from `header`.
    #[must_use]
    pub fn header(self, header: HeaderName) -> Self {
        Self { header: Some(header), ..self }
    }

    /// The same, and `grpc-timeout` is read.
    #[must_use]
    pub fn grpc_timeout(self) -> Self {
        Self { grpc: true, ..self }
    }

    /// The same, with at most `total` for a request.
    ///
    /// # Errors
    /// When `total` is zero.
    pub fn at_most(self, total: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!total.is_zero(), "total", total, "above zero")?;
        Ok(Self { total: Some(total), ..self })
    }

    /// The same, named for metrics and events. The default is `deadline`.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { limit: unlimited(name), ..self }
    }

    fn new(total: Option<Duration>, header: Option<HeaderName>, grpc: bool) -> Self {
        Self { total, header, grpc, limit: unlimited("deadline") }
    }

    /// What the total and the headers leave, the least of it.
    fn allowance(&self, headers: &HeaderMap) -> Option<Duration> {
        let named = self.header.iter().flat_map(|header| headers.get_all(header)).filter_map(parse_timeout_ms);
        let grpc =
            self.grpc.then(|| headers.get_all(GRPC_TIMEOUT)).into_iter().flatten().filter_map(parse_grpc_timeout);
        self.total.into_iter().chain(named).chain(grpc).min()
    }

    /// Puts the request's deadline into its extensions, where there is one, and says whether the request comes too late.
    fn admit<B>(&self, request: &mut Request<B>) -> (Watch, bool) {
        let standing = request.extensions().get::<Deadline>().copied();
        let allowance = self.allowance(request.headers());
        if allowance.is_none() && standing.is_none() {
            return (Watch::new(self.limit.lane(), None, false), false);
        }
        let now = CLOCK.now();
        let allowed = allowance.map(|allowance| Deadline::after(now, allowance));
        let deadline = standing.into_iter().chain(allowed).min().expect("at least one of them is there");
        request.extensions_mut().insert(deadline);
        let mut watch = Watch::new(self.limit.lane(), Some(deadline), false);
        let late = watch.refuse_at(deadline, now);
        (watch, late)
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner, layer: self.clone() }
    }
}

fn unlimited(name: impl Into<Arc<str>>) -> TimeLimit {
    TimeLimit::without_gauge(&LimitConfig::from(Rule::Unlimited).named(name))
}

/// The service of [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>>,
    S::Error: From<Elapsed>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (watch, late) = self.layer.admit(&mut request);
        let timed = if late { Timed::refused(watch) } else { Timed::new(self.inner.call(request), watch) };
        DeadlineFuture { timed }
    }
}

pin_project! {
    /// The future of [`DeadlineService`].
    pub struct DeadlineFuture<F> {
        #[pin]
        timed: Timed<F>,
    }
}

impl<F, T, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Elapsed>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nothing is learned here, so nobody asks for the verdict.
        match ready!(self.project().timed.poll_judged(cx, |_| Verdict::Ignored)) {
            Ok(output) => Poll::Ready(output),
            Err(elapsed) => Poll::Ready(Err(elapsed.into())),
        }
    }
}

impl<F> fmt::Debug for DeadlineFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineFuture").field("timed", &self.timed).finish()
    }
}
