//! The layer.

use std::{borrow::Cow, ops::Deref, sync::Arc, time::Duration};

use http::{Method, Uri, request::Parts};
use tower_layer::Layer;

use super::{
    body::{AsIs, RequestBody},
    fingerprint::{HttpFingerprint, RequestFingerprint},
    options::{MissingKey, NoPrincipal, OnStream, Options},
    reply::{KeptHeaders, ReplyPolicy},
    service::IdempotencyService,
};
use crate::Idempotency;

/// Runs the handler once for each `Idempotency-Key`, and answers duplicates with its reply.
///
/// From the outside in stand authentication, limits in time, this layer, and the handler; layers
/// that write headers for each request, such as those of CORS, stand outside. Where it stands twice
/// over one handle, such as on a router and on one that was merged into it, it counts once.
///
/// `P` says whose a key is, `F` what a request asks for, `W` makes the body type that the inner
/// service takes.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use steadfast_core::guard;
/// use steadfast_idempotency::{
///     Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, http::IdempotencyLayer,
/// };
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let store = MemoryStore::new(MemoryConfig::new())?;
/// let keys = Idempotency::new(IdempotencyConfig::new(), store)?;
/// // One client: keys need no owner. `scoped_by(keys, principal)` for all others.
/// let service = guard(IdempotencyLayer::unscoped(keys)).layer(service_fn(
///     async |_| Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("paid"))),
/// ));
/// let pay = || {
///     Request::post("/pay").header("idempotency-key", "7f3a").body(Full::<Bytes>::default())
/// };
/// assert!(!service.clone().oneshot(pay()?).await?.headers().contains_key("idempotent-replayed"));
/// assert_eq!(service.oneshot(pay()?).await?.headers()["idempotent-replayed"], "true");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IdempotencyLayer<P = Unscoped, F = HttpFingerprint, W = AsIs> {
    pub(super) handle: Idempotency,
    pub(super) principal: P,
    pub(super) fingerprint: F,
    pub(super) wrap: W,
    pub(super) options: Arc<Options>,
}

/// What stands for the principal where there are none.
pub type Unscoped = fn(&Parts) -> Option<Cow<'_, str>>;

impl IdempotencyLayer {
    /// For a service that has but one client, or clients that may see each other's replies: **a key
    /// is known from whichever client it comes.**
    #[must_use]
    pub fn unscoped(handle: Idempotency) -> Self {
        Self::new(handle, |_| Some(Cow::Borrowed("")))
    }
}

impl<P> IdempotencyLayer<P> {
    /// Keys belong to the principal that `principal` tells by a request's head: what an
    /// authentication further out has left in its extensions. Never a header that the client may
    /// write as it likes.
    ///
    /// One principal never gets a reply that was stored for another. A name and a key may have
    /// 1,024 bytes together; a longer name is refused: HTTP 400. Where names may be as long, take a
    /// hash of them.
    ///
    /// Write a function, or a closure in the place of the argument. **A closure that is bound by
    /// `let` does not fit**, whatever types it names ("one type is more general than the other"):
    /// the compiler takes its result for one of a single lifetime, and not of each head's own.
    ///
    /// ```
    /// use std::borrow::Cow;
    ///
    /// use ::http::request::Parts;
    /// # use steadfast_idempotency::{Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore};
    /// use steadfast_idempotency::http::IdempotencyLayer;
    /// # let store = MemoryStore::new(MemoryConfig::new())?;
    /// # let keys = Idempotency::new(IdempotencyConfig::new(), store)?;
    ///
    /// struct User(String);
    ///
    /// fn user(head: &Parts) -> Option<Cow<'_, str>> {
    ///     head.extensions.get().map(|User(name)| name.into())
    /// }
    /// let _by_a_function = IdempotencyLayer::scoped_by(keys.clone(), user);
    ///
    /// let _in_place = IdempotencyLayer::scoped_by(keys, |head| {
    ///     head.extensions.get().map(|User(name)| name.into())
    /// });
    /// # Ok::<_, steadfast_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn scoped_by(handle: Idempotency, principal: P) -> Self
    where
        P: for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>>,
    {
        Self::new(handle, principal)
    }

