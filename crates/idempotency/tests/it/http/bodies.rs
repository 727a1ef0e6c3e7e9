//! Bodies of requests: read as a whole before anything is claimed.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig,
    http::{IdempotencyLayer, OnStream},
};
use tokio::time::Instant;

use super::support::{Runs, layer, pay, send, till};
use crate::support::{Faulty, MS};

/// Sends its frames, one each `pause`, and then ends or goes on without a word.
struct Frames {
    frames: VecDeque<&'static [u8]>,
    pause: Duration,
    ends: bool,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let pause = self.pause;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(timer.as_mut().poll(cx));
        self.timer = None;
        match self.frames.pop_front() {
            Some(b"broken") => Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into()))),
            Some(data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data))))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn frames(frames: &[&'static [u8]], pause: Duration, ends: bool) -> Request<Body> {
    let frames = Frames { frames: frames.to_vec().into(), pause, ends, timer: None };
    pay("/pay", "7f3a", "").map(|_| Body::new(frames))
}

/// A shop over a store that counts its calls.
struct Shop {
    runs: Runs,
    store: Faulty,
    handle: Idempotency,
    router: Router,
}

fn shop(with: impl Fn(IdempotencyLayer) -> IdempotencyLayer) -> Shop {
    let (runs, store) = (Runs::default(), Faulty::new());
    let handle = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let layer = with(IdempotencyLayer::unscoped(handle.clone()));
    Shop { router: till(&runs, Duration::ZERO).layer(respond(layer)), runs, store, handle }
}

impl Shop {
    /// Runs, claims, refusals.
    fn counts(&self) -> (u32, usize, u64) {
        (self.runs.count(), self.store.calls("claim"), self.handle.snapshot().refused)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_refused_in_time_and_claims_nothing() {
    let shop = shop(|layer| layer.body_time(100 * MS));
    let began = Instant::now();
    let got = send(&shop.router, frames(&[b"5 euros"], MS, false)).await;
    assert_eq!((got.refused(), Instant::now() - began), ((408, None), 100 * MS));
    assert_eq!(shop.counts(), (0, 0, 1));
    // Nor does one that comes in drops: the time is that of the whole body.
    let got = send(&shop.router, frames(&[&b"5"[..]; 200], MS, true)).await;
    assert_eq!(got.refused(), (408, None));
    assert_eq!(shop.counts(), (0, 0, 2));
    assert_eq!(send(&shop.router, pay("/pay", "7f3a", "5 euros")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_in_pieces_is_handed_on_in_one() {
    let shop = shop(|layer| layer);
    let got = send(&shop.router, frames(&[b"5 ", b"", b"eu", b"ros"], MS, true)).await;
    assert_eq!(got.text, "/pay: 5 euros paid in run 1");
    assert!(send(&shop.router, pay("/pay", "7f3a", "5 euros")).await.is_replayed());
}

#[tokio::test]
async fn a_body_of_nothing_but_empty_frames_neither_keeps_the_thread_nor_goes_on_for_ever() {
    let shop = shop(|layer| layer.body_time(20 * MS));
    let empty = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Frame::data(Bytes::new())));
    let request = pay("/pay", "7f3a", "").map(|_| Body::new(StreamBody::new(empty)));
    let (got, ()) = tokio::join!(send(&shop.router, request), tokio::time::sleep(MS));
    assert_eq!(got.refused(), (408, None));
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_above_it_is_refused_and_claims_nothing() {
    let shop = shop(|layer| layer.body_limit(7));
    let pieces = |pieces: &[&'static [u8]]| frames(pieces, Duration::ZERO, true);
    for above in [
        pay("/pay", "7f3a", "5 euros!"),
        pieces(&[b"5 euros!"]),
        pieces(&[b"5 euro", b"s!"]),
        pieces(&[b"5 euros", b"", b"!", b"broken"]),
    ] {
        assert_eq!(send(&shop.router, above).await.refused(), (413, None));
    }
    assert_eq!(shop.counts(), (0, 0, 4));
    let at = send(&shop.router, pieces(&[b"5 euro", b"s"])).await;
    assert_eq!(at.text, "/pay: 5 euros paid in run 1");
}

#[tokio::test(start_paused = true)]
async fn a_body_may_have_a_mebibyte_and_take_ten_seconds_unless_told_otherwise() {
    let shop = shop(|layer| layer);
    let most = "x".repeat(1 << 20);
    assert_eq!(send(&shop.router, pay("/pay", "7f3a", &most)).await.status, 200);
    let more = pay("/pay", "7f3b", &format!("{most}x"));
    assert_eq!(send(&shop.router, more).await.refused(), (413, None));
    let began = Instant::now();
    assert_eq!(send(&shop.router, frames(&[], MS, false)).await.refused(), (408, None));
    assert_eq!(Instant::now() - began, Duration::from_secs(10));
}

#[tokio::test]
async fn a_length_that_is_announced_is_refused_before_anything_is_read() {
    /// It must not be read.
    struct Announced;
    impl http_body::Body for Announced {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            panic!("read")
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(u64::MAX)
        }
    }
    let shop = shop(|layer| layer);
    let got = send(&shop.router, pay("/pay", "7f3a", "").map(|_| Body::new(Announced))).await;
    assert_eq!(got.refused(), (413, None));
}

#[tokio::test]
async fn trailers_of_a_request_reach_its_handler() {
    let handler = post(async |request: Request<Body>| {
        let is_at_end = request.body().is_end_stream();
        let body = request.into_body().collect().await.unwrap();
        let sum = body.trailers().map(|trailers| trailers["sum"].to_str().unwrap().to_owned());
        format!("{is_at_end} {sum:?} {:?}", body.to_bytes())
    });
    let router = Router::new().route("/pay", handler).layer(respond(layer()));
    for data in ["", "5 euros"] {
        let trailers = HeaderMap::from_iter([("sum".parse().unwrap(), "7".parse().unwrap())]);
        let body = Full::from(data).with_trailers(async { Some(Ok(trailers)) });
        let request = pay("/pay", &format!("7f3a{data}").replace(' ', ""), "");
        let got = send(&router, request.map(|_| Body::new(body))).await;
        assert_eq!(got.text, format!("false Some(\"7\") b{data:?}"));
    }
}

#[tokio::test]
async fn a_handler_is_told_how_much_there_is_to_read() {
    let handler = post(async |request: Request<Body>| {
        let (hint, is_at_end) = (request.body().size_hint(), request.body().is_end_stream());
        let read = request.into_body().collect().await.unwrap().to_bytes().len();
        format!("{}, {:?}, {is_at_end}, {read}", hint.lower(), hint.upper())
    });
    let layer = layer().on_stream(OnStream::Pass);
    let router = Router::new().route("/pay", handler).layer(respond(layer));
    let whole = frames(&[b"5 eu", b"ros"], Duration::ZERO, true);
    assert_eq!(send(&router, whole).await.text, "7, Some(7), false, 7");
    // A stream that is passed on: what was read of it, and the rest.
    let mut stream = pay("/pay", "7f3b", "\0\0\0\0\x01A\0\0\0\0\x01B");
    stream.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    assert_eq!(send(&router, stream).await.text, "12, Some(12), false, 12");
}

/// Has one frame, and says what is left behind it: it must not be read on.
struct OneFrame {
    data: &'static [u8],
    left: u64,
    is_read: bool,
}

impl http_body::Body for OneFrame {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        assert!(!std::mem::replace(&mut self.is_read, true), "read on");
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_read && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_read { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

fn one_frame(kind: &'static str, data: &'static [u8], left: u64) -> Request<Body> {
    let mut request = pay("/pay", "7f3a", "");
    request.headers_mut().insert("content-type", kind.parse().unwrap());
    request.map(|_| Body::new(OneFrame { data, left, is_read: false }))
}

#[tokio::test]
async fn a_length_that_is_announced_on_the_way_is_refused_before_the_rest_is_read() {
    let shop = shop(|layer| layer.body_limit(10));
    let late = one_frame("text/plain", b"5 euros", 4);
    assert_eq!(send(&shop.router, late).await.refused(), (413, None));
    assert_eq!(shop.counts(), (0, 0, 1));
}

#[tokio::test]
async fn a_body_that_has_said_its_end_is_not_read_on() {
    for (kind, data) in [("text/plain", &b"5 euros"[..]), ("application/grpc", b"\0\0\0\0\x01A")] {
        let shop = shop(|layer| layer);
        assert_eq!(send(&shop.router, one_frame(kind, data, 0)).await.status, 200, "{kind}");
        assert_eq!(shop.counts(), (1, 1, 0));
    }
}

/// "5 euros" is the beginning of a message of 500 MB there.
#[tokio::test(start_paused = true)]
async fn a_message_of_grpc_that_is_too_long_is_refused_before_it_has_come() {
    let shop = shop(|layer| layer);
    for (kind, is_grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc; q=1", true),
        ("application/grpc ;q=1", true),
        ("Application/GRPC", true),
        ("application/grpc-web", false),
        ("application/grpcs", false),
        ("application/grp", false),
        ("text/plain", false),
    ] {
        let mut request = frames(&[b"5 eu", b"ros"], MS, !is_grpc);
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let got = send(&shop.router, request).await;
        assert_eq!(got.status.as_u16(), if is_grpc { 413 } else { 200 }, "{kind}");
    }
    assert_eq!(shop.counts().2, 5);
}

#[tokio::test]
async fn a_body_that_breaks_off_claims_nothing() {
    let shop = shop(|layer| layer);
    let got = send(&shop.router, frames(&[b"5 eu", b"broken"], Duration::ZERO, true)).await;
    assert_eq!(got.refused(), (400, None));
    assert_eq!(shop.counts(), (0, 0, 1));
}

#[tokio::test]
async fn an_empty_limit_takes_empty_bodies_alone() {
    let shop = shop(|layer| layer.body_limit(0).body_time(Duration::ZERO));
    assert_eq!(send(&shop.router, pay("/pay", "7f3a", "")).await.status, 200);
    assert_eq!(send(&shop.router, pay("/pay", "7f3b", "5")).await.refused(), (413, None));
}
