//! Layers over a service whose error type is foreign.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::Error;

/// Wraps a stack of layers so that it fits round a service with any error type `E`: the error
/// becomes [`Error<E>`](crate::Error), either a layer's refusal or the service's own.
///
/// A `ServiceBuilder` is a layer, so the whole stack goes in at once.
///
/// ```
/// use std::io;
/// use steadfast_core::guard;
/// use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let stack = ServiceBuilder::new(); // .layer(a breaker).layer(a timeout) …
/// let service = guard(stack).layer(service_fn(|n: u32| async move { Ok::<_, io::Error>(n + 1) }));
/// let answer: Result<u32, steadfast_core::Error<io::Error>> = service.oneshot(1).await;
/// assert_eq!(answer.unwrap(), 2);
/// # });
/// ```
pub const fn guard<L>(stack: L) -> Guard<L> {
    Guard { stack }
}

/// The layer made by [`guard`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Guard<L> {
    stack: L,
}

impl<L, S> Layer<S> for Guard<L>
where
    L: Layer<MapErr<S>>,
{
    type Service = L::Service;

    fn layer(&self, service: S) -> Self::Service {
        self.stack.layer(MapErr { inner: service })
    }
}

/// The innermost service of a guarded stack: the guarded service, whose error becomes
/// [`Error::Service`].
#[derive(Clone, Copy, Debug)]
pub struct MapErr<S> {
    inner: S,
}

impl<S> MapErr<S> {
    /// The inner service.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service itself.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for MapErr<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = MapErrFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Service)
    }

    // Always, as is `poll`: out of line, the future and the result would go through memory, at 5 ns
    // a call.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        MapErrFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`MapErr`].
    #[derive(Debug)]
    pub struct MapErrFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, T, E> Future for MapErrFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).map_err(Error::Service))
    }
}
