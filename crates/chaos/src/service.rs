//! The service.

use std::task::{Context, Poll};

use tower_service::Service;

use crate::{Facts, Fault, FaultFuture, FaultLayer, Plain, Protocol};

/// A service whose requests meet faults.
#[derive(Clone, Debug)]
pub struct FaultService<S, L = FaultLayer<Plain>> {
    pub(crate) inner: S,
    pub(crate) layer: L,
}

impl<S, P, Req> Service<Req> for FaultService<S, FaultLayer<P>>
where
    S: Service<Req>,
    P: Protocol<Req, S::Response, S::Error> + Clone,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = FaultFuture<S::Future, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let FaultLayer { faults, protocol } = &self.layer;
        let strike = if faults.is_off() { None } else { faults.decide(&Facts::default()) };
        match strike.map(|strike| strike.fault) {
            Some(Fault::RequestLost) => FaultFuture::lost(protocol.clone()),
            _ => FaultFuture::pass(self.inner.call(request), protocol.clone()),
        }
    }
}
