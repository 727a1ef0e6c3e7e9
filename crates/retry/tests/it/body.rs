//! What an attempt's body yields.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use proptest::prelude::*;
use steadfast_core::Attempt;
use steadfast_retry::{
    CannotReplay, Ended, Replay,
    http::{HttpReplay, ReplayBody, ReplayError},
};

/// A body that is fed by the test.
#[derive(Clone, Default)]
struct Fed(Arc<Mutex<FedState>>);

#[derive(Default)]
struct FedState {
    frames: VecDeque<Option<io::Result<Frame<Bytes>>>>,
    waker: Option<Waker>,
    polls: usize,
}

impl Fed {
    fn data(&self, data: &'static str) {
        self.push(Some(Ok(Frame::data(Bytes::from_static(data.as_bytes())))));
    }

    fn push(&self, frame: Option<io::Result<Frame<Bytes>>>) {
        let mut state = self.0.lock().unwrap();
        state.frames.push_back(frame);
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    fn polls(&self) -> usize {
        self.0.lock().unwrap().polls
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = self.0.lock().unwrap();
        state.polls += 1;
        match state.frames.pop_front() {
            Some(frame) => Poll::Ready(frame),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

type Sent<B> = ReplayBody<B>;

fn replay(limit: usize) -> HttpReplay {
    HttpReplay::default().with_limit(limit)
}

fn post<B>(body: B) -> Request<B> {
    Request::builder().method(Method::POST).body(body).unwrap()
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

fn poll<B: Body + Unpin>(body: &mut B) -> Polled<B> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

fn next_data<B>(body: &mut Sent<B>) -> String
where
    Sent<B>: Body<Data = Bytes, Error = ReplayError> + Unpin,
{
    match poll(body) {
        Poll::Ready(Some(Ok(frame))) => {
            String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

const SECOND: fn() -> Attempt = || Attempt::FIRST.next();

#[test]
fn a_retry_gets_what_was_read_and_then_the_rest() {
    let fed = Fed::default();
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(fed.clone()));
    let mut first = first.into_body();
    fed.data("one");
    assert_eq!(next_data(&mut first), "one");
    assert!(poll(&mut first).is_pending());
    let mut second = replay.again(&mut saved, SECOND(), Ended::Error).unwrap().into_body();
    fed.data("two");
    fed.push(None);
    assert_eq!((next_data(&mut second), next_data(&mut second)), ("one".into(), "two".into()));
    assert!(matches!(poll(&mut second), Poll::Ready(None)));
    assert!(second.is_end_stream());
    let mut third = replay.again(&mut saved, SECOND(), Ended::Response).unwrap().into_body();
    assert_eq!((third.size_hint().exact(), third.is_end_stream()), (Some(6), false));
    assert_eq!((next_data(&mut third), next_data(&mut third)), ("one".into(), "two".into()));
    assert!(matches!(poll(&mut third), Poll::Ready(None)));
}

#[test]
fn after_a_refused_connection_nothing_was_read_and_all_is_sent() {
    let replay = replay(4);
    // Larger than the limit, but none of it was read.
    let (first, mut saved) = replay.first(post(Full::new(Bytes::from_static(b"a long body"))));
    drop(first);
    let second = replay.again(&mut saved, SECOND(), Ended::Error).unwrap();
    assert_eq!(second.body().size_hint().exact(), Some(11));
    assert!(!second.body().is_end_stream());
    assert_eq!(next_data(&mut second.into_body()), "a long body");
}

#[tokio::test]
async fn an_attempt_that_was_superseded_gets_an_error_and_is_woken_for_it() {
    let fed = Fed::default();
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(fed.clone()));
    let mut first = tokio_test::task::spawn(first.into_body());
    assert!(first.enter(|cx, body| body.poll_frame(cx)).is_pending());
    let mut second = replay.again(&mut saved, SECOND(), Ended::Error).unwrap().into_body();
    assert!(first.is_woken(), "its sender must learn that no more will come");
    fed.data("one");
    let polled = first.enter(|cx, body| body.poll_frame(cx));
    assert!(matches!(polled, Poll::Ready(Some(Err(ReplayError::Superseded)))), "{polled:?}");
    assert!(!first.is_end_stream(), "it must not look complete");
    assert_eq!(next_data(&mut second), "one");
}

#[test]
fn beyond_the_limit_the_body_goes_on_but_cannot_be_repeated() {
    for (limit, outcome) in
        [(6, Ok(())), (5, Err(CannotReplay::TooLarge)), (0, Err(CannotReplay::TooLarge))]
    {
        let fed = Fed::default();
        let replay = replay(limit);
        let (first, mut saved) = replay.first(post(fed.clone()));
        let mut first = first.into_body();
        for data in ["one", "two"] {
            fed.data(data);
            assert_eq!(next_data(&mut first), data);
        }
        fed.push(None);
        assert!(matches!(poll(&mut first), Poll::Ready(None)));
        assert_eq!(
            replay.again(&mut saved, SECOND(), Ended::Error).map(drop),
            outcome,
            "limit {limit}"
        );
    }
}

#[test]
fn a_body_in_countless_pieces_is_kept_like_any_other() {
    for data in ["", "x"] {
        let fed = Fed::default();
        let replay = replay(5000);
        let (first, mut saved) = replay.first(post(fed.clone()));
        let mut first = first.into_body();
        for _ in 0..5000 {
            fed.data(data);
            assert_eq!(next_data(&mut first), data);
        }
        fed.push(None);
        assert!(matches!(poll(&mut first), Poll::Ready(None)));
        let mut second = replay.again(&mut saved, SECOND(), Ended::Response).unwrap().into_body();
        assert_eq!(read(&mut second, usize::MAX), data.repeat(5000).into_bytes());
    }
}

#[test]
fn what_is_kept_does_not_pin_the_buffers_it_was_read_into() {
    let fed = Fed::default();
    let replay = replay(64 * 1024);
    let (first, mut saved) = replay.first(post(fed.clone()));
    let mut first = first.into_body();
    // A peer that sends a byte at a time, each into a fresh read buffer.
    let blocks: Vec<Bytes> = (0..1000).map(|_| Bytes::from(vec![7; 8192])).collect();
    for block in &blocks {
        fed.push(Some(Ok(Frame::data(block.slice(..1)))));
        assert_eq!(read(&mut first, 1), [7]);
    }
    assert!(blocks.iter().all(Bytes::is_unique), "nothing but the test holds the buffers");
    let mut second = replay.again(&mut saved, SECOND(), Ended::Error).unwrap().into_body();
    fed.push(None);
    assert_eq!(read(&mut second, usize::MAX), [7; 1000]);
}

#[test]
fn a_response_before_the_end_of_the_request_is_not_answered_with_a_retry() {
    let fed = Fed::default();
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(fed.clone()));
    fed.data("one");
    assert_eq!(next_data(&mut first.into_body()), "one");
    let outcome = replay.again(&mut saved, SECOND(), Ended::Response).map(drop);
    assert_eq!(outcome, Err(CannotReplay::Unfinished));
}

#[test]
fn a_body_that_failed_is_not_sent_again() {
    let fed = Fed::default();
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(fed.clone()));
    let mut first = first.into_body();
    fed.push(Some(Err(io::ErrorKind::UnexpectedEof.into())));
    let Poll::Ready(Some(Err(ReplayError::Body(error)))) = poll(&mut first) else {
        panic!("the body's own error")
    };
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    for ended in [Ended::Error, Ended::Response] {
        assert_eq!(
            replay.again(&mut saved, SECOND(), ended).map(drop),
            Err(CannotReplay::BodyFailed)
        );
    }
}

#[test]
fn a_body_that_panics_is_a_body_that_failed() {
    struct Panics;
    impl Body for Panics {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            panic!("in the body")
        }
    }
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(Panics));
    let mut first = first.into_body();
    let poll_it = std::panic::AssertUnwindSafe(|| drop(poll(&mut first)));
    std::panic::catch_unwind(poll_it).unwrap_err();
    assert!(!first.is_end_stream(), "it must not look complete");
    assert!(matches!(poll(&mut first), Poll::Ready(Some(Err(ReplayError::Body(_))))));
    assert!(matches!(poll(&mut first), Poll::Ready(None)), "told once");
    assert!(!first.is_end_stream() && first.size_hint().exact().is_none());
    let outcome = replay.again(&mut saved, SECOND(), Ended::Error).map(drop);
    assert_eq!(outcome, Err(CannotReplay::BodyFailed));
}

#[test]
fn an_empty_body_stays_empty_and_is_never_read() {
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(Empty::<Bytes>::new()));
    for body in [
        first.into_body(),
        replay.again(&mut saved, SECOND(), Ended::Response).unwrap().into_body(),
    ] {
        let mut body = body;
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
    }
}

#[test]
fn the_source_is_not_polled_after_its_end() {
    let fed = Fed::default();
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(fed.clone()));
    let mut first = first.into_body();
    fed.push(None);
    assert!(matches!(poll(&mut first), Poll::Ready(None)));
    assert!(matches!(poll(&mut first), Poll::Ready(None)));
    let mut second = replay.again(&mut saved, SECOND(), Ended::Response).unwrap().into_body();
    assert!(matches!(poll(&mut second), Poll::Ready(None)));
    assert_eq!(fed.polls(), 1);
}

