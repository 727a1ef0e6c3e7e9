//! What a handler's response means for its key, and what of it is given again.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, response::IntoResponse, routing::post};
use bytes::Bytes;
use futures::stream;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use steadfast_core::{
    Error, Grounds, Refusal, RefusalKind,
    http::{SealResponseLayer, respond},
};
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig, OnAbandoned, RecordId, Store, StoredReply, View, ViewState,
    http::{IdempotencyLayer, KeptHeaders, KeptResponse, Meaning, ReplyPolicy},
};
use tokio::time::{Instant, sleep};
use tower::{ServiceExt, layer::layer_fn, service_fn};

use super::support::{Got, Runs, handle, pay, send};
use crate::support::{Fault, Faulty, LEASE, MS};

/// A handler that answers so, and how often it ran.
fn answers<A, R>(answer: A) -> (Router, Runs)
where
    A: Fn(u32) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse + 'static,
{
    let runs = Runs::default();
    let seen = runs.clone();
    let handler = move || {
        let response = answer(seen.next()).into_response();
        async move { response }
    };
    (Router::new().route("/pay", post(handler)), runs)
}

async fn twice(router: &Router) -> [(u16, bool); 2] {
    let mut seen = [(0, false); 2];
    for seen in &mut seen {
        let got = send(router, pay("/pay", "7f3a", "")).await;
        *seen = (got.status.as_u16(), got.is_replayed());
    }
    seen
}

async fn state(handle: &Idempotency) -> Option<ViewState> {
    let view = handle.look(&RecordId::new("", "7f3a").unwrap()).await.unwrap();
    view.map(|view: View| view.state)
}

