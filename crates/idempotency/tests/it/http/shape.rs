//! What services and bodies the layer takes. Most of it is checked by the compiler.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Ready,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use steadfast_core::{Error, guard, http::respond};
use steadfast_idempotency::{
    Fingerprint, Refused,
    http::{
        HttpFingerprint, IdempotencyLayer, IdempotencyService, KeptHeaders, MissingKey,
        NoPrincipal, OnStream, ReplyBody, ReplyPolicy, RequestBody, Statuses,
    },
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use super::support::{Got, handle, layer, pay};

/// Neither `Sync` nor `Clone`, nor is its error.
struct Single(Option<Bytes>, #[allow(dead_code)] Cell<u8>);

/// Not `Sync`, not `Clone`, no error of std.
#[derive(Debug)]
struct Broken(#[allow(dead_code)] Cell<u8>);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

/// Of a request: its error need not even be an error.
impl http_body::Body for Single {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

/// Of a response.
struct Reply(Option<Bytes>, #[allow(dead_code)] Cell<u8>);

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

/// A service that is `Clone + Send` and nothing more.
#[derive(Clone)]
struct Handler(Cell<u8>);

/// An error that is not `Sync`.
#[derive(Debug)]
enum MyError {
    Refused(#[allow(dead_code)] Refused),
    #[allow(dead_code)]
    Mine(Cell<u8>),
}

impl std::fmt::Display for MyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for MyError {}

impl From<Refused> for MyError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl steadfast_core::Failure for MyError {
    fn as_error(&self) -> &(dyn std::error::Error + 'static) {
        self
    }
}

impl Service<Request<RequestBody<Single>>> for Handler {
    type Response = Response<Reply>;
    type Error = MyError;
    type Future = Ready<Result<Response<Reply>, MyError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), MyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody<Single>>) -> Self::Future {
        std::future::ready(Ok(Response::new(Reply(Some("paid".into()), self.0.clone()))))
    }
}

fn sendable<T: Send + 'static>(value: T) -> T {
    value
}

#[tokio::test]
async fn nothing_needs_to_be_sync_and_no_body_to_be_cloned() {
    let unsynced = Cell::new(0_u8);
    let also = unsynced.clone();
    let layer = IdempotencyLayer::scoped_by(handle(), move |head| {
        unsynced.set(unsynced.get() + 1);
        head.headers.get("x-user").and_then(|user| user.to_str().ok()).map(Into::into)
    })
    .fingerprint(move |_: &Parts, body: &Bytes| {
        also.set(also.get() + 1);
        Fingerprint::of([body])
    });
    let mut service = sendable(layer.layer(Handler(Cell::new(0))));
    for is_replayed in [false, true] {
        let request =
            Request::post("/").header("idempotency-key", "7f3a").header("x-user", "alice");
        let request = request.body(Single(Some("5".into()), Cell::new(0))).unwrap();
        let call = sendable(service.ready().await.unwrap().call(request));
        let response = sendable(tokio::spawn(call).await.unwrap().unwrap());
        let got = Got::of(response).await;
        assert_eq!((&*got.text, got.is_replayed()), ("paid", is_replayed));
    }
}

#[tokio::test]
async fn a_service_that_takes_one_body_type_gets_it_and_any_error_can_be_guarded() {
    type Boxed = UnsyncBoxBody<Bytes, BoxError>;
    let handler = service_fn(|request: Request<Boxed>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, std::io::Error>(Response::new(Full::new(body)))
    });
    let boxed = |body: RequestBody<Body>| body.map_err(BoxError::from).boxed_unsync();
    let layer = layer().body_as(boxed).missing_key(MissingKey::Pass);
    let service = guard(layer).layer(handler);
    let response = service.clone().oneshot(pay("/pay", "7f3a", "5")).await.unwrap();
    assert_eq!(Got::of(response).await.text, "5");
    let no_key = Request::post("/pay").body(Body::from("6")).unwrap();
    assert_eq!(Got::of(service.clone().oneshot(no_key).await.unwrap()).await.text, "6");
    let error: Error<std::io::Error> = service.oneshot(pay("/pay", "", "")).await.unwrap_err();
    assert!(error.refusal().is_some());
}

#[tokio::test]
async fn on_plain_tower_it_runs_with_a_boxed_error_or_answers_by_itself() {
    let handler = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("paid"))))
    });
    let request = |key| {
        Request::post("/").header("idempotency-key", key).body(Full::new(Bytes::new())).unwrap()
    };
    let service = respond(layer()).layer(handler);
    let Ok(response) = service.clone().oneshot(request("7f3a")).await;
    assert_eq!(Got::of(response).await.text, "paid");
    let Ok(refused) = service.oneshot(request("")).await;
    assert_eq!(Got::of(refused).await.refused(), (400, None));

    let service = layer().layer(handler.map_err(|never| -> BoxError { match never {} }));
    let error = service.oneshot(request("")).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused::malformed_key()));
}

fn shared<T: Clone + Send + Sync + 'static + std::fmt::Debug>(_: &T) {}

#[tokio::test]
async fn layer_and_service_have_the_shape_of_the_house() {
    let layer: IdempotencyLayer = layer()
        .replies(ReplyPolicy::StripeLike)
        .kept_headers(KeptHeaders::new())
        .fingerprint(HttpFingerprint::new())
        .no_principal(NoPrincipal::Refuse)
        .on_stream(OnStream::Pass)
        .streams(|head| head.uri.path().ends_with("Upload"))
        .body_limit(1)
        .body_time(std::time::Duration::ZERO);
    shared(&(layer.clone(), Statuses::new()));
    let mut service: IdempotencyService<u8> = layer.layer(7);
    assert_eq!((*service.get_ref(), *service.get_mut(), service.clone().into_inner()), (7, 7, 7));
    assert_eq!(layer.handle().name(), "default");
    let shown = format!("{layer:?} {service:?} {:?}", ReplyBody::<Full<Bytes>>::default());
    assert!(shown.contains("StripeLike") && shown.contains("IdempotencyService"), "{shown}");
}
