//! The client's side.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    admission::Admission, propagation::Propagation, refused::StampRefused, stamper::Stamper,
};
use crate::{Hlc, HybridClock};

/// Stamps a request when it is sent and its response when it arrives, on a client.
///
/// The request's header, `x-hlc` by default, carries a new stamp, in place of any that is there.
/// The response's stamp is read from the same header and adopted: what this node stamps from then
/// on is above all that the server had stamped. A [`Received`](crate::Received) is put into the
/// response's extensions. [`HlcLayer`](crate::HlcLayer) on the server is the other half; its table
/// of what a message may carry holds for responses here.
///
/// It stands innermost, next to the client: inside a retry each attempt has a stamp of its own.
///
/// A response whose stamp is too far ahead is dropped and [refused](StampRefused): the request *may
/// have been executed*. With [`TooFarAhead::Ignore`](crate::TooFarAhead::Ignore) it goes on. An
/// error of the service passes as it is. With a [`PersistentHlc`](crate::PersistentHlc) whose store
/// fails, a request is refused before it is sent, and the inner service stays ready for the next
/// call on this handle; or its response is refused.
///
/// ```
/// use http::{HeaderName, Request, Response};
/// use steadfast_clock::{Hlc, HlcConfig, PropagateHlcLayer, Propagation, Received, TooFarAhead};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let max_drift = std::time::Duration::from_millis(250);
/// let config = HlcConfig::new().max_drift(max_drift).named("inventory");
/// let propagation = Propagation::new(Hlc::system(config)?)
///     .header(HeaderName::from_static("x-order"))
///     .too_far_ahead(TooFarAhead::Ignore);
/// let layer = PropagateHlcLayer::from(propagation);
///
/// // A server that is decades ahead.
/// let server = service_fn(|request: Request<()>| async move {
///     assert!(request.headers().contains_key("x-order"));
///     Ok::<_, BoxError>(Response::builder().header("x-order", "hlc-f000000000000000").body(())?)
/// });
/// let response = layer.layer(server).oneshot(Request::new(())).await?;
/// let received = response.extensions().get::<Received>().unwrap();
/// assert!(received.sent.unwrap() > received.at, "it was not adopted");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PropagateHlcLayer<K = Hlc> {
    stamper: Arc<Stamper<K>>,
}

impl<K: HybridClock> PropagateHlcLayer<K> {
    /// Stamps with `clock`, in `x-hlc`, and refuses what is too far ahead. From a [`Propagation`]
    /// it takes another header, or ignores such stamps.
    #[must_use]
    pub fn new(clock: K) -> Self {
        Propagation::new(clock).into()
    }
}

impl<K> PropagateHlcLayer<K> {
    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &K {
        self.stamper.clock()
    }
}

impl<K: HybridClock> From<Propagation<K>> for PropagateHlcLayer<K> {
    fn from(propagation: Propagation<K>) -> Self {
        Self { stamper: Arc::new(Stamper::new(propagation)) }
    }
}

impl<S, K: Clone> Layer<S> for PropagateHlcLayer<K> {
    type Service = PropagateHlc<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        // A count of its own: axum makes a service for each connection.
        PropagateHlc { inner, layer: Self { stamper: Arc::new(Stamper::clone(&self.stamper)) } }
    }
}

/// The service of [`PropagateHlcLayer`].
///
/// Readiness is the inner service's own.
#[derive(Clone, Debug)]
pub struct PropagateHlc<S, L = PropagateHlcLayer> {
    inner: S,
    layer: L,
}

impl<S, L> PropagateHlc<S, L> {
    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R, K> Service<Request<B>> for PropagateHlc<S, PropagateHlcLayer<K>>
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
        let stamper = Arc::clone(&self.layer.stamper);
        let admission = match stamper.send(request.headers_mut()) {
            Ok(()) => Admission::Called { inner: self.inner.call(request) },
            Err(fault) => Admission::Refused { refused: StampRefused::before_the_call(fault) },
        };
        PropagateHlcFuture { admission, stamper }
    }
}

pin_project! {
    /// The future of [`PropagateHlc`].
    #[derive(Debug)]
    pub struct PropagateHlcFuture<F, K = Hlc> {
        #[pin]
        admission: Admission<F>,
        stamper: Arc<Stamper<K>>,
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
        let received =
            this.stamper.receive(response.headers()).map_err(StampRefused::after_the_call)?;
        response.extensions_mut().insert(received);
        Poll::Ready(Ok(response))
    }
}
