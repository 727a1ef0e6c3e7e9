//! The layer.

use tower_layer::Layer;

use crate::{FaultService, Faults, Plain};

/// Lets requests meet the faults of a plan.
#[derive(Clone, Debug)]
pub struct FaultLayer<P = Plain> {
    pub(crate) faults: Faults,
    pub(crate) protocol: P,
}

impl FaultLayer {
    /// Those of `faults`, for any service.
    #[must_use]
    pub const fn new(faults: Faults) -> Self {
        Self { faults, protocol: Plain }
    }
}

impl<P> FaultLayer<P> {
    /// Faults in the terms of another protocol.
    #[must_use]
    pub fn protocol<Q>(self, protocol: Q) -> FaultLayer<Q> {
        FaultLayer { faults: self.faults, protocol }
    }
}

impl<S, P: Clone> Layer<S> for FaultLayer<P> {
    type Service = FaultService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        FaultService { inner, layer: self.clone() }
    }
}
