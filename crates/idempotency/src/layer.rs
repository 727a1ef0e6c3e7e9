//! The layer for any service.

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use crate::{Claim, Fingerprint, Idempotency, Keyed, RecordId};

/// Runs a request once for its key, and answers its duplicates: for any service, such as the
/// consumer of a queue that delivers at least once.
///
/// A request without a key is passed on as it is. One with a key is claimed first; then the service
/// is called in a task of its own, and its reply is stored by the codec `C`, or its key is freed or
/// abandoned, as [`Idempotency::run`] says. Duplicates get the reply, or an error made of
/// [`Refused`](crate::Refused).
///
/// The instance that was made ready is the one that is called, and it is held until the request is
/// answered: also by a duplicate, which calls nothing. A limit of concurrency belongs outside, or
/// duplicates that wait take its places.
///
/// A caller that goes away cancels a request without a key, and not one with a key that is under
/// way. Values of `tokio::task_local!` do not reach the service of a request with a key.
///
/// HTTP has a layer of its own, which knows its statuses, headers and bodies.
///
/// ```
/// use steadfast_idempotency::{
///     AsBytes, Fingerprint, Idempotency, IdempotencyConfig, KeyedLayer, MemoryConfig, MemoryStore,
///     RecordId,
/// };
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// /// A message, which its queue may deliver twice.
/// #[derive(Clone)]
/// struct Message {
///     queue: &'static str,
///     id: u64,
///     body: bytes::Bytes,
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let store = MemoryStore::new(MemoryConfig::new())?;
/// let orders = Idempotency::new(IdempotencyConfig::new().named("orders"), store)?;
/// let layer = KeyedLayer::new(
///     orders.clone(),
///     |message: &Message| RecordId::new(message.queue, message.id.to_be_bytes()).ok(),
///     |message: &Message| Fingerprint::of([&message.body]),
///     AsBytes,
/// );
/// let consumer = layer.layer(service_fn(|message: Message| async move {
///     Ok::<_, BoxError>(message.body)
/// }));
/// let message = Message { queue: "orders", id: 7, body: "two of these".into() };
/// for _ in 0..2 {
///     assert_eq!(consumer.clone().oneshot(message.clone()).await?, "two of these");
/// }
/// let snapshot = orders.snapshot();
/// assert_eq!((snapshot.ran, snapshot.replayed), (1, 1));
/// # Ok(()) }
/// ```
pub struct KeyedLayer<I, C, P = NotHanded> {
    pub(crate) handle: Idempotency,
    pub(crate) identify: I,
    pub(crate) codec: Arc<C>,
    pub(crate) hand: P,
}

/// Says which record a request is of, and what the request asks for. A pair of closures, or a type
/// that implements it for both questions.
pub trait Identify<Req> {
    /// Whose key it is, and the key; `None` for a request that has none.
    fn id(&self, request: &Req) -> Option<RecordId>;

    /// What the request asks for, with everything in it that makes it another request and nothing
    /// that changes from one delivery to the next. Asked of requests with a key.
    fn fingerprint(&self, request: &Req) -> Fingerprint;
}

impl<Req, K, F> Identify<Req> for (K, F)
where
    K: Fn(&Req) -> Option<RecordId>,
    F: Fn(&Req) -> Fingerprint,
{
    fn id(&self, request: &Req) -> Option<RecordId> {
        self.0(request)
    }

    fn fingerprint(&self, request: &Req) -> Fingerprint {
        self.1(request)
    }
}

/// Hands the claim of a request to the service that is called with it. Closures
/// `Fn(&mut Req, Claim)` do so.
pub trait HandClaim<Req> {
    /// Puts `claim` where the service looks for it.
    fn hand(&self, request: &mut Req, claim: Claim);
}

impl<Req, F: Fn(&mut Req, Claim)> HandClaim<Req> for F {
    fn hand(&self, request: &mut Req, claim: Claim) {
        self(request, claim);
    }
}

/// The service is told nothing of claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotHanded;

impl<Req> HandClaim<Req> for NotHanded {
    fn hand(&self, _: &mut Req, _: Claim) {}
}

impl<C> KeyedLayer<(), C> {
    /// Runs requests once for each `key`, in `handle`. `fingerprint` says what a request asks for:
    /// one under the same key that asks for something else is refused. `codec` keeps replies, and
    /// says what they mean.
    ///
    /// The key stands in a scope: an account, a queue. A key alone would let one caller's reply
    /// answer another.
    pub fn new<Req, K, F>(
        handle: Idempotency,
        key: K,
        fingerprint: F,
        codec: C,
    ) -> KeyedLayer<(K, F), C>
    where
        K: Fn(&Req) -> Option<RecordId>,
        F: Fn(&Req) -> Fingerprint,
    {
        KeyedLayer::identified_by(handle, (key, fingerprint), codec)
    }
}

impl<I, C> KeyedLayer<I, C> {
    /// The same, with key and fingerprint both by one type.
    pub fn identified_by(handle: Idempotency, identify: I, codec: C) -> Self {
        Self { handle, identify, codec: Arc::new(codec), hand: NotHanded }
    }
}

impl<I, C, P> KeyedLayer<I, C, P> {
    /// The same, with each request's claim put into it by `hand`, before the service is called: so
    /// that the service sees an [attempt](Claim::attempt) above 1 and can look for what the earlier
    /// ones have done, as [`OnAbandoned::Takeover`](crate::OnAbandoned::Takeover) asks of it. A
    /// request without a key gets none.
    ///
    /// ```
    /// # use steadfast_idempotency::*;
    /// struct Job {
    ///     number: u64,
    ///     attempt: u32,
    /// }
    /// # let store = MemoryStore::new(MemoryConfig::new())?;
    /// # let handle = Idempotency::new(IdempotencyConfig::new(), store)?;
    /// let layer = KeyedLayer::new(
    ///     handle,
    ///     |job: &Job| RecordId::new("jobs", job.number.to_be_bytes()).ok(),
    ///     |_: &Job| Fingerprint::of([[]; 0]),
    ///     AsBytes,
    /// )
    /// .hand_claim(|job: &mut Job, claim| job.attempt = claim.attempt().get());
    /// # Ok::<_, steadfast_core::ConfigError>(())
    /// ```
    pub fn hand_claim<Req, Q>(self, hand: Q) -> KeyedLayer<I, C, Q>
    where
        Q: Fn(&mut Req, Claim),
    {
        let Self { handle, identify, codec, .. } = self;
        KeyedLayer { handle, identify, codec, hand }
    }

    /// What the layer was made with.
    #[must_use]
    pub const fn handle(&self) -> &Idempotency {
        &self.handle
    }
}

impl<S, I, C, P> Layer<S> for KeyedLayer<I, C, P>
where
    Self: Clone,
{
    type Service = Keyed<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Keyed::new(inner, self.clone())
    }
}

/// The codec is shared.
impl<I: Clone, C, P: Clone> Clone for KeyedLayer<I, C, P> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            identify: self.identify.clone(),
            codec: Arc::clone(&self.codec),
            hand: self.hand.clone(),
        }
    }
}

impl<I, C, P> fmt::Debug for KeyedLayer<I, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLayer").field("handle", &self.handle).finish_non_exhaustive()
    }
}
