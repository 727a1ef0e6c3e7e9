//! The layer.

use steadfast_core::DefaultClassifier;
use tower_layer::Layer;

use crate::{circuit::Circuit, service::Breaker};

/// Puts a service behind a circuit. Every service made by this layer and its clones shares the one circuit.
///
/// Generic over the classifier; [`DefaultClassifier`] counts every response as a success and every error as a failure.
#[derive(Clone, Debug)]
pub struct BreakerLayer<C = DefaultClassifier> {
    circuit: Circuit,
    classifier: C,
}

impl BreakerLayer {
    /// Puts services behind `circuit`.
    #[must_use]
    pub const fn new(circuit: Circuit) -> Self {
        Self { circuit, classifier: DefaultClassifier }
    }
}

impl<C> BreakerLayer<C> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<D> {
        BreakerLayer { circuit: self.circuit, classifier }
    }

    /// Judges HTTP responses by their status.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> BreakerLayer<steadfast_core::http::HttpClassifier> {
        self.classify(steadfast_core::http::HttpClassifier)
    }

    /// Judges gRPC responses by their status.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> BreakerLayer<steadfast_core::tonic::GrpcClassifier> {
        self.classify(steadfast_core::tonic::GrpcClassifier)
    }

    /// The circuit.
    #[must_use]
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }
}

impl Default for BreakerLayer {
    fn default() -> Self {
        Self::new(Circuit::default())
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = Breaker<S, C>;

    fn layer(&self, inner: S) -> Breaker<S, C> {
        Breaker::new(inner, self.circuit.clone(), self.classifier.clone())
    }
}