#[tokio::test]
async fn an_answer_is_stored_and_a_failure_that_was_not_executed_frees_its_key() {
    for (status, retry_after, replayed, runs_expected) in [
        (200, None, true, 1),
        (404, None, true, 1),
        (409, None, true, 1),
        (500, None, true, 1),
        (503, None, true, 1),
        (400, None, false, 2),
        (422, None, false, 2),
        (429, None, false, 2),
        (503, Some("7"), false, 2),
    ] {
        let (router, runs) = answers(move |_| {
            let mut response = Response::new(Body::from("answer"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(after) = retry_after {
                response.headers_mut().insert("retry-after", HeaderValue::from_static(after));
            }
            response
        });
        let router = router.layer(respond(IdempotencyLayer::unscoped(handle())));
        assert_eq!(twice(&router).await, [(status, false), (status, replayed)], "{status}");
        assert_eq!(runs.count(), runs_expected, "{status}");
    }
}

#[tokio::test]
async fn a_504_abandons_its_key_and_never_runs_again() {
    let handle = handle();
    let (router, runs) = answers(|_| StatusCode::GATEWAY_TIMEOUT);
    let router = router.layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    assert_eq!(twice(&router).await, [(504, false), (409, false)]);
    assert_eq!((runs.count(), state(&handle).await), (1, Some(ViewState::Abandoned)));
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("refused")]
struct Refused(#[source] Grounds);

impl Refusal for Refused {
    fn grounds(&self) -> Grounds {
        self.0
    }
}

#[tokio::test]
async fn a_refusal_of_a_layer_inside_means_what_its_grounds_say() {
    for (grounds, replayed_as, left) in [
        (Grounds::not_executed(RefusalKind::Unavailable), 503, None),
        (Grounds::maybe_executed(RefusalKind::Unavailable), 409, Some(ViewState::Abandoned)),
        (Grounds::maybe_executed(RefusalKind::TooMany), 409, Some(ViewState::Abandoned)),
    ] {
        let handle = handle();
        let refuses = layer_fn(move |_| {
            service_fn(move |_: http::Request<Body>| async move {
                Err::<Response<Body>, Error<Infallible>>(Refused(grounds).into())
            })
        });
        let (router, runs) = answers(|_| "never");
        let router = router
            .layer(respond(refuses))
            .layer(respond(IdempotencyLayer::unscoped(handle.clone())));
        let [_, (second, _)] = twice(&router).await;
        assert_eq!((second, state(&handle).await, runs.count()), (replayed_as, left, 0));
    }
}

#[tokio::test]
async fn what_a_sealed_handler_answers_is_stored_whatever_its_status_promises() {
    let (router, runs) = answers(|_| StatusCode::TOO_MANY_REQUESTS);
    let router =
        router.layer(SealResponseLayer::new()).layer(respond(IdempotencyLayer::unscoped(handle())));
    assert_eq!(twice(&router).await, [(429, false), (429, true)]);
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn policies_store_what_their_names_say() {
    let by = || {
        ReplyPolicy::by(|reply| match reply.status().as_u16() {
            404 => Meaning::Release,
            500 => Meaning::Abandon,
            _ => Meaning::Store,
        })
    };
    for (status, policy, second) in [
        (422, ReplyPolicy::StripeLike, (422, true)),
        (504, ReplyPolicy::StripeLike, (504, true)),
        (400, ReplyPolicy::StripeLike, (400, false)),
        (200, ReplyPolicy::SuccessOnly, (200, true)),
        (302, ReplyPolicy::SuccessOnly, (302, true)),
        (404, ReplyPolicy::SuccessOnly, (404, false)),
        (500, ReplyPolicy::SuccessOnly, (500, false)),
        (404, by(), (404, false)),
        (500, by(), (409, false)),
        (429, by(), (429, true)),
    ] {
        let (router, _) = answers(move |_| StatusCode::from_u16(status).unwrap());
        let layer = IdempotencyLayer::unscoped(handle()).replies(policy.clone());
        let seen = twice(&router.layer(respond(layer))).await;
        assert_eq!(seen, [(status, false), second], "{policy:?}");
    }
}

#[cfg(feature = "tracing")]
#[test]
fn a_failure_that_runs_again_because_successes_alone_are_stored_says_so() {
    for (status, warnings) in [(200, 0), (400, 0), (500, 2), (504, 2)] {
        let lines = steadfast_testkit::events(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(async {
                let (router, _) = answers(move |_| StatusCode::from_u16(status).unwrap());
                let layer = IdempotencyLayer::unscoped(handle()).replies(ReplyPolicy::SuccessOnly);
                twice(&router.layer(respond(layer))).await;
            });
        });
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("runs again")).collect();
        assert_eq!(lines.len(), warnings, "{status}: {lines:?}");
        assert!(lines.iter().all(|line| !line.contains("7f3a")), "{lines:?}");
    }
}

#[tokio::test]
async fn the_headers_that_are_kept_can_be_chosen() {
    let (router, _) = answers(|run| {
        let run = run.to_string();
        [("x-request-id", run.clone()), ("ratelimit-remaining", run.clone()), ("x-run", run)]
    });
    let headers = KeptHeaders::new()
        .without(HeaderName::from_static("x-request-id"))
        .with(HeaderName::from_static("ratelimit-remaining"));
    let layer = IdempotencyLayer::unscoped(handle()).kept_headers(headers);
    let router = router.layer(respond(layer));
    let first = send(&router, pay("/pay", "7f3a", "")).await;
    let names = ["x-request-id", "ratelimit-remaining", "x-run"];
    let has = |got: &Got| names.map(|name| got.headers.contains_key(name));
    assert_eq!(has(&first), [true, true, true]);
    let again = send(&router, pay("/pay", "7f3a", "")).await;
    assert_eq!(has(&again), [false, true, true]);
}

#[tokio::test]
async fn what_is_stored_is_a_response_and_one_that_cannot_be_read_is_final() {
    let store = Faulty::new();
    let handle = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let (router, runs) = answers(|_| (StatusCode::CREATED, [("x-run", "1")], "paid"));
    let router = router.layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    send(&router, pay("/pay", "7f3a", "")).await;
    let Some(ViewState::Done { reply }) = state(&handle).await else { panic!("no reply") };
    let Ok(StoredReply::Kept(record)) = StoredReply::decode(&reply) else { panic!("{reply:?}") };
    let kept = KeptResponse::decode(&record).unwrap();
    assert_eq!((kept.status, kept.body), (StatusCode::CREATED, Bytes::from("paid")));
    assert_eq!(kept.headers["x-run"], "1");

    // The same key under another release of the program, whose replies are not responses.
    let id = RecordId::new("", "7f3a").unwrap();
    let view = handle.look(&id).await.unwrap().unwrap();
    handle.forget(&id).await.unwrap();
    let other = handle.execute(id, view.fingerprint, |_| async {
        ((), steadfast_idempotency::Outcome::Store(Bytes::from("{\"status\":200}")))
    });
    other.await.unwrap();
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.refused(), (409, None));
    assert_eq!(runs.count(), 1);
}

/// Ten bytes every 10 ms, five times.
fn slowly() -> Body {
    Body::from_stream(stream::unfold(0, async |count| {
        sleep(10 * MS).await;
        (count < 5).then_some((Ok::<_, Infallible>(Bytes::from("ten bytes!")), count + 1))
    }))
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_copied_reply_is_seen_once_the_store_has_it() {
    let store = Faulty::new();
    store.next("complete", Fault::Slow(500 * MS), 1);
    let handle = Idempotency::new(IdempotencyConfig::new(), store).unwrap();
    let (router, _) = answers(|_| slowly());
    let router = router.layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    let began = Instant::now();
    let response = router.oneshot(pay("/pay", "7f3a", "")).await.unwrap();
    let mut body = response.into_body();
    for number in 1..=5 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ten bytes!");
        assert_eq!(Instant::now() - began, 10 * number * MS);
    }
    assert!(matches!(state(&handle).await, Some(ViewState::InFlight { .. })));
    assert!(body.frame().await.is_none());
    assert_eq!(Instant::now() - began, 560 * MS);
    assert!(matches!(state(&handle).await, Some(ViewState::Done { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_does_not_keep_the_end_of_a_copied_reply_for_ever() {
    let store = Faulty::new();
    store.next("complete", Fault::Unreached, usize::from(u16::MAX));
    let limit = Duration::from_secs(1);
    let config = IdempotencyConfig::new().store_limit(limit);
    let handle = Idempotency::new(config, store).unwrap();
    let (router, _) = answers(|_| slowly());
    let router = router.layer(respond(IdempotencyLayer::unscoped(handle)));
    let began = Instant::now();
    let got = send(&router, pay("/pay", "7f3a", "")).await;
    assert_eq!(got.text.len(), 50);
    let took = Instant::now() - began;
    assert!((limit..=2 * limit + 100 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_copied_reply_whose_claim_was_taken_over_breaks_off_in_place_of_its_end() {
    let store = Faulty::new();
    let config = IdempotencyConfig::new().on_abandoned(OnAbandoned::Takeover);
    let (here, there) = (store.clone(), store.clone());
    // The first process's renewals do not get through.
    here.next("renew", Fault::Unreached, 99);
    let runs = Runs::default();
    let process = |store: Faulty| {
        let runs = runs.clone();
        let handler = async move || {
            let run = runs.next();
            Body::from_stream(stream::unfold(0, move |count| async move {
                // The first run stands still until its lease is over.
                sleep(if run == 1 { LEASE } else { MS }).await;
                let part = Bytes::from(format!("run {run}"));
                (count < 2).then_some((Ok::<_, Infallible>(part), count + 1))
            }))
        };
        let handle = Idempotency::new(config.clone(), store).unwrap();
        Router::new()
            .route("/pay", post(handler))
            .layer(respond(IdempotencyLayer::unscoped(handle)))
    };
    let (here, there) = (process(here), process(there));
    let zombie = here.clone().oneshot(pay("/pay", "7f3a", "")).await.unwrap();
    sleep(LEASE + MS).await;
    let taken = send(&there, pay("/pay", "7f3a", "")).await;
    assert_eq!((taken.is_replayed(), &*taken.text), (false, "run 2run 2"));
    assert!(zombie.into_body().collect().await.is_err());
    let again = send(&here, pay("/pay", "7f3a", "")).await;
    assert_eq!((again.is_replayed(), &*again.text), (true, "run 2run 2"));
    assert_eq!(runs.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_waits_no_longer_cuts_a_copied_reply_off_and_abandons_its_key() {
    let store = Faulty::new();
    let handle = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let (router, _) = answers(|_| slowly());
    let router = router.layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    let mut body = router.oneshot(pay("/pay", "7f3a", "")).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    handle.shutdown(MS).await;
    assert!(body.collect().await.is_err());
    let view = store.look(&RecordId::new("", "7f3a").unwrap()).await.unwrap().unwrap();
    assert_eq!(view.state, ViewState::Abandoned);
}
