//! Callers that leave, handlers that panic, and what reaches a handler.

use std::{convert::Infallible, panic::AssertUnwindSafe, time::Duration};

use axum::{Router, body::Body, routing::post};
use futures::{FutureExt, poll};
use http::{Request, Response};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig, RecordId, ViewState, http::IdempotencyLayer,
};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};

use super::support::{Got, Runs, handle, layer, pay, send, till};
use crate::support::{Fault, Faulty, MS};

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_at_any_poll_strands_nothing_and_its_retry_gets_the_reply() {
    for polls in 0..=5 {
        let (runs, store) = (Runs::default(), Faulty::new());
        // Time passes in the claim and in the completion, so that there are moments within them.
        store.next("claim", Fault::Slow(2 * MS), 1);
        store.next("complete", Fault::Slow(2 * MS), 1);
        let handle = Idempotency::new(IdempotencyConfig::new(), store).unwrap();
        let router = till(&runs, 2 * MS).layer(respond(IdempotencyLayer::unscoped(handle)));
        let mut call = Box::pin(send(&router, pay("/pay", "7f3a", "5 euros")));
        for _ in 0..polls {
            if poll!(&mut call).is_ready() {
                break;
            }
            sleep(MS).await;
        }
        drop(call);
        if polls > 0 {
            // It goes on by itself.
            sleep(100 * MS).await;
            assert_eq!(runs.count(), 1, "left after {polls} polls");
        }
        let again = send(&router, pay("/pay", "7f3a", "5 euros")).await;
        assert_eq!(again.text, "/pay: 5 euros paid in run 1", "left after {polls} polls");
        assert_eq!((again.is_replayed(), runs.count()), (polls > 0, 1), "left after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_its_body_is_read_has_done_nothing() {
    let (runs, store) = (Runs::default(), Faulty::new());
    let handle = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let router = till(&runs, MS).layer(respond(IdempotencyLayer::unscoped(handle)));
    let silent = futures::stream::pending::<Result<bytes::Bytes, Infallible>>();
    let request = pay("/pay", "7f3a", "").map(|_| Body::from_stream(silent));
    let mut call = Box::pin(send(&router, request));
    assert!(poll!(&mut call).is_pending());
    drop(call);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((runs.count(), store.calls("claim")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_handler_reaches_its_caller_once_the_key_is_settled() {
    for panics_in_call in [false, true] {
        let handle = handle();
        let handler = service_fn(move |_: Request<_>| {
            assert!(!panics_in_call, "in the handler");
            async { panic!("in the handler") }
        });
        let handler = handler.map_result(|result: Result<Infallible, Infallible>| match result {
            Ok(_) => Ok::<_, Infallible>(Response::new(Body::empty())),
            Err(never) => match never {},
        });
        let service = respond(IdempotencyLayer::unscoped(handle.clone())).layer(handler);
        let call = service.clone().oneshot(pay("/pay", "7f3a", ""));
        let panic = AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the handler"));
        let id = RecordId::new("", "7f3a").unwrap();
        let view = handle.look(&id).await.unwrap().unwrap();
        assert_eq!(view.state, ViewState::Abandoned);
        // And so the next copy is refused, and does not come back.
        let Ok(again) = service.oneshot(pay("/pay", "7f3a", "")).await;
        assert_eq!(Got::of(again).await.refused(), (409, None));
    }
}

tokio::task_local! {
    static TENANT: &'static str;
}

#[tokio::test]
async fn task_locals_of_the_caller_do_not_reach_a_handler_behind_a_key_and_extensions_do() {
    #[derive(Clone)]
    struct Tenant(&'static str);
    let tenants = |extension: Option<axum::Extension<Tenant>>| async move {
        let local = TENANT.try_with(|tenant| *tenant).unwrap_or("none");
        format!("{local}, {}", extension.map_or("none", |tenant| tenant.0.0))
    };
    let router = Router::new().route("/pay", post(tenants)).layer(respond(layer()));
    let asked = async |mut request: Request<Body>| {
        request.extensions_mut().insert(Tenant("alice"));
        TENANT.scope("alice", send(&router, request)).await.text
    };
    assert_eq!(asked(pay("/pay", "7f3a", "")).await, "none, alice");
    let no_key = Request::post("/pay").body(Body::empty()).unwrap();
    assert_eq!(asked(no_key).await, "alice, alice", "it runs where its caller does");
}
