//! A circuit for each key.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
};

use steadfast_core::{
    Classify, ConfigError, DefaultClassifier,
    parts::{Keyed, Splitter},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{circuit::Circuit, config::BreakerConfig, error::CircuitOpen, future::ResponseFuture};

/// Circuits by key (host, route, tenant), made alike as their keys are first seen, and bounded.
///
/// At the capacity the least used circuit is forgotten, open or not; its key starts afresh, closed. They all share one name
/// in metrics: a key never becomes a label, and the state gauges count circuits by state.
#[derive(Debug)]
pub struct Circuits<K> {
    config: BreakerConfig,
    /// Where the configuration has a seed: a seed for each circuit, or they would all draw the same open times.
    seeds: Option<Arc<Splitter>>,
    circuits: Keyed<K, Circuit>,
}

impl<K: Eq + Hash + Clone> Circuits<K> {
    /// No circuits yet, at most about `capacity` of them.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: BreakerConfig, capacity: NonZeroUsize) -> Result<Self, ConfigError> {
        Circuit::new(config.clone())?;
        let seeds = config.seed.map(|seed| Arc::new(Splitter::seeded(seed)));
        Ok(Self { config, seeds, circuits: Keyed::new(capacity) })
    }

    /// The circuit of `key`.
    #[must_use]
    pub fn circuit(&self, key: &K) -> Circuit {
        self.circuits.get_or_insert_with(key, || self.make())
    }

    fn make(&self) -> Circuit {
        let mut config = self.config.clone();
        config.seed = self.seeds.as_ref().map(|seeds| seeds.split_seed());
        Circuit::new(config).expect("the same configuration was accepted when this was made")
    }

    /// All keys held and their circuits.
    #[must_use]
    pub fn all(&self) -> Vec<(K, Circuit)> {
        self.circuits.entries()
    }
}

impl<K> Clone for Circuits<K> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone(), seeds: self.seeds.clone(), circuits: self.circuits.clone() }
    }
}

/// Puts a service behind the circuit of each request's key, which a function `Fn(&Req) -> K` tells.
///
/// It always refuses in `call`: readiness is asked before the request, and so its key, is known.
#[derive(Clone, Debug)]
pub struct KeyedBreakerLayer<K, F, C = DefaultClassifier> {
    circuits: Circuits<K>,
    key: F,
    classifier: C,
}

impl<K, F> KeyedBreakerLayer<K, F> {
    /// Puts each request behind the circuit that `key` tells.
    #[must_use]
    pub const fn new(circuits: Circuits<K>, key: F) -> Self {
        Self { circuits, key, classifier: DefaultClassifier }
    }
}

impl<K, F, C> KeyedBreakerLayer<K, F, C> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> KeyedBreakerLayer<K, F, D> {
        KeyedBreakerLayer { circuits: self.circuits, key: self.key, classifier }
    }

    /// Judges HTTP responses by their status.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> KeyedBreakerLayer<K, F, steadfast_core::http::HttpClassifier> {
        self.classify(steadfast_core::http::HttpClassifier)
    }

    /// Judges gRPC responses by their status.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> KeyedBreakerLayer<K, F, steadfast_core::tonic::GrpcClassifier> {
        self.classify(steadfast_core::tonic::GrpcClassifier)
    }

    /// The circuits.
    #[must_use]
    pub const fn circuits(&self) -> &Circuits<K> {
        &self.circuits
    }
}

impl<S, K, F, C> Layer<S> for KeyedBreakerLayer<K, F, C>
where
    Self: Clone,
{
    type Service = KeyedBreaker<S, Self>;

    fn layer(&self, inner: S) -> KeyedBreaker<S, Self> {
        KeyedBreaker { inner, layer: self.clone() }
    }
}

/// A service behind a circuit for each key; `L` is the layer that made it.
#[derive(Clone, Debug)]
pub struct KeyedBreaker<S, L> {
    inner: S,
    layer: L,
}

impl<S, K, F, C, Req> Service<Req> for KeyedBreaker<S, KeyedBreakerLayer<K, F, C>>
where
    S: Service<Req>,
    S::Error: From<CircuitOpen>,
    K: Eq + Hash + Clone,
    F: Fn(&Req) -> K,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let circuit = self.layer.circuits.circuit(&(self.layer.key)(&request));
        ResponseFuture::call(&circuit, &mut self.inner, request, self.layer.classifier.clone())
    }
}
