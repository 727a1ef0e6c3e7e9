//! The service.

use std::task::{Context, Poll};

use tower_service::Service;

use crate::{
    Carry, Describe, Fault, FaultFuture, FaultLayer, Injection, Plain, Protocol, Struck,
    delivery::Delivery,
};

/// A service whose requests meet faults; `L` is the layer that made it.
///
/// A request that passes is called on the instance that was made ready, where it stands, and so is
/// one that is executed at once. The inner service is cloned only for requests that are struck: one
/// that is queued or duplicated needs an instance later, which is made ready then, and one that is
/// never delivered leaves a clone in place of the instance that was made ready for it, so that a
/// permit it holds is given back.
#[derive(Clone, Debug)]
pub struct FaultService<S, L = FaultLayer<Plain>> {
    inner: S,
    layer: L,
}

impl<S, L> FaultService<S, L> {
    /// Lets requests to `inner` meet faults as `layer` says.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, X, D, Req> Service<Req> for FaultService<S, FaultLayer<P, X, D>>
where
    S: Service<Req> + Clone,
    P: Protocol<Req, S::Response, S::Error> + Clone,
    X: Describe<Req>,
    D: Carry<Struck<S, P, Req>>,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = FaultFuture<S::Future, D::Future, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Always, as is the future's `poll`: at a second call site the compiler would not inline it by
    // itself, and the future would come back through memory, at 8 ns a call.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let injection = if self.layer.faults.is_off() { None } else { self.layer.decide(&request) };
        match injection {
            None => FaultFuture::passing(self.inner.call(request)),
            Some(injection) => FaultFuture::struck(self.strike(request, *injection)),
        }
    }
}

impl<S, P, X, D> FaultService<S, FaultLayer<P, X, D>> {
    /// The rest of the way of a request that is struck. None for one that is lost.
    ///
    /// What it returns fits into a register. A whole future would not, and that of a request that
    /// passes would be built in memory with it.
    #[cold]
    #[inline(never)]
    fn strike<Req>(&mut self, request: Req, injection: Injection) -> Option<D::Future>
    where
        S: Service<Req> + Clone,
        P: Protocol<Req, S::Response, S::Error> + Clone,
        D: Carry<Struck<S, P, Req>>,
    {
        let fault = injection.strike().fault;
        let protocol = self.layer.protocol.clone();
        let (struck, goes_on) = match fault {
            Fault::RequestLost => {
                self.give_up_readiness();
                injection.done();
                return None;
            }
            Fault::CrashedBefore | Fault::Error => {
                self.give_up_readiness();
                (Struck::new(injection, protocol).settled(), false)
            }
            Fault::Queued(delay) => {
                self.give_up_readiness();
                let service = self.inner.clone();
                (Struck::new(injection, protocol).settled().queued(delay, service, request), true)
            }
            Fault::Duplicated => {
                let copy = protocol.duplicate(&request);
                let second = copy.map(|copy| Delivery::waiting(self.inner.clone(), copy));
                let first = Delivery::called(self.inner.call(request));
                let struck = Struck::new(injection, protocol).first(first);
                match second {
                    Some(second) => (struck.second(second), true),
                    None => (struck.skipped(), false),
                }
            }
            Fault::Busy(_) | Fault::ReplyLost | Fault::ReplyLate(_) => {
                let first = Delivery::called(self.inner.call(request));
                (Struck::new(injection, protocol).first(first), true)
            }
            Fault::BitFlipped | Fault::BodyCut | Fault::SlowBody(_) | Fault::Byzantine => {
                let first = Delivery::called(self.inner.call(request));
                (Struck::new(injection, protocol).first(first), false)
            }
        };
        Some(self.layer.carry.carry(struck, goes_on))
    }

    /// A handle that was made ready and is not called would keep what it has reserved.
    fn give_up_readiness(&mut self)
    where
        S: Clone,
    {
        self.inner = self.inner.clone();
    }
}