    fn new(handle: Idempotency, principal: P) -> Self {
        let options = Arc::new(Options::new(handle.most_reply_bytes()));
        Self { handle, principal, fingerprint: HttpFingerprint::new(), wrap: AsIs, options }
    }
}

impl<P, W> IdempotencyLayer<P, HttpFingerprint, W> {
    /// The same, with the path taken from the request's extension `U`:
    /// [`HttpFingerprint::original_uri`].
    #[must_use]
    pub fn original_uri<U>(self) -> Self
    where
        U: Deref<Target = Uri> + Send + Sync + 'static,
    {
        Self { fingerprint: self.fingerprint.original_uri::<U>(), ..self }
    }
}

impl<P, F, W> IdempotencyLayer<P, F, W> {
    /// The same, with what a request asks for said by `fingerprint`.
    #[must_use]
    pub fn fingerprint<F2: RequestFingerprint>(
        self,
        fingerprint: F2,
    ) -> IdempotencyLayer<P, F2, W> {
        let Self { handle, principal, wrap, options, .. } = self;
        IdempotencyLayer { handle, principal, fingerprint, wrap, options }
    }

    /// Calls the inner service with the body type that it takes, made by `wrap` from the
    /// [`RequestBody`] of each request.
    #[must_use]
    pub fn body_as<B, T, W2>(self, wrap: W2) -> IdempotencyLayer<P, F, W2>
    where
        W2: Fn(RequestBody<B>) -> T,
    {
        let Self { handle, principal, fingerprint, options, .. } = self;
        IdempotencyLayer { handle, principal, fingerprint, wrap, options }
    }

    /// The methods that keys count for: POST and PATCH by default. Others are passed on.
    #[must_use]
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods = methods.into_iter().collect();
        self.set(|options| options.methods = methods)
    }

    /// What is done with a request of these methods that has no key.
    #[must_use]
    pub fn missing_key(self, missing_key: MissingKey) -> Self {
        self.set(|options| options.missing_key = missing_key)
    }

    /// What is done with a key that has no principal.
    #[must_use]
    pub fn no_principal(self, no_principal: NoPrincipal) -> Self {
        self.set(|options| options.no_principal = no_principal)
    }

    /// What is done with a stream that has a key. A gRPC call is known for one by its second
    /// message: where a client sends one and waits for an answer, say so by
    /// [`streams`](Self::streams), or it is refused at the end of [`body_time`](Self::body_time).
    #[must_use]
    pub fn on_stream(self, on_stream: OnStream) -> Self {
        self.set(|options| options.on_stream = on_stream)
    }

    /// Which requests are streams, by their heads: known before anything is read of them.
    #[must_use]
    pub fn streams(self, is_stream: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.set(|options| options.is_stream = Some(Arc::new(is_stream)))
    }

    /// How many bytes the body of a request with a key may have, 1 MiB by default: it is read as a
    /// whole before the key is claimed. A longer one is refused: HTTP 413.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        self.set(|options| options.body_limit = bytes)
    }

    /// How long the body of a request with a key may take to arrive, 10 s by default. Then the
    /// request is refused, and nothing was claimed: HTTP 408.
    #[must_use]
    pub fn body_time(self, time: Duration) -> Self {
        self.set(|options| options.body_time = time)
    }

    /// What a response means for its key: by default, it is stored where the request may have been
    /// executed.
    #[must_use]
    pub fn replies(self, policy: ReplyPolicy) -> Self {
        self.set(|options| options.terms.policy = policy)
    }

    /// Which headers of a response are kept with it.
    #[must_use]
    pub fn kept_headers(self, headers: KeptHeaders) -> Self {
        self.set(|options| options.terms.headers = headers)
    }

    /// What the layer was made with.
    #[must_use]
    pub const fn handle(&self) -> &Idempotency {
        &self.handle
    }

    fn set(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }
}

impl<S, P, F, W> Layer<S> for IdempotencyLayer<P, F, W>
where
    Self: Clone,
{
    type Service = IdempotencyService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService::new(inner, self.clone())
    }
}
