//! The server's side.

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

/// Stamps a request when it comes in and its response when it goes out, on a server.
///
/// A request's stamp is read from a header, `x-hlc` by default, and adopted: what the handler
/// stamps from then on is above all that its caller had stamped. The handler finds a
/// [`Received`](crate::Received) in the request's extensions. The response's header carries a new
/// stamp, in place of any that is there.
///
/// | the request carries | the clock | |
/// |---|---|---|
/// | a stamp | [updates](HybridClock::update) | |
/// | none, or nothing that can be read | [ticks](HybridClock::tick) | no caller fails by garbage; counted `malformed` |
/// | several, in one value with commas or in more | updates with the newest that can be read | |
/// | a stamp too far ahead | adopts nothing | [refused](StampRefused), or [ignored](crate::TooFarAhead) and ticked |
///
/// A request that is refused is not passed on, and the inner service stays ready: what it reserved
/// for the call, such as a permit of a concurrency limit, stays with the handle until its next call
/// or its drop. Refusals and other errors of the service carry no stamp. A future that is dropped
/// leaves the clock with the stamps it has given out, which harms nothing.
///
/// **Where it stands.** Outside of breakers and detectors on the server: a refusal says that this
/// node is unavailable, which others are to count, and nothing of the service behind the layer.
///
/// **Who may send a stamp.** Every sender of the header can push this clock ahead of its wall
/// clock, by up to [`max_drift`](crate::HlcConfig::max_drift). Use the layer between nodes that
/// trust each other's clocks; where requests come from outside, strip the header at the edge.
///
/// **Bodies.** Stamps stand in heads. What a handler does while its response's body streams happens
/// after the stamp of that response.
///
/// **Clocks that store.** A [`PersistentHlc`](crate::PersistentHlc) waits for its store now and
/// then, on the thread that polls: keep it [ahead](crate::PersistentHlc::keep_ahead) from another,
/// as a `Keeper` does.
/// When its store fails, requests are refused: before the call, or after it when the response
/// cannot be stamped.
///
/// ```
/// use http::{Request, Response};
/// use steadfast_clock::{Hlc, HlcLayer, PropagateHlcLayer, Received};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let (here, there) = (Hlc::default(), Hlc::default());
///
/// let handler = service_fn(|request: Request<()>| async move {
///     let received = request.extensions().get::<Received>().copied();
///     Ok::<_, BoxError>(Response::new(received))
/// });
/// let server = HlcLayer::new(there).layer(handler);
/// // In a real program there is a network in between.
/// let client = PropagateHlcLayer::new(here.clone()).layer(server);
///
/// let before = here.tick();
/// let response = client.oneshot(Request::new(())).await?;
/// let on_the_server = response.body().unwrap();
/// let answer = response.extensions().get::<Received>().unwrap();
/// assert!(before < on_the_server.sent.unwrap());
/// assert!(on_the_server.at < answer.sent.unwrap() && answer.at < here.tick());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HlcLayer<K = Hlc> {
    stamper: Arc<Stamper<K>>,
}

impl<K: HybridClock> HlcLayer<K> {
    /// Stamps with `clock`, in `x-hlc`, and refuses what is too far ahead. From a [`Propagation`]
    /// it takes another header, or ignores such stamps.
    #[must_use]
    pub fn new(clock: K) -> Self {
        Propagation::new(clock).into()
    }
}

impl<K> HlcLayer<K> {
    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &K {
        self.stamper.clock()
    }
}

impl<K: HybridClock> From<Propagation<K>> for HlcLayer<K> {
    fn from(propagation: Propagation<K>) -> Self {
        Self { stamper: Arc::new(Stamper::new(propagation)) }
    }
}

impl<S, K: Clone> Layer<S> for HlcLayer<K> {
    type Service = HlcService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        // A count of its own: axum makes a service for each connection.
        HlcService { inner, layer: Self { stamper: Arc::new(Stamper::clone(&self.stamper)) } }
    }
}

/// The service of [`HlcLayer`].
///
/// Readiness is the inner service's own.
#[derive(Clone, Debug)]
pub struct HlcService<S, L = HlcLayer> {
    inner: S,
    layer: L,
}

impl<S, L> HlcService<S, L> {
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

impl<S, B, R, K> Service<Request<B>> for HlcService<S, HlcLayer<K>>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<StampRefused>,
    K: HybridClock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HlcFuture<S::Future, K>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let stamper = Arc::clone(&self.layer.stamper);
        let admission = match stamper.receive(request.headers()) {
            Ok(received) => {
                request.extensions_mut().insert(received);
                Admission::Called { inner: self.inner.call(request) }
            }
            Err(fault) => Admission::Refused { refused: StampRefused::before_the_call(fault) },
        };
        HlcFuture { admission, stamper }
    }
}

pin_project! {
    /// The future of [`HlcService`].
    #[derive(Debug)]
    pub struct HlcFuture<F, K = Hlc> {
        #[pin]
        admission: Admission<F>,
        stamper: Arc<Stamper<K>>,
    }
}

impl<F, R, E, K> Future for HlcFuture<F, K>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: From<StampRefused>,
    K: HybridClock,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.admission.poll(cx))?;
        this.stamper.send(response.headers_mut()).map_err(StampRefused::after_the_call)?;
        Poll::Ready(Ok(response))
    }
}
