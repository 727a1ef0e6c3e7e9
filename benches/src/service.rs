//! The inner services: ready at once, and as cheap as can be.

use std::{error::Error, future::Future, hint::black_box, pin::Pin};

use steadfast_breaker::CircuitOpen;
use steadfast_core::Failure;
use steadfast_timeout::Elapsed;
use tower::{BoxError, Service, service_fn};

/// An error that a user would write, small and without an allocation: for the services that fail or
/// are refused.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Fault {
    /// The service's own failure.
    #[error("the service failed")]
    Service,
    /// Refused by a circuit.
    #[error("circuit open")]
    Open,
    /// Given up by a timeout.
    #[error("timed out")]
    Elapsed,
}

impl From<CircuitOpen> for Fault {
    #[inline]
    fn from(_: CircuitOpen) -> Self {
        Self::Open
    }
}

impl From<Elapsed> for Fault {
    #[inline]
    fn from(_: Elapsed) -> Self {
        Self::Elapsed
    }
}

impl Failure for Fault {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

/// Answers each request with itself, at once: an asynchronous function whose error is tower's own,
/// as most services are.
///
/// A future that holds a finished result would be copied out of the caller's memory piece by piece,
/// and that time put down to the layer.
pub(crate) fn bare() -> impl Inner<BoxError> {
    bare_with()
}

/// The same, with an error of any type.
pub(crate) fn bare_with<E: 'static>() -> impl Inner<E> {
    service_fn(|request| async move { Ok::<_, E>(request) })
}

/// The same again, of a type of its own for each `USE`: what is built over it is compiled for that
/// use alone. Code that two uses shared would be called from both, and so be inlined in neither.
pub(crate) fn bare_for<E: 'static, const USE: usize>() -> impl Inner<E> {
    service_fn(|request| async move { Ok::<_, E>(request) })
}

/// Fails each call, or each of so many calls of a handle.
pub(crate) fn failing(every: u32) -> impl Inner<Fault> {
    let mut calls = 0;
    service_fn(move |request| {
        calls += 1;
        let fails = calls == every;
        if fails {
            calls = 0;
        }
        async move { if fails { Err(Fault::Service) } else { Ok(request) } }
    })
}

/// The bare service behind a boxed future, as many middlewares return one.
pub(crate) fn boxed() -> impl Inner<BoxError> {
    service_fn(|request: u64| {
        let future: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { Ok::<_, BoxError>(request) });
        // Seen through, the box would be no box.
        black_box(future)
    })
}

/// What all layers here, ours and others', ask of an inner service.
pub(crate) trait Inner<E>:
    Service<u64, Response = u64, Error = E, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<E, S> Inner<E> for S where
    S: Service<u64, Response = u64, Error = E, Future: Send + 'static> + Clone + Send + 'static
{
}
