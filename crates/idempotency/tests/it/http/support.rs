//! A handler that counts its runs, and requests to it.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract, routing::post};
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use steadfast_core::http::is_replayed;
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, http::IdempotencyLayer,
};
use tower::ServiceExt;

pub(super) fn handle() -> Idempotency {
    handle_of(IdempotencyConfig::new())
}

pub(super) fn handle_of(config: IdempotencyConfig) -> Idempotency {
    Idempotency::new(config, MemoryStore::new(MemoryConfig::new()).unwrap()).unwrap()
}

pub(super) fn layer() -> IdempotencyLayer {
    IdempotencyLayer::unscoped(handle())
}

/// Counts the runs of a handler.
#[derive(Clone, Default)]
pub(super) struct Runs(Arc<AtomicU32>);

impl Runs {
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The number of this run.
    pub(super) fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Payments that take `time` once their body is here. A receipt says what was paid where, and in
/// which run.
pub(super) fn till(runs: &Runs, time: Duration) -> Router {
    let runs = runs.clone();
    let receipt = move |request: extract::Request| async move {
        let path = request.uri().path().to_owned();
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let run = runs.next();
        tokio::time::sleep(time).await;
        format!("{path}: {} paid in run {run}", String::from_utf8_lossy(&body))
    };
    Router::new().route("/pay", post(receipt.clone()).patch(receipt.clone()).put(receipt))
}

/// Who sends a request, as an authentication further out would say it.
#[derive(Clone)]
pub(super) struct User(pub(super) &'static str);

pub(super) fn user(head: &Parts) -> Option<Cow<'_, str>> {
    head.extensions.get::<User>().map(|user| user.0.into())
}

/// A payment with this key.
pub(super) fn pay(path: &str, key: &str, body: &str) -> Request<Body> {
    Request::post(path).header("idempotency-key", key).body(Body::from(body.to_owned())).unwrap()
}

pub(super) fn by(user: &'static str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(User(user));
    request
}

pub(super) async fn send(router: &Router, request: Request<Body>) -> Got {
    let Ok(response) = router.clone().oneshot(request).await;
    Got::of(response).await
}

/// A response as a whole.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Got {
    pub(super) async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Error: std::fmt::Debug>,
    {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Self { status: head.status, headers: head.headers, text }
    }

    pub(super) fn is_replayed(&self) -> bool {
        is_replayed(&self.headers)
    }

    /// The status and `Retry-After` of a refusal, whose document says the same.
    pub(super) fn refused(&self) -> (u16, Option<&str>) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{self:?}");
        assert!(self.text.contains(&format!("\"status\":{}", self.status.as_u16())), "{self:?}");
        let after = self.headers.get(header::RETRY_AFTER).map(|after| after.to_str().unwrap());
        (self.status.as_u16(), after)
    }
}
