//! Layers that stand twice, functions of the program's own that panic, and wakers that do.

use std::{
    borrow::Cow,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use futures::{FutureExt, stream};
use http::{HeaderMap, Response, header::CONTENT_TYPE, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    Fingerprint, Idempotency, RecordId, ViewState,
    http::{IdempotencyLayer, Meaning, ReplyPolicy},
};
use tokio::{sync::mpsc, time::sleep};
use tower::ServiceExt;

use super::support::{Runs, by, handle, pay, send, till, user};
use crate::support::MS;

#[tokio::test(start_paused = true)]
async fn a_layer_that_stands_twice_counts_once() {
    let (runs, handle) = (Runs::default(), handle());
    let layer = || IdempotencyLayer::scoped_by(handle.clone(), user);
    // Such as on a router and on one that was merged into it.
    let router = till(&runs, MS).layer(respond(layer())).layer(respond(layer()));
    for is_replayed in [false, true] {
        let got = send(&router, by("alice", pay("/pay", "7f3a", "5 euros"))).await;
        assert_eq!((&*got.text, got.is_replayed()), ("/pay: 5 euros paid in run 1", is_replayed));
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.ran, snapshot.stored, snapshot.refused), (1, 1, 0));
}

type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

/// A handler whose body a test sends.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Option<Sender>>>);

impl Slow {
    fn router(&self, kind: &'static str) -> Router {
        let slow = self.clone();
        let handler = move || {
            let (sender, mut frames) = mpsc::unbounded_channel();
            *slow.0.lock().unwrap() = Some(sender);
            let frames = stream::poll_fn(move |cx| frames.poll_recv(cx));
            let body = Body::new(StreamBody::new(frames));
            async move { Response::builder().header(CONTENT_TYPE, kind).body(body).unwrap() }
        };
        Router::new().route("/pay", post(handler))
    }

    fn end(&self, text: &'static str, trailers: &[(&'static str, &'static str)]) {
        let sender = self.0.lock().unwrap().take().unwrap();
        sender.send(Ok(Frame::data(text.into()))).unwrap();
        let mut lines = HeaderMap::new();
        lines.extend(trailers.iter().map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        }));
        let lines = lines.into_iter().filter_map(|(name, value)| Some((name?, value))).collect();
        sender.send(Ok(Frame::trailers(lines))).unwrap();
    }
}

async fn state(handle: &Idempotency) -> Option<ViewState> {
    let view = handle.look(&RecordId::new("", "7f3a").unwrap()).await.unwrap();
    view.map(|view| view.state)
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_policy_panics_at_its_end_has_no_good_end() {
    let (slow, handle) = (Slow::default(), handle());
    let policy = ReplyPolicy::by(|_| -> Meaning { panic!("in the policy") });
    let layer = IdempotencyLayer::unscoped(handle.clone()).replies(policy);
    let router = slow.router("application/grpc").layer(respond(layer));
    let Ok(response) = router.oneshot(pay("/pay", "7f3a", "")).await;
    slow.end("paid", &[("grpc-status", "0")]);
    // Its duplicates will be refused: the caller must not take it for one that counts.
    assert!(response.into_body().collect().await.is_err());
    sleep(MS).await;
    assert_eq!(state(&handle).await, Some(ViewState::Abandoned));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_function_of_the_programs_own_is_its_callers_and_claims_nothing() {
    let runs = Runs::default();
    let handle = handle();
    fn principal(_: &Parts) -> Option<Cow<'_, str>> {
        panic!("a principal")
    }
    let router = till(&runs, MS);
    let routers = [
        router.clone().layer(respond(IdempotencyLayer::scoped_by(handle.clone(), principal))),
        router.layer(respond(
            IdempotencyLayer::unscoped(handle.clone())
                .fingerprint(|_: &Parts, _: &Bytes| -> Fingerprint { panic!("a fingerprint") }),
        )),
    ];
    for router in routers {
        let call = AssertUnwindSafe(send(&router, pay("/pay", "7f3a", "")));
        assert!(call.catch_unwind().await.is_err());
    }
    assert_eq!((runs.count(), state(&handle).await), (0, None));
    assert_eq!(handle.snapshot().in_flight, 0);
}

/// A waker that panics.
struct Rude;

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        panic!("at the wake");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_waker_panics_costs_its_key_nothing() {
    let waker = Waker::from(Arc::new(Rude));
    let mut cx = Context::from_waker(&waker);
    let handle = handle();
    let layer = IdempotencyLayer::unscoped(handle.clone());
    let (runs, slow) = (Runs::default(), Slow::default());
    for router in [till(&runs, MS), slow.router("text/plain")] {
        let router = router.layer(respond(layer.clone()));
        let mut call = Box::pin(router.oneshot(pay("/pay", "7f3a", "")));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        sleep(2 * MS).await;
        if slow.0.lock().unwrap().is_some() {
            slow.end("paid", &[]);
            sleep(MS).await;
        }
        assert!(matches!(state(&handle).await, Some(ViewState::Done { .. })));
        let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!("it is there") };
        assert_eq!(response.status(), 200);
        assert!(handle.forget(&RecordId::new("", "7f3a").unwrap()).await.unwrap());
    }
}
