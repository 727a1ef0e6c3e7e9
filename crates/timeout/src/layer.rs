//! The layer.

use std::{sync::Arc, time::Duration};

use steadfast_core::{ConfigError, DefaultClassifier, NoContext};
use tower_layer::Layer;

use crate::{LimitConfig, TimeLimit, Timeout};

/// Gives a request up when it has waited for its limit: fixed, or measured from the latency of those before it.
///
/// `C` judges outcomes: only the latencies of successes are samples. `X` tells a request's deadline and whether it is a
/// retry. `L` chooses the limit: one for all, or one for each key.
///
/// The limit lives in the layer. Clones of the layer and all services made from them share it, so that a server that
/// applies the layer for each route or connection still learns from all of them.
///
/// A request that is refused because its deadline has passed is not passed on, and the inner service stays ready: what it holds for that, such
/// as a permit of a concurrency limit, stays with the handle until its next call, or until the handle is dropped.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer<C = DefaultClassifier, X = NoContext, L = TimeLimit> {
    pub(crate) limits: L,
    pub(crate) classifier: C,
    pub(crate) context: X,
}

impl TimeoutLayer {
    /// Gives every request `limit`.
    ///
    /// # Errors
    /// When `limit` is zero.
    pub fn fixed(limit: Duration) -> Result<Self, ConfigError> {
        LimitConfig::fixed(limit).map(|config| Self::new(config.into()))
    }

    /// Gives a request twice the 99 % quantile of the last minute's latencies, within the bounds.
    ///
    /// # Errors
    /// When the floor is zero or above the ceiling, or the ceiling above an hour.
    pub fn adaptive(floor: Duration, ceiling: Duration) -> Result<Self, ConfigError> {
        LimitConfig::adaptive(floor, ceiling).map(|config| Self::new(config.into()))
    }
}

impl<L> TimeoutLayer<DefaultClassifier, NoContext, L> {
    /// Gives a request the limit that `limits` chooses for it.
    #[must_use]
    pub const fn new(limits: L) -> Self {
        Self { limits, classifier: DefaultClassifier, context: NoContext }
    }
}

impl<C, X, L> TimeoutLayer<C, X, L> {
    /// The same, with outcomes judged by `classifier`.
    #[must_use]
    pub fn classify<C2>(self, classifier: C2) -> TimeoutLayer<C2, X, L> {
        TimeoutLayer { limits: self.limits, classifier, context: self.context }
    }

    /// The same, with deadline and attempt told by `context`. A closure `Fn(&Req) -> Option<Deadline>` will do.
    ///
    /// A retry layer further out needs the same context. A request refused for its deadline was not executed, and may
    /// be sent again for all the refusal says: that there is no time left for it, only its deadline tells.
    #[must_use]
    pub fn context<X2>(self, context: X2) -> TimeoutLayer<C, X2, L> {
        TimeoutLayer { limits: self.limits, classifier: self.classifier, context }
    }

    /// The same for HTTP: deadline and attempt from the request's extensions, outcomes judged by their status. A classifier of
    /// your own comes after it.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> TimeoutLayer<steadfast_core::http::HttpClassifier, steadfast_core::http::HttpContext, L> {
        self.classify(steadfast_core::http::HttpClassifier).context(steadfast_core::http::HttpContext)
    }

    /// The same for gRPC: deadline and attempt from the request's extensions, outcomes judged by their status. A classifier of
    /// your own comes after it.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> TimeoutLayer<steadfast_core::tonic::GrpcClassifier, steadfast_core::http::HttpContext, L> {
        self.classify(steadfast_core::tonic::GrpcClassifier).context(steadfast_core::http::HttpContext)
    }

    /// What chooses the limit: the [`TimeLimit`] itself, unless there are several.
    #[must_use]
    pub const fn limits(&self) -> &L {
        &self.limits
    }
}

impl<C, X> TimeoutLayer<C, X> {
    /// The same, named for metrics and events. The default is `default`.
    ///
    /// The limit itself stays the one it was, shared with all that was made from it before.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { limits: self.limits.named(name), ..self }
    }
}

impl From<TimeLimit> for TimeoutLayer {
    fn from(limit: TimeLimit) -> Self {
        Self::new(limit)
    }
}

impl<S, C, X, L> Layer<S> for TimeoutLayer<C, X, L>
where
    Self: Clone,
{
    type Service = Timeout<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(inner, self.clone())
    }
}
