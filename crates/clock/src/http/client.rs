//! The client's side.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderName, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{StampRefused, TooFarAhead, admission::Admission, propagation::Propagation};
use crate::{Hlc, HybridClock};

/// Stamps a request when it is sent and its response when it arrives, on a client.
///
/// The request's header, `x-hlc` by default, carries a new stamp, in place of any that is there. The response's stamp is read from the same
/// header and adopted: what this node stamps from then on is above all that the server had stamped. A [`Received`](crate::Received) is put into the
/// response's extensions. [`HlcLayer`](crate::HlcLayer) on the server is the other half; what a response may carry, and what the
/// clock does then, is what holds there for a request.
///
/// It stands innermost, next to the client: inside a retry each attempt has a stamp of its own, and a stamp is no older than
/// its message.
///
/// A response whose stamp is too far ahead is dropped and [refused](StampRefused): the request *may have been executed*. With
/// [`TooFarAhead::Ignore`] it goes on. An error of the service passes as it is.
///
/// A request is refused only when the clock is a [`PersistentHlc`](crate::PersistentHlc) whose store fails: it is not sent, and
/// the inner service stays ready for the next call on this handle. When the store fails as the response arrives, the
/// response is refused.
///
/// ```
/// use http::{HeaderName, Request, Response};
/// use steadfast_clock::{Hlc, HlcConfig, PropagateHlcLayer, Received, TooFarAhead};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let clock = Hlc::system(HlcConfig::new().max_drift(std::time::Duration::from_millis(250)))?;
/// let layer = PropagateHlcLayer::new(clock)
///     .header(HeaderName::from_static("x-order"))
///     .too_far_ahead(TooFarAhead::Ignore)
///     .named("inventory");
///
/// // A server that is decades ahead.
/// let server = service_fn(|request: Request<()>| async move {
///     assert!(request.headers().contains_key("x-order"));
///     Ok::<_, BoxError>(Response::builder().header("x-order", "f000000000000000").body(())?)
/// });
/// let response = layer.layer(server).oneshot(Request::new(())).await?;
/// let received = response.extensions().get::<Received>().unwrap();
/// assert!(received.sent.unwrap() > received.at, "it was not adopted");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PropagateHlcLayer<K = Hlc> {
    propagation: Propagation<K>,
}

impl<K: HybridClock> PropagateHlcLayer<K> {
    /// Stamps with `clock`, writes and reads `x-hlc`, and refuses what is too far ahead.
    ///
    /// The clock is a handle: give clients and servers of one process the same.
    #[must_use]
    pub fn new(clock: K) -> Self {
        Self { propagation: Propagation::new(clock) }
    }
}

impl<K> PropagateHlcLayer<K> {
    /// The same, with stamps in `header`. For gRPC it must not end in `-bin`.
    #[must_use]
    pub fn header(self, header: HeaderName) -> Self {
        Self { propagation: Propagation { header, ..self.propagation } }
    }

    /// The same, with this done about responses whose stamp is too far ahead.
    #[must_use]
    pub fn too_far_ahead(self, too_far_ahead: TooFarAhead) -> Self {
        Self { propagation: Propagation { too_far_ahead, ..self.propagation } }
    }

    /// The same, named for metrics and events. The default is `default`.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { propagation: self.propagation.named(name.into()) }
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &K {
        &self.propagation.clock
    }
}

impl<S, K: Clone> Layer<S> for PropagateHlcLayer<K> {
    type Service = PropagateHlc<S, K>;

    fn layer(&self, inner: S) -> PropagateHlc<S, K> {
        PropagateHlc { inner, propagation: Arc::new(self.propagation.clone()) }
    }
}

/// The service of [`PropagateHlcLayer`].
///
/// Readiness is the inner service's own.
#[derive(Clone, Debug)]
pub struct PropagateHlc<S, K = Hlc> {
    inner: S,
    propagation: Arc<Propagation<K>>,
}

impl<S, B, R, K> Service<Request<B>> for PropagateHlc<S, K>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<StampRefused>,
    K: HybridClock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = PropagateHlcFuture<S::Future, K>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let admission = match self.propagation.send(request.headers_mut()) {
            Ok(()) => Admission::Called { inner: self.inner.call(request) },
            Err(fault) => Admission::Refused { refused: StampRefused::before_the_call(fault) },
        };
        PropagateHlcFuture { admission, propagation: Arc::clone(&self.propagation) }
    }
}

pin_project! {
    /// The future of [`PropagateHlc`].
    #[derive(Debug)]
    pub struct PropagateHlcFuture<F, K = Hlc> {
        #[pin]
        admission: Admission<F>,
        propagation: Arc<Propagation<K>>,
    }
}

impl<F, R, E, K> Future for PropagateHlcFuture<F, K>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: From<StampRefused>,
    K: HybridClock,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.admission.poll(cx))?;
        let received = this.propagation.receive(response.headers()).map_err(StampRefused::after_the_call)?;
        response.extensions_mut().insert(received);
        Poll::Ready(Ok(response))
    }
}
