//! Telling the next server how much time is left.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request};
use steadfast_core::{
    Deadline,
    http::{
        GRPC_TIMEOUT, REQUEST_TIMEOUT_MS, format_grpc_timeout, parse_grpc_timeout, parse_timeout_ms,
    },
};
use tower_layer::Layer;
use tower_service::Service;

use crate::shared::CLOCK;

/// Writes what is left of a request's deadline into a header on the way out, rounded down: the
/// server never works longer than the caller waits.
///
/// A zero never goes out: gRPC does not allow it, and Envoy reads it as no limit at all. Where
/// less than one unit is left (a millisecond, or a nanosecond of gRPC), or a zero stands in the
/// header already, one unit is written. That is all that is ever rounded up. A request whose
/// deadline has passed is better not sent: a timeout or a [`DeadlineLayer`](crate::DeadlineLayer)
/// further out sees to that.
///
/// A request with no [`Deadline`] in its extensions passes as it is. A header that is already there
/// and asks for less stays. It stands innermost, next to the client, so that the time spent in
/// other layers is taken off.
///
/// ```
/// use std::time::Duration;
/// use http::{Request, Response};
/// use steadfast_core::{Deadline, TimeSource};
/// use steadfast_timeout::PropagateDeadlineLayer;
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let client = PropagateDeadlineLayer::default().layer(service_fn(async |request: Request<()>| {
///     Ok::<_, BoxError>(Response::new(request.headers()["x-request-timeout-ms"].clone()))
/// }));
/// let mut request = Request::new(());
/// let deadline = Deadline::after(TimeSource::Tokio.now(), Duration::from_millis(250));
/// request.extensions_mut().insert(deadline);
/// assert_eq!(client.oneshot(request).await?.body(), "250");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PropagateDeadlineLayer {
    format: Format,
}

#[derive(Clone, Debug)]
enum Format {
    Milliseconds(HeaderName),
    Grpc,
}

impl PropagateDeadlineLayer {
    /// Writes whole milliseconds to `x-request-timeout-ms`.
    #[must_use]
    pub const fn new() -> Self {
        Self { format: Format::Milliseconds(REQUEST_TIMEOUT_MS) }
    }

    /// Writes whole milliseconds to `header` instead.
    #[must_use]
    pub fn header(self, header: HeaderName) -> Self {
        Self { format: Format::Milliseconds(header) }
    }

    /// Writes `grpc-timeout` instead.
    #[must_use]
    pub fn grpc_timeout(self) -> Self {
        Self { format: Format::Grpc }
    }
}

impl Default for PropagateDeadlineLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for PropagateDeadlineLayer {
    type Service = PropagateDeadline<S>;

    fn layer(&self, inner: S) -> PropagateDeadline<S> {
        PropagateDeadline { inner, layer: self.clone() }
    }
}

/// The service of [`PropagateDeadlineLayer`].
#[derive(Clone, Debug)]
pub struct PropagateDeadline<S> {
    inner: S,
    layer: PropagateDeadlineLayer,
}

impl<S> PropagateDeadline<S> {
    /// The service behind.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind, which is told of no deadline.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for PropagateDeadline<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(deadline) = request.extensions().get::<Deadline>() {
            let left = deadline.remaining(CLOCK.now());
            self.layer.format.write(&mut request, left);
        }
        self.inner.call(request)
    }
}

impl Format {
    fn write<B>(&self, request: &mut Request<B>, left: Duration) {
        let name = self.name();
        let standing =
            request.headers().get_all(&name).iter().filter_map(|value| self.parse(value)).min();
        let value = self.format(standing.map_or(left, |standing| standing.min(left)));
        request.headers_mut().insert(name, value);
    }

    fn name(&self) -> HeaderName {
        match self {
            Self::Milliseconds(header) => header.clone(),
            Self::Grpc => GRPC_TIMEOUT,
        }
    }

    fn parse(&self, value: &HeaderValue) -> Option<Duration> {
        match self {
            Self::Milliseconds(_) => parse_timeout_ms(value),
            Self::Grpc => parse_grpc_timeout(value),
        }
    }

    fn format(&self, left: Duration) -> HeaderValue {
        match self {
            Self::Milliseconds(_) => {
                HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1))
            }
            Self::Grpc => format_grpc_timeout(left),
        }
    }
}
