//! The total deadline of a request.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Request};
use steadfast_core::{
    ConfigError, Deadline, EveryError, HandleName,
    http::{GRPC_TIMEOUT, REQUEST_TIMEOUT_MS, parse_grpc_timeout, parse_timeout_ms},
    parts::{Lane, Striped},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    call::Call,
    error::Elapsed,
    future::ResponseFuture,
    shared::{CLOCK, Shared},
    telemetry::Telemetry,
};

/// Sets the deadline of a request, keeps it, and leaves it in the request's extensions for the
/// layers further in.
///
/// The deadline is the nearest of: the configured total, what the caller's headers leave, and a
/// [`Deadline`] that is already in the extensions. With none of them the request passes as it is.
/// When it has passed, the request is refused before the service is called; when it passes while
/// the service works, the service's future is dropped.
///
/// A header that cannot be read counts as none: no caller fails by garbage. A zero says that no
/// time is left, and the request is refused: that is how gRPC's servers read it, and what a client
/// sends that rounds down. To Envoy a zero means that there is no limit: do not have its own header
/// read here where clients use it so.
///
/// When a request is refused before the service is called, the service stays ready: what it holds
/// for that, such as a permit of a concurrency limit, stays with the service until its next call,
/// or until it is dropped.
///
/// ```
/// use std::time::Duration;
/// use http::{Request, Response};
/// use steadfast_timeout::{DeadlineConfig, DeadlineLayer, Elapsed};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let config = DeadlineConfig::new().total(Duration::from_secs(5)).headers();
/// let service = DeadlineLayer::new(config)?.layer(service_fn(async |_: Request<()>| {
///     tokio::time::sleep(Duration::from_secs(1)).await;
///     Ok::<_, BoxError>(Response::new(()))
/// }));
/// service.clone().oneshot(Request::new(())).await?;
/// // A caller that waits for a quarter of a second.
/// let request = Request::builder().header("x-request-timeout-ms", "250").body(())?;
/// assert!(service.oneshot(request).await.unwrap_err().is::<Elapsed>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DeadlineLayer {
    config: DeadlineConfig,
    endless: Striped<Shared>,
}

/// Where a request's deadline comes from. With nothing set, only a [`Deadline`] that is already in
/// the extensions counts.
#[derive(Clone, Debug, Default)]
#[must_use = "a configuration does nothing until a layer is made of it"]
pub struct DeadlineConfig {
    total: Option<Duration>,
    header: Option<HeaderName>,
    grpc_timeout: bool,
    name: Option<Arc<str>>,
}

impl DeadlineConfig {
    /// With nothing set.
    pub const fn new() -> Self {
        Self { total: None, header: None, grpc_timeout: false, name: None }
    }

    /// Gives every request at most `total`, which must be above zero.
    pub const fn total(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// Reads what the caller says: `grpc-timeout`, and `x-request-timeout-ms` in whole
    /// milliseconds.
    pub fn headers(self) -> Self {
        self.header(REQUEST_TIMEOUT_MS).grpc_timeout()
    }

    /// Reads the caller's whole milliseconds from `header`.
    pub fn header(mut self, header: HeaderName) -> Self {
        self.header = Some(header);
        self
    }

    /// Reads the caller's `grpc-timeout`.
    pub const fn grpc_timeout(mut self) -> Self {
        self.grpc_timeout = true;
        self
    }

    /// The name that labels metrics and events. The default is `deadline`.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl DeadlineLayer {
    /// Keeps deadlines as `config` says.
    ///
    /// # Errors
    /// When the total is zero.
    pub fn new(mut config: DeadlineConfig) -> Result<Self, ConfigError> {
        let total = config.total.unwrap_or(Duration::MAX);
        ConfigError::require(!total.is_zero(), "total", total, "above zero")?;
        let handle = config.name.as_deref().and_then(HandleName::new);
        let name = config.name.take().unwrap_or_else(|| Arc::from("deadline"));
        // No gauge shows it: only deadlines end these calls.
        let telemetry = Arc::new(Telemetry::new(Some(name), false).refusing_as(handle));
        let endless = Striped::new(|_| Shared::only_deadlines(telemetry));
        Ok(Self { config, endless })
    }

    /// What the total and the headers leave, the least of it.
    fn allowance(&self, headers: &HeaderMap) -> Option<Duration> {
        let DeadlineConfig { total, header, grpc_timeout, .. } = &self.config;
        let named =
            header.iter().flat_map(|header| headers.get_all(header)).filter_map(parse_timeout_ms);
        let grpc = grpc_timeout
            .then(|| headers.get_all(GRPC_TIMEOUT))
            .into_iter()
            .flatten()
            .filter_map(parse_grpc_timeout);
        total.iter().copied().chain(named).chain(grpc).min()
    }

    /// Puts the request's deadline into its extensions, where there is one. `None` when the request
    /// comes too late.
    fn admit<B>(&self, request: &mut Request<B>) -> Option<Call> {
        let standing = request.extensions().get::<Deadline>().copied();
        let allowance = self.allowance(request.headers());
        if allowance.is_none() && standing.is_none() {
            return Some(Call::new(self.lane(), None, false));
        }
        let now = CLOCK.now();
        let allowed = allowance.map(|allowance| Deadline::after(now, allowance));
        let deadline =
            standing.into_iter().chain(allowed).min().expect("at least one of them is there");
        request.extensions_mut().insert(deadline);
        (!deadline.has_passed(now)).then(|| Call::new(self.lane(), Some(deadline), false))
    }

    fn lane(&self) -> Arc<Lane<Shared>> {
        Arc::clone(self.endless.lane())
    }
}

impl fmt::Debug for DeadlineLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineLayer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner, layer: self.clone() }
    }
}

/// The service of [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> DeadlineService<S> {
    /// The service behind.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind, which keeps no deadlines.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>>,
    S::Error: From<Elapsed>,
{
    type Response = S::Response;
    type Error = S::Error;
    // Nothing is learned here, so no classifier is asked.
    type Future = ResponseFuture<S::Future, EveryError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.admit(&mut request) {
            Some(call) => ResponseFuture::new(self.inner.call(request), call, EveryError),
            None => ResponseFuture::refused(self.layer.lane(), EveryError),
        }
    }
}
