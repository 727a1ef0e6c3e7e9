//! The layer.

use std::time::Duration;

use steadfast_core::{ConfigError, DefaultClassifier, NoContext};
use tower_layer::Layer;

use crate::{LimitConfig, TimeLimit, Timeout};

/// Gives a request up when it has waited for its limit: fixed, or measured from the latency of
/// those before it.
///
/// `C` judges outcomes: only the latencies of successes are samples. `X` tells a request's deadline
/// and whether it is a retry. `H` chooses the limit: one for all, or one for each key.
///
/// The limit lives in the layer. Clones of the layer and all services made from them share it, so
/// that a server that applies the layer for each route or connection still learns from all of them.
///
/// A request that is refused because its deadline has passed is not passed on, and the inner
/// service stays ready: what it holds for that, such as a permit of a concurrency limit, stays with
/// the service until its next call, or until it is dropped.
///
/// ```
/// use std::time::Duration;
/// use steadfast_timeout::{Elapsed, TimeoutLayer};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// // `adaptive(floor, ceiling)` measures; `fixed` is what you say.
/// let layer = TimeoutLayer::fixed(Duration::from_millis(100))?;
/// let service = layer.layer(service_fn(async |latency: Duration| {
///     tokio::time::sleep(latency).await;
///     Ok::<_, BoxError>("answer")
/// }));
/// assert_eq!(service.clone().oneshot(Duration::from_millis(20)).await?, "answer");
/// let error = service.oneshot(Duration::from_secs(60)).await.unwrap_err();
/// assert!(error.is::<Elapsed>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer<C = DefaultClassifier, X = NoContext, H = TimeLimit> {
    pub(crate) handle: H,
    pub(crate) classifier: C,
    pub(crate) context: X,
}

impl TimeoutLayer {
    /// Gives every request `limit`.
    ///
    /// # Errors
    /// When `limit` is zero.
    pub fn fixed(limit: Duration) -> Result<Self, ConfigError> {
        TimeLimit::new(LimitConfig::fixed(limit)).map(Self::new)
    }

    /// Gives a request twice the 99 % quantile of the last minute's latencies, within the bounds:
    /// [`LimitConfig::quantile`] with its defaults.
    ///
    /// # Errors
    /// When the floor is zero or above the ceiling, or the ceiling above an hour.
    pub fn adaptive(floor: Duration, ceiling: Duration) -> Result<Self, ConfigError> {
        TimeLimit::new(LimitConfig::quantile(floor, ceiling)).map(Self::new)
    }
}

impl<H> TimeoutLayer<DefaultClassifier, NoContext, H> {
    /// Gives a request the limit of `handle`: a [`TimeLimit`], or what chooses one for each
    /// request.
    #[must_use]
    pub const fn new(handle: H) -> Self {
        Self { handle, classifier: DefaultClassifier, context: NoContext }
    }
}

impl<C, X, H> TimeoutLayer<C, X, H> {
    /// The same, with outcomes judged by `classifier`.
    #[must_use]
    pub fn classify<C2>(self, classifier: C2) -> TimeoutLayer<C2, X, H> {
        TimeoutLayer { handle: self.handle, classifier, context: self.context }
    }

    /// The same, with deadline and attempt told by `context`. A closure `Fn(&Req) ->
    /// Option<Deadline>` will do.
    ///
    /// What the deadline cuts, counts against the service only where that has shown to be slow or
    /// dead; what comes after its deadline is not sent. See [`Elapsed`](crate::Elapsed).
    #[must_use]
    pub fn context<X2>(self, context: X2) -> TimeoutLayer<C, X2, H> {
        TimeoutLayer { handle: self.handle, classifier: self.classifier, context }
    }

    /// The same for HTTP: deadline and attempt from the request's extensions, outcomes judged by
    /// their status. A classifier of your own comes after it.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(
        self,
    ) -> TimeoutLayer<steadfast_core::http::HttpClassifier, steadfast_core::http::HttpContext, H>
    {
        self.classify(steadfast_core::http::HttpClassifier)
            .context(steadfast_core::http::HttpContext)
    }

    /// The same for gRPC: deadline and attempt from the request's extensions, outcomes judged by
    /// their status. A classifier of your own comes after it.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(
        self,
    ) -> TimeoutLayer<steadfast_core::tonic::GrpcClassifier, steadfast_core::http::HttpContext, H>
    {
        self.classify(steadfast_core::tonic::GrpcClassifier)
            .context(steadfast_core::http::HttpContext)
    }

    /// What the layer was made with: the [`TimeLimit`] itself, unless there are several.
    #[must_use]
    pub const fn handle(&self) -> &H {
        &self.handle
    }
}

impl<S, C, X, H> Layer<S> for TimeoutLayer<C, X, H>
where
    Self: Clone,
{
    type Service = Timeout<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(inner, self.clone())
    }
}
