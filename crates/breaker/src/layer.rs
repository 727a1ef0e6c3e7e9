//! The layer.

use steadfast_core::DefaultClassifier;
use tower_layer::Layer;

use crate::{circuit::Circuit, service::Breaker, until::AtHead};

/// Puts a service behind a circuit, which all services made by this layer and its clones share.
///
/// Generic over the classifier `C`, of which [`DefaultClassifier`] counts every response as a
/// success and every error as a failure unless it says otherwise, and over what chooses the circuit
/// of a request: `H` is a [`Circuit`], the `PerKey` made by
/// [`Circuit::per_key`](Circuit#method.per_key), or your own [`Select`](steadfast_core::Select).
/// `U` is until when an answer is judged: at its head, unless
/// [`until_end`](BreakerLayer#method.until_end) says otherwise.
///
/// ```
/// use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let stock = Circuit::new(CircuitConfig::new().named("stock"))?;
/// let layer = BreakerLayer::new(stock.clone());
/// let service = layer.layer(service_fn(async |n: u32| Ok::<_, BoxError>(n + 1)));
/// assert_eq!(service.clone().oneshot(1).await?, 2);
/// stock.force_open();
/// assert!(service.oneshot(1).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BreakerLayer<C = DefaultClassifier, H = Circuit, U = AtHead> {
    pub(crate) handle: H,
    pub(crate) classifier: C,
    until: U,
}

impl<H> BreakerLayer<DefaultClassifier, H> {
    /// Puts services behind the circuit that `handle` is, or that it chooses for each request.
    #[must_use]
    pub const fn new(handle: H) -> Self {
        Self { handle, classifier: DefaultClassifier, until: AtHead }
    }
}

impl<C, H, U> BreakerLayer<C, H, U> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<D, H, U> {
        BreakerLayer { handle: self.handle, classifier, until: self.until }
    }

    /// Judges HTTP responses by their status.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> BreakerLayer<steadfast_core::http::HttpClassifier, H, U> {
        self.classify(steadfast_core::http::HttpClassifier)
    }

    /// Judges gRPC responses by their status.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> BreakerLayer<steadfast_core::tonic::GrpcClassifier, H, U> {
        self.classify(steadfast_core::tonic::GrpcClassifier)
    }

    /// Judges an answer until the end of its body, which then is a
    /// [`WatchedBody`](crate::WatchedBody). The classifier must know ends, as those of HTTP and
    /// gRPC do: [`ClassifyEnd`](steadfast_core::http::ClassifyEnd).
    ///
    /// The head counts as it comes, as ever. **A bad end within the
    /// [horizon](crate::CircuitConfig::horizon) turns one success into a failure**: the body's
    /// error or panic, on gRPC a bad status in the trailers or an end without one. All else says
    /// nothing: a good end, a body that is dropped or not read, an end beyond the horizon. A bad
    /// head, or one of an answer without a body, is settled as it comes. Slow calls are measured to
    /// the head. A good head ends the failures in a row: they do not see bodies.
    ///
    /// A probe waits for its end, for at most the horizon; then its head counts. One that is
    /// dropped while a frame is awaited gives its place back.
    ///
    /// Nothing is held back, and no timer is armed: a body that never ends and never fails is none
    /// of its business. Costs a look at the clock for each answer. What stands behind
    /// `grpc().until_end()` must be gRPC alone: any other answer ends without a status.
    ///
    /// ```
    /// use steadfast_breaker::{AtEnd, BreakerLayer, Circuit};
    /// use steadfast_core::http::HttpClassifier;
    ///
    /// let layer: BreakerLayer<HttpClassifier, Circuit, AtEnd> =
    ///     BreakerLayer::default().http().until_end();
    /// # let _ = layer;
    /// ```
    #[cfg(feature = "http")]
    #[must_use]
    pub fn until_end(self) -> BreakerLayer<C, H, crate::AtEnd> {
        BreakerLayer { handle: self.handle, classifier: self.classifier, until: crate::AtEnd }
    }

    /// The circuit, or what chooses it.
    #[must_use]
    pub const fn handle(&self) -> &H {
        &self.handle
    }
}

impl Default for BreakerLayer {
    /// A circuit with the defaults of [`CircuitConfig`](crate::CircuitConfig).
    fn default() -> Self {
        Self::new(Circuit::default())
    }
}

impl<S, C: Clone, H: Clone, U: Clone> Layer<S> for BreakerLayer<C, H, U> {
    type Service = Breaker<S, Self>;

    fn layer(&self, inner: S) -> Breaker<S, Self> {
        Breaker::new(inner, self.clone())
    }
}
