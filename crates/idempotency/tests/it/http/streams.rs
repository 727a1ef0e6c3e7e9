//! Replies through the whole layer as time passes: of known length and of none, read and left.

use std::time::Duration;

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use futures::{StreamExt, poll};
use http::Response;
use http_body_util::BodyExt;
use steadfast_core::http::respond;
use steadfast_idempotency::{Idempotency, IdempotencyConfig, RecordId, http::IdempotencyLayer};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::support::{Runs, handle, handle_of, pay, send, till};
use crate::support::{Fault, Faulty, MS};

/// Streams `frames` of ten bytes, one each 10 ms.
fn stream(frames: usize) -> (Runs, Idempotency, Router) {
    let (runs, handle) = (Runs::default(), handle());
    let seen = runs.clone();
    let handler = post(move || {
        seen.next();
        let frames = futures::stream::iter(0..frames).then(|n| async move {
            sleep(10 * MS).await;
            Ok::<_, std::io::Error>(format!("frame {n:03}\n"))
        });
        async { Body::from_stream(frames) }
    });
    let layer = respond(IdempotencyLayer::unscoped(handle.clone()));
    (runs, handle, Router::new().route("/pay", handler).layer(layer))
}

async fn start(router: &Router) -> Response<Body> {
    let Ok(response) = router.clone().oneshot(pay("/pay", "7f3a", "")).await;
    response
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_unknown_length_comes_as_it_is_made_and_is_replayed_as_a_whole() {
    let (runs, _, router) = stream(10);
    let began = Instant::now();
    let mut body = start(&router).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((first, Instant::now() - began), (Bytes::from("frame 000\n"), 10 * MS));
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!((rest.len(), Instant::now() - began), (90, 100 * MS));
    let again = send(&router, pay("/pay", "7f3a", "")).await;
    assert_eq!((again.text.len(), again.is_replayed(), runs.count()), (100, true, 1));
    assert!(again.text.starts_with("frame 000\nframe 001\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_the_middle_or_reads_nothing_holds_up_no_duplicate() {
    for reads in [0, 1, 5] {
        let (runs, handle, router) = stream(10);
        let began = Instant::now();
        let mut body = start(&router).await.into_body();
        for _ in 0..reads {
            body.frame().await.unwrap().unwrap();
        }
        // One left, one that is kept and not read.
        let kept = if reads == 0 { Some(body) } else { None };
        let again = send(&router, pay("/pay", "7f3a", "")).await;
        assert_eq!((again.text.len(), again.is_replayed(), runs.count()), (100, true, 1));
        assert_eq!(Instant::now() - began, 100 * MS, "at the handler's pace");
        assert_eq!((handle.snapshot().in_flight, handle.snapshot().stored), (0, 1));
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_beyond_the_limit_is_whole_for_the_first_and_a_refusal_for_the_next() {
    let runs = Runs::default();
    let seen = runs.clone();
    let handler = post(move |body: String| async move {
        seen.next();
        let long = vec![b'x'; 150_000];
        if body == "known" {
            return Body::from(long);
        }
        let chunks: Vec<_> =
            long.chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        Body::from_stream(futures::stream::iter(chunks).then(|chunk| async {
            sleep(MS).await;
            chunk
        }))
    });
    let handle = handle_of(IdempotencyConfig::new().most_reply_bytes(64_000));
    let router = Router::new()
        .route("/pay", handler)
        .layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    for (run, length) in [(1, "known"), (2, "unknown")] {
        let first = send(&router, pay("/pay", length, length)).await;
        assert_eq!((first.status.as_u16(), first.text.len()), (200, 150_000));
        assert_eq!(send(&router, pay("/pay", length, length)).await.refused(), (409, None));
        assert_eq!(runs.count(), run);
    }
    assert_eq!(handle.snapshot().not_kept, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_known_length_is_recorded_before_its_caller_sees_it() {
    let (runs, store) = (Runs::default(), Faulty::new());
    store.next("complete", Fault::Slow(50 * MS), 1);
    let handle = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let router = till(&runs, 10 * MS).layer(respond(IdempotencyLayer::unscoped(handle)));
    let began = Instant::now();
    send(&router, pay("/pay", "7f3a", "")).await;
    assert_eq!((Instant::now() - began, store.calls("complete")), (60 * MS, 1));
}

/// Its head and its end are there together.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_polled_late_gets_a_copied_reply_whole() {
    let (_, handle, router) = stream(3);
    let mut call = Box::pin(send(&router, pay("/pay", "7f3a", "")));
    assert!(poll!(&mut call).is_pending());
    sleep(1000 * MS).await;
    assert_eq!(handle.snapshot().stored, 1);
    let got = call.await;
    assert_eq!((got.status.as_u16(), got.text.len(), got.is_replayed()), (200, 30, false));
}

#[tokio::test]
async fn a_record_that_is_no_reply_of_this_layer_is_refused_and_does_not_run() {
    let (runs, handle) = (Runs::default(), handle());
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    send(&router, pay("/pay", "7f3a", "5")).await;
    // The same key and payload by other means, which kept other bytes.
    let other = super::support::handle();
    let print = steadfast_idempotency::Fingerprint::of(["POST", "/pay", "5"]);
    let operation = |_| async { ((), steadfast_idempotency::Outcome::Store("receipt".into())) };
    other.execute(RecordId::new("", "7f3a").unwrap(), print, operation).await.unwrap();
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::unscoped(other.clone())));
    assert_eq!(send(&router, pay("/pay", "7f3a", "5")).await.refused(), (409, None));
    assert_eq!((runs.count(), other.snapshot().refused), (1, 1));
}
