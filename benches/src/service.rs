//! The inner services: ready at once, and as cheap as can be.

use std::{
    error::Error,
    future::{Future, Ready, ready},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use steadfast_breaker::CircuitOpen;
use steadfast_core::Failure;
use steadfast_timeout::Elapsed;
use tower::Service;

/// The services' error: an enum that a user would write, small and without an allocation.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Fault {
    /// The service's own failure.
    #[error("the service failed")]
    Service,
    /// Refused by a circuit.
    #[error(transparent)]
    Open(#[from] CircuitOpen),
    /// Given up by a timeout.
    #[error(transparent)]
    Elapsed(#[from] Elapsed),
}

impl Failure for Fault {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

/// Answers each request with itself.
#[derive(Debug)]
pub struct Bare<E>(PhantomData<fn() -> E>);

impl<E> Bare<E> {
    /// The service.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for Bare<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for Bare<E> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<E> Service<u64> for Bare<E> {
    type Response = u64;
    type Error = E;
    type Future = Ready<Result<u64, E>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// The bare service with the usual error.
pub(crate) const fn bare() -> Bare<Fault> {
    Bare::new()
}

/// Fails each hundredth call of a handle, or all.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    every: u32,
    calls: u32,
}

impl Failing {
    pub(crate) const EACH: Self = Self { every: 1, calls: 0 };
    pub(crate) const HUNDREDTH: Self = Self { every: 100, calls: 0 };
}

impl Service<u64> for Failing {
    type Response = u64;
    type Error = Fault;
    type Future = Ready<Result<u64, Fault>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        self.calls += 1;
        if self.calls < self.every {
            return ready(Ok(request));
        }
        self.calls = 0;
        ready(Err(Fault::Service))
    }
}

/// The bare service behind a boxed future, as many middlewares return one.
#[derive(Clone, Debug)]
pub(crate) struct Boxed(pub(crate) Bare<Fault>);

impl Service<u64> for Boxed {
    type Response = u64;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<u64, Fault>> + Send>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        Box::pin(self.0.call(request))
    }
}
