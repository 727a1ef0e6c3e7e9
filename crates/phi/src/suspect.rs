//! No request for a peer that is taken for dead.

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use steadfast_core::{
    Select,
    parts::{Alarm, Waiter},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Peer, Suspected,
    admission::{Admission, Trial},
    hub::CLOCK,
};

/// Refuses requests to a peer that is convicted, with [`Suspected`], before the service is called.
///
/// One request in each [interval](crate::DetectorConfig::trial_interval) goes through all the
/// same, the first at once: where answers are the only heartbeats, nothing else could clear the
/// peer. A request that a layer further in refuses was a trial as well. A peer that is suspected
/// and not convicted is sent everything, and so is one that was never heard of.
///
/// `H` chooses the peer of a request: a [`Peer`], the `PerKey` made by
/// [`Peer::per_key`](Peer#method.per_key), or your own [`Select`].
///
/// One in a stack, and no more: a second one of the same peer refuses each trial that the first
/// lets through, so that a peer whose only heartbeats are answers is locked out for good.
///
/// Put it outside of breaker and timeout, and inside of a retry: what it refuses never started, the
/// breaker has nothing to count, and the retry knows that nothing was executed.
///
/// ```
/// use std::time::Duration;
/// use steadfast_phi::{DetectorConfig, Peer, Suspected, SuspectLayer};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let peer = Peer::new(DetectorConfig::default())?;
/// let client = service_fn(async |n: u32| Ok::<_, BoxError>(n + 1));
///
/// let service = SuspectLayer::new(peer.clone()).layer(client);
/// for _ in 0..20 {
///     peer.heartbeat();
///     tokio::time::sleep(Duration::from_secs(1)).await;
/// }
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// // A minute of silence. One request goes through on trial, and the next one does not.
/// assert_eq!(service.clone().oneshot(1).await?, 2);
/// assert!(service.oneshot(1).await.unwrap_err().is::<Suspected>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SuspectLayer<H = Peer> {
    handle: H,
    on_convicted: OnConvicted,
}

/// What a service does while its peer is convicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConvicted {
    /// It is ready, and refuses each call at once with [`Suspected`].
    #[default]
    Refuse,
    /// It is not ready until the peer is heard of or the next trial is due, so that a balancer
    /// sends requests elsewhere. What is let through is still decided in `call`: when a trial is
    /// due several handles become ready, and those that find it taken are refused. Never use it
    /// without a balancer: callers would wait in `poll_ready`. Not for peers by key: readiness is
    /// asked before the key is known.
    NotReady,
}

impl<H> SuspectLayer<H> {
    /// Asks the peer that `handle` is, or that it chooses for each request.
    #[must_use]
    pub const fn new(handle: H) -> Self {
        Self { handle, on_convicted: OnConvicted::Refuse }
    }

    /// What the service does while its peer is convicted.
    #[must_use]
    pub fn on_convicted(self, on_convicted: OnConvicted) -> Self {
        Self { on_convicted, ..self }
    }

    /// The peer, or what chooses it.
    #[must_use]
    pub const fn handle(&self) -> &H {
        &self.handle
    }
}

impl<S, H: Clone> Layer<S> for SuspectLayer<H> {
    type Service = Suspect<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Suspect::new(inner, self.clone())
    }
}

/// A service that is not called while its peer is convicted; `L` is the layer that made it.
#[derive(Debug)]
pub struct Suspect<S, L = SuspectLayer> {
    inner: S,
    layer: L,
    /// Only while not ready, and it belongs to this handle alone.
    waiting: Option<Waiting>,
}

/// Made only when a convicted peer keeps a caller of `poll_ready` waiting.
#[derive(Debug)]
struct Waiting {
    waiter: Waiter,
    alarm: Pin<Box<Alarm>>,
}

impl<S, L> Suspect<S, L> {
    /// Guards `inner` as `layer` says.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer, waiting: None }
    }

    /// The guarded service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The guarded service, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

#[cfg(feature = "load")]
impl<S, K> Suspect<S, SuspectLayer<Peer<K>>> {
    pub(crate) const fn peer(&self) -> &Peer<K> {
        &self.layer.handle
    }
}

impl<S: Clone, L: Clone> Clone for Suspect<S, L> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

/// Not ready while the peer would be refused everything. Woken by a heartbeat, by a trial that
/// comes back, or when the next is due, never by itself.
#[cold]
fn poll_peer<K>(peer: &Peer<K>, slot: &mut Option<Waiting>, cx: &mut Context<'_>) -> Poll<()> {
    let waiting = slot.get_or_insert_with(|| Waiting {
        waiter: peer.watched.join(),
        alarm: Box::pin(Alarm::new()),
    });
    loop {
        let mut until = None;
        let ready = waiting.waiter.poll(cx, || {
            let now = CLOCK.now();
            until = peer.left(now).map(|left| now + left);
            until.is_none().then_some(())
        });
        let Some(until) = until else {
            debug_assert!(ready.is_ready());
            *slot = None;
            return Poll::Ready(());
        };
        waiting.alarm.as_mut().set(until);
        if waiting.alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
    }
}

impl<S, H, K, Req> Service<Req> for Suspect<S, SuspectLayer<H>>
where
    S: Service<Req>,
    S::Error: From<Suspected>,
    H: Select<Req, Handle = Peer<K>>,
    K: Eq + Hash + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SuspectFuture<S::Future, K>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.layer.on_convicted == OnConvicted::NotReady
            && let Some(peer) = self.layer.handle.common()
            && (self.waiting.is_some() || peer.left(CLOCK.now()).is_some())
            && poll_peer(peer, &mut self.waiting, cx).is_pending()
        {
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let admission = self.layer.handle.select(&request).admit(CLOCK.now());
        match admission {
            Admission::Passed => SuspectFuture::called(self.inner.call(request), None),
            // Given back if the call panics.
            Admission::OnTrial(trial) => {
                SuspectFuture::called(self.inner.call(request), Some(trial))
            }
            Admission::Refused(refusal) => SuspectFuture::refused(refusal),
        }
    }
}

pin_project! {
    /// The future of [`Suspect`].
    ///
    /// Dropping it cancels the call. A trial that is dropped before its first poll is given back:
    /// the next request is let through in its place.
    #[must_use = "futures do nothing unless polled"]
    pub struct SuspectFuture<F, K = ()> {
        // `None` when the call was refused.
        #[pin]
        inner: Option<F>,
        // Until the first poll.
        trial: Option<Trial<K>>,
        refusal: Option<Suspected>,
    }
}

impl<F, K> SuspectFuture<F, K> {
    const fn called(inner: F, trial: Option<Trial<K>>) -> Self {
        Self { inner: Some(inner), trial, refusal: None }
    }

    #[cold]
    const fn refused(refusal: Suspected) -> Self {
        Self { inner: None, trial: None, refusal: Some(refusal) }
    }
}

impl<F, K, Res, Err> Future for SuspectFuture<F, K>
where
    F: Future<Output = Result<Res, Err>>,
    Err: From<Suspected>,
{
    type Output = Result<Res, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            if let Some(trial) = this.trial.take() {
                trial.sent();
            }
            return inner.poll(cx);
        }
        let refusal = this.refusal.expect("what was not called was refused");
        Poll::Ready(Err(refusal.into()))
    }
}

impl<F, K> fmt::Debug for SuspectFuture<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuspectFuture").field("refusal", &self.refusal).finish_non_exhaustive()
    }
}
