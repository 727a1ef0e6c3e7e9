//! The layer of clients.

use std::task::{Context, Poll};

use http::{HeaderValue, Method, Request};
use steadfast_core::http::{IDEMPOTENCY_KEY, IdempotencyKey};
use tower_layer::Layer;
use tower_service::Service;

use super::new_key;

/// Gives each request on its way out a [key of its own](new_key), so that the server can tell its
/// repetition from another request.
///
/// **It stands outside of the retry**, and so gives one key to a logical call, which all attempts
/// carry; inside, each attempt would have its own, and a POST that ran and whose reply was lost
/// would run again. `ServiceBuilder` runs its first layer first: the keys before the retry.
///
/// A request that has the header is left as it is, whatever stands in it: a key that a program has
/// written down, or [derived](super::derive) from that of the request it works on. Other methods
/// than POST and PATCH are idempotent by themselves, or are not to be repeated.
///
/// The key is written bare, as the services of the field document it. Those that read the draft
/// standard to the letter want it [quoted](Self::quoted). It is marked as sensitive.
///
/// ```
/// use http::{Request, Response};
/// use steadfast_core::http::IdempotencyKey;
/// use steadfast_idempotency::http::IdempotencyKeyLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In place of a client of hyper's or reqwest's, with a retry round it.
/// let client = service_fn(|request: Request<String>| async move {
///     let key = IdempotencyKey::from_headers(request.headers())?.map(|key| key.into_owned());
///     Ok::<_, steadfast_core::http::IdempotencyKeyError>(Response::new(key))
/// });
/// let client = IdempotencyKeyLayer::new().layer(client);
/// let charge = Request::post("https://api.example.com/charges").body("amount=5".to_owned())?;
/// let key = client.oneshot(charge).await?.into_body();
/// assert_eq!(key.map(|key| key.as_str().len()), Some(36));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyKeyLayer<W = PostAndPatch> {
    wants: W,
    is_quoted: bool,
}

/// Says which requests want a key, by their method. Closures `Fn(&Method) -> bool` do so too.
pub trait WantsKey {
    /// Whether a request of this method wants a key.
    fn wants_key(&self, method: &Method) -> bool;
}

impl<F: Fn(&Method) -> bool> WantsKey for F {
    fn wants_key(&self, method: &Method) -> bool {
        self(method)
    }
}

/// POST and PATCH: what no method promises to be idempotent (RFC 9110, section 9.2.2), and the
/// methods that the draft of the header names.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostAndPatch;

impl WantsKey for PostAndPatch {
    fn wants_key(&self, method: &Method) -> bool {
        matches!(*method, Method::POST | Method::PATCH)
    }
}

impl IdempotencyKeyLayer {
    /// A key for each POST and PATCH without one.
    #[must_use]
    pub const fn new() -> Self {
        Self { wants: PostAndPatch, is_quoted: false }
    }
}

impl Default for IdempotencyKeyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> IdempotencyKeyLayer<W> {
    /// The same for requests of the methods that `wants` names.
    ///
    /// ```
    /// use http::Method;
    /// use steadfast_idempotency::http::IdempotencyKeyLayer;
    ///
    /// let layer = IdempotencyKeyLayer::new().methods(|method: &Method| !method.is_safe());
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn methods<V: WantsKey>(self, wants: V) -> IdempotencyKeyLayer<V> {
        IdempotencyKeyLayer { wants, is_quoted: self.is_quoted }
    }

    /// The same, with keys written as structured-field strings, in quotation marks
    /// (draft-ietf-httpapi-idempotency-key-header-07).
    #[must_use]
    pub fn quoted(self) -> Self {
        Self { is_quoted: true, ..self }
    }

    fn header(&self, key: &IdempotencyKey<'_>) -> HeaderValue {
        if self.is_quoted {
            return key.to_header();
        }
        let bare = HeaderValue::from_str(key.as_str());
        let mut value = bare.expect("visible ASCII characters are a header value");
        value.set_sensitive(true);
        value
    }
}

impl<S, W: Clone> Layer<S> for IdempotencyKeyLayer<W> {
    type Service = IdempotencyKeyService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyKeyService::new(inner, self.clone())
    }
}

/// The service of [`IdempotencyKeyLayer`]: gives each request a key on its way out.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyKeyService<S, L = IdempotencyKeyLayer> {
    inner: S,
    layer: L,
}

impl<S, L> IdempotencyKeyService<S, L> {
    /// `inner`, with the keys of `layer`.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }

    /// The service behind.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind, without keys.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, W, B> Service<Request<B>> for IdempotencyKeyService<S, IdempotencyKeyLayer<W>>
where
    S: Service<Request<B>>,
    W: WantsKey,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if self.layer.wants.wants_key(request.method())
            && !request.headers().contains_key(IDEMPOTENCY_KEY)
        {
            let header = self.layer.header(&new_key());
            request.headers_mut().insert(IDEMPOTENCY_KEY, header);
        }
        self.inner.call(request)
    }
}