#[tokio::test]
async fn trailers_are_replayed_after_the_data() {
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", "7".parse().unwrap());
    let frames = [Frame::data(Bytes::from_static(b"one")), Frame::trailers(trailers.clone())];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, io::Error>)));
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(body));
    for _ in 0..3 {
        let again = replay.again(&mut saved, SECOND(), Ended::Error).unwrap();
        let collected = again.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "one");
    }
    drop(first);
}

#[test]
fn the_attempt_stands_in_the_extensions_from_the_second_on() {
    let replay = replay(100);
    let (first, mut saved) = replay.first(post(Full::new(Bytes::from_static(b"one"))));
    assert_eq!(first.extensions().get::<Attempt>(), None);
    let second = replay.again(&mut saved, SECOND(), Ended::Error).unwrap();
    assert_eq!(second.extensions().get::<Attempt>().map(|attempt| attempt.number()), Some(2));
}

/// Reads up to `frames` frames and returns the data.
fn read<B>(body: &mut Sent<B>, frames: usize) -> Vec<u8>
where
    Sent<B>: Body<Data = Bytes, Error = ReplayError> + Unpin,
{
    let mut data = Vec::new();
    for _ in 0..frames {
        match poll(body) {
            Poll::Ready(Some(Ok(frame))) => data.extend_from_slice(&frame.into_data().unwrap()),
            Poll::Ready(None) => break,
            other => panic!("{other:?}"),
        }
    }
    data
}

proptest! {
    /// Whatever each attempt read before it broke off, the last one sends every byte once and in
    /// order.
    #[test]
    fn the_last_attempt_sends_the_whole_body(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..20),
        breaks in prop::collection::vec(0usize..25, 0..6),
    ) {
        let whole: Vec<u8> = pieces.concat();
        let fed = Fed::default();
        for piece in &pieces {
            fed.push(Some(Ok(Frame::data(Bytes::from(piece.clone())))));
        }
        fed.push(None);
        let replay = replay(1000);
        let (first, mut saved) = replay.first(post(fed));
        let mut body = first.into_body();
        for frames in breaks {
            let data = read(&mut body, frames);
            prop_assert!(whole.starts_with(&data));
            body = replay.again(&mut saved, SECOND(), Ended::Error).unwrap().into_body();
        }
        let SizeHint { .. } = body.size_hint();
        prop_assert_eq!(read(&mut body, usize::MAX), whole);
        prop_assert!(body.is_end_stream());
    }
}
