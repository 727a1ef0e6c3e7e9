//! The client's side.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request};
use pin_project_lite::pin_project;
use steadfast_core::{
    FencingToken, Grounds, Refusal, RefusalKind, http::FENCING_TOKEN, parts::Rounded,
};
use tower_layer::Layer;
use tower_service::Service;

use super::sequence::FENCING_SEQUENCE;
use crate::{Leadership, Lease};

/// What its holder knows of a lease at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The token of the grant.
    pub token: FencingToken,
    /// How much longer it is valid, by its holder's own clock.
    pub remaining: Duration,
}

/// A lease, as far as a call needs it: a [`Lease`](crate::Lease), a
/// [`Leadership`](crate::Leadership), what shares one, and closures.
///
/// A layer is cloned with its service: it is given an [`Arc`] of the lease, or the leadership. The
/// lease is not given back while a clone of either is left.
pub trait Holding {
    /// What is held now; `None` when it is not valid any more.
    fn held(&self) -> Option<Held>;
}

impl<F: Fn() -> Option<Held>> Holding for F {
    fn held(&self) -> Option<Held> {
        self()
    }
}

impl Holding for Lease {
    fn held(&self) -> Option<Held> {
        let remaining = self.remaining();
        (!remaining.is_zero()).then(|| Held { token: self.token(), remaining })
    }
}

impl Holding for Leadership {
    fn held(&self) -> Option<Held> {
        Lease::held(self)
    }
}

impl<H: Holding + ?Sized> Holding for Arc<H> {
    fn held(&self) -> Option<Held> {
        H::held(self)
    }
}

/// The lease is not held, or not for as long as the call may take: it was not sent. HTTP 403, gRPC
/// `PERMISSION_DENIED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lease is held for another {}, and the call may take {}",
    Rounded(*.remaining),
    Rounded(*.needed)
)]
#[non_exhaustive]
pub struct NotHeld {
    /// How much longer the lease is valid; zero when it is not.
    pub remaining: Duration,
    /// How long the call may take.
    pub needed: Duration,
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

impl NotHeld {
    /// The lease is valid for `remaining`, and the call may take `needed`.
    #[must_use]
    pub const fn new(remaining: Duration, needed: Duration) -> Self {
        Self { remaining, needed, grounds: Grounds::not_executed(RefusalKind::NotHolder) }
    }
}

impl Refusal for NotHeld {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

/// Attaches the fencing token of a lease to the requests of its holder, and refuses those that the
/// lease would not last for, before they are sent.
///
/// The refusal spares a call that the fence would refuse; it makes nothing safe, for this process
/// may stop right after. What makes it safe is the [`FenceLayer`](super::FenceLayer) at the
/// resource.
///
/// It stands innermost, next to the client: inside a retry each attempt is looked at again, and has
/// a number of its own.
///
/// A `Fencing-Token` that a request has already is replaced, and so is a `Fencing-Sequence` where
/// calls are [numbered](Self::numbered).
///
/// ```
/// use std::time::Duration;
/// use http::{Request, Response};
/// use steadfast_lease::{FencingToken, http::{FencedClientLayer, Held}};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let token = FencingToken::try_from(34_u64)?;
/// // In earnest, a lease.
/// let lease = move || Some(Held { token, remaining: Duration::from_secs(3) });
/// let server = service_fn(async |request: Request<()>| {
///     Ok::<_, BoxError>(Response::new(request.headers()["fencing-token"].clone()))
/// });
/// let client = FencedClientLayer::new(lease, Duration::from_secs(1)).layer(server);
/// assert_eq!(client.oneshot(Request::new(())).await?.body(), "34");
///
/// let slow = FencedClientLayer::new(lease, Duration::from_secs(5)).layer(server);
/// assert!(slow.oneshot(Request::new(())).await.is_err(), "not sent");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FencedClientLayer<H> {
    lease: H,
    needed: Duration,
    calls: Option<Arc<AtomicU64>>,
}

impl<H: Holding> FencedClientLayer<H> {
    /// Requests under `lease`, each of which may take up to `needed`: the limit of the client's
    /// timeout.
    pub const fn new(lease: H, needed: Duration) -> Self {
        Self { lease, needed, calls: None }
    }
}

impl<H> FencedClientLayer<H> {
    /// Numbers the requests, those of this layer and its clones together, so that the resource
    /// takes them in this order only: one that was given up on cannot land after a later one.
    ///
    /// A request that is overtaken on its way is refused, so send them one after another. The
    /// requests of one lease go through one layer and its clones, the reads among them.
    #[must_use]
    pub fn numbered(self) -> Self {
        Self { calls: Some(Arc::default()), ..self }
    }
}

impl<S, H: Clone> Layer<S> for FencedClientLayer<H> {
    type Service = FencedClient<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        FencedClient { inner, layer: self.clone() }
    }
}

impl<H> fmt::Debug for FencedClientLayer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FencedClientLayer")
            .field("needed", &self.needed)
            .field("is_numbered", &self.calls.is_some())
            .finish_non_exhaustive()
    }
}

/// The service of [`FencedClientLayer`].
///
/// Readiness is the inner service's own.
#[derive(Clone, Debug)]
pub struct FencedClient<S, L> {
    inner: S,
    layer: L,
}

impl<S, L> FencedClient<S, L> {
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

impl<S, H, B> Service<Request<B>> for FencedClient<S, FencedClientLayer<H>>
where
    S: Service<Request<B>>,
    S::Error: From<NotHeld>,
    H: Holding,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FencedClientFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let FencedClientLayer { lease, needed, calls } = &self.layer;
        let (held, needed) = (lease.held(), *needed);
        let state = match held {
            Some(Held { token, remaining }) if !remaining.is_zero() && remaining >= needed => {
                let headers = request.headers_mut();
                headers.insert(FENCING_TOKEN, token.into());
                if let Some(calls) = calls {
                    // Relaxed: the numbers differ, and nothing else is read by them.
                    let number = calls.fetch_add(1, Ordering::Relaxed);
                    headers.insert(FENCING_SEQUENCE, HeaderValue::from(number));
                }
                State::Sent { inner: self.inner.call(request) }
            }
            held => {
                let remaining = held.map_or(Duration::ZERO, |held| held.remaining);
                State::Refused { refused: NotHeld::new(remaining, needed) }
            }
        };
        FencedClientFuture { state }
    }
}

pin_project! {
    /// The future of [`FencedClient`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct FencedClientFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Sent { #[pin] inner: F },
        Refused { refused: NotHeld },
    }
}

impl<F, T, E> Future for FencedClientFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<NotHeld>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Sent { inner } => inner.poll(cx),
            StateProjection::Refused { refused } => Poll::Ready(Err((*refused).into())),
        }
    }
}
