//! Answers as heartbeats.

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use steadfast_core::{Classify, DefaultClassifier, Select};
use tower_layer::Layer;
use tower_service::Service;

use crate::Peer;

/// Takes every answer for a heartbeat of the peer that gave it.
///
/// The classifier `C` says what an answer is ([`Classify::answered`]): a response of any kind, a
/// 503 as well as a 200, and an error that only the peer can have sent. All else says nothing of
/// the peer, neither good nor bad: an error made on the way, the refusal of a layer further in, a
/// timeout or a caller's deadline, a call that was dropped, a panic. Of a peer that is silent
/// nothing needs to be said: silence itself raises the suspicion. On HTTP and gRPC choose
/// [`http`](Self::http) or [`grpc`](Self::grpc), which know the responses that a layer of this
/// process made of a refusal.
///
/// `H` chooses the peer of a request: a [`Peer`], the `PerKey` made by
/// [`Peer::per_key`](Peer#method.per_key), or your own [`Select`].
///
/// An answer counts once, when the response future ends: how long its body streams and how that
/// ends says nothing more.
///
/// Put it as far in as it goes, round the client itself: what happens further out is not the peer's
/// doing. Where answers are the only heartbeats, a peer that is asked nothing grows suspicious; see
/// [`Prober`](crate::Prober).
///
/// ```
/// use steadfast_phi::{DetectorConfig, HeartbeatLayer, Peer, Status};
/// use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let peer = Peer::new(DetectorConfig::default())?;
/// let client = service_fn(async |n: u32| Ok::<_, BoxError>(n + 1));
///
/// let service = ServiceBuilder::new().layer(HeartbeatLayer::new(peer.clone())).service(client);
/// assert_eq!(peer.status(), Status::Unknown);
/// service.oneshot(1).await?;
/// assert_eq!(peer.status(), Status::Trusted);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HeartbeatLayer<C = DefaultClassifier, H = Peer> {
    handle: H,
    classifier: C,
}

impl<H> HeartbeatLayer<DefaultClassifier, H> {
    /// Tells the peer that `handle` is, or that it chooses for each request.
    #[must_use]
    pub const fn new(handle: H) -> Self {
        Self { handle, classifier: DefaultClassifier }
    }
}

impl<C, H> HeartbeatLayer<C, H> {
    /// What an answer is, `classifier` says.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> HeartbeatLayer<D, H> {
        HeartbeatLayer { handle: self.handle, classifier }
    }

    /// Every HTTP response is an answer that no layer of this process made of a refusal.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> HeartbeatLayer<steadfast_core::http::HttpClassifier, H> {
        self.classify(steadfast_core::http::HttpClassifier)
    }

    /// Every gRPC status is an answer that the peer itself sent.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> HeartbeatLayer<steadfast_core::tonic::GrpcClassifier, H> {
        self.classify(steadfast_core::tonic::GrpcClassifier)
    }

    /// The peer, or what chooses it.
    #[must_use]
    pub const fn handle(&self) -> &H {
        &self.handle
    }
}

impl<S, C: Clone, H: Clone> Layer<S> for HeartbeatLayer<C, H> {
    type Service = Heartbeats<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Heartbeats::new(inner, self.clone())
    }
}

/// A service whose answers are heartbeats; `L` is the layer that made it.
#[derive(Clone, Debug)]
pub struct Heartbeats<S, L = HeartbeatLayer> {
    inner: S,
    layer: L,
}

impl<S, L> Heartbeats<S, L> {
    /// Listens to the answers of `inner` as `layer` says.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }

    /// The service that is listened to.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that is listened to, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, H, K, Req> Service<Req> for Heartbeats<S, HeartbeatLayer<C, H>>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error> + Clone,
    H: Select<Req, Handle = Peer<K>>,
    K: Eq + Hash + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HeartbeatsFuture<S::Future, C, K>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let peer = self.layer.handle.select(&request).into_owned();
        let classifier = self.layer.classifier.clone();
        HeartbeatsFuture { inner: self.inner.call(request), peer, classifier }
    }
}

pin_project! {
    /// The future of [`Heartbeats`].
    ///
    /// Dropping it cancels the call, which says nothing of the peer.
    #[must_use = "futures do nothing unless polled"]
    pub struct HeartbeatsFuture<F, C, K = ()> {
        #[pin]
        inner: F,
        peer: Peer<K>,
        classifier: C,
    }
}

impl<F, C, K, Res, Err> Future for HeartbeatsFuture<F, C, K>
where
    F: Future<Output = Result<Res, Err>>,
    C: Classify<Res, Err>,
    K: Eq + Hash + Clone,
{
    type Output = Result<Res, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        if this.classifier.answered(outcome.as_ref()) {
            this.peer.heartbeat();
        }
        Poll::Ready(outcome)
    }
}

impl<F, C, K> fmt::Debug for HeartbeatsFuture<F, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeartbeatsFuture").field("peer", &self.peer).finish_non_exhaustive()
    }
}
