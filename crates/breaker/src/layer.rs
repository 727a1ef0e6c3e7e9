//! The layer.

use steadfast_core::DefaultClassifier;
use tower_layer::Layer;

use crate::{circuit::Circuit, service::Breaker};

/// Puts a service behind a circuit, which all services made by this layer and its clones share.
///
/// Generic over the classifier `C`, of which [`DefaultClassifier`] counts every response as a
/// success and every error as a failure unless it says otherwise, and over what chooses the circuit
/// of a request: `H` is a [`Circuit`], the `PerKey` made by
/// [`Circuit::per_key`](Circuit#method.per_key), or your own [`Select`](steadfast_core::Select).
#[derive(Clone, Debug)]
pub struct BreakerLayer<C = DefaultClassifier, H = Circuit> {
    pub(crate) handle: H,
    pub(crate) classifier: C,
}

impl<H> BreakerLayer<DefaultClassifier, H> {
    /// Puts services behind the circuit that `handle` is, or that it chooses for each request.
    #[must_use]
    pub const fn new(handle: H) -> Self {
        Self { handle, classifier: DefaultClassifier }
    }
}

impl<C, H> BreakerLayer<C, H> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<D, H> {
        BreakerLayer { handle: self.handle, classifier }
    }

    /// Judges HTTP responses by their status.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> BreakerLayer<steadfast_core::http::HttpClassifier, H> {
        self.classify(steadfast_core::http::HttpClassifier)
    }

    /// Judges gRPC responses by their status.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> BreakerLayer<steadfast_core::tonic::GrpcClassifier, H> {
        self.classify(steadfast_core::tonic::GrpcClassifier)
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

impl<S, C: Clone, H: Clone> Layer<S> for BreakerLayer<C, H> {
    type Service = Breaker<S, Self>;

    fn layer(&self, inner: S) -> Breaker<S, Self> {
        Breaker::new(inner, self.clone())
    }
}
