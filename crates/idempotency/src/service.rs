//! The service.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use steadfast_core::Failure;
use tower_service::Service;

use crate::{
    Codec, HandClaim, Identify, KeyedFuture, KeyedLayer, RecordId, Refused, future::Answer,
};

/// The service of [`KeyedLayer`]: runs a request once for its key; `L` is the layer that made it.
///
/// Readiness is the inner service's own. A request without a key is called on the instance that was
/// made ready, where it stands. One with a key takes that instance with it, and leaves a clone.
#[derive(Clone, Debug)]
pub struct Keyed<S, L> {
    inner: S,
    layer: L,
}

impl<S, L> Keyed<S, L> {
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

impl<S, I, C, P, Req> Service<Req> for Keyed<S, KeyedLayer<I, C, P>>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: From<Refused> + Failure + Send + 'static,
    S::Future: Send + 'static,
    Req: Send + 'static,
    I: Identify<Req>,
    C: Codec<S::Response> + Send + Sync + 'static,
    P: HandClaim<Req> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = KeyedFuture<S::Future>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    // Always, as is the future's `poll`: out of line, the future of a request without a key would
    // come back through memory.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        match self.layer.identify.id(&request) {
            None => KeyedFuture::passed(self.inner.call(request)),
            Some(id) => KeyedFuture::keyed(self.once(id, request)),
        }
    }
}

impl<S, I, C, P> Keyed<S, KeyedLayer<I, C, P>> {
    #[inline(never)]
    fn once<Req>(&mut self, id: RecordId, mut request: Req) -> Answer<Result<S::Response, S::Error>>
    where
        S: Service<Req> + Clone + Send + 'static,
        S::Response: Send + 'static,
        S::Error: From<Refused> + Failure + Send + 'static,
        S::Future: Send + 'static,
        Req: Send + 'static,
        I: Identify<Req>,
        C: Codec<S::Response> + Send + Sync + 'static,
        P: HandClaim<Req> + Clone + Send + 'static,
    {
        let KeyedLayer { handle, identify, codec, hand } = &self.layer;
        let fingerprint = identify.fingerprint(&request);
        let (handle, codec, hand) = (handle.clone(), Arc::clone(codec), hand.clone());
        let another = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, another);
        let operation = move |claim| {
            hand.hand(&mut request, claim);
            ready.call(request)
        };
        Box::pin(async move { handle.run_by(id, fingerprint, codec, operation).await })
    }
}
