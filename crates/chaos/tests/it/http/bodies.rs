//! Spoilt bodies, read by hand on a paused clock.

use std::{cell::Cell, convert::Infallible, rc::Rc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use proptest::prelude::*;
use steadfast_chaos::{BodyCut, Fault, FaultBody, FaultLayer, Faults, Http, Plan, Rule};
use steadfast_testkit::BoxError;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{DELAY, SECOND, always, counts, on};

/// What a client reads of a body: its pieces with their times, trailers, and how it ends.
#[derive(Debug, Default)]
struct Read {
    pieces: Vec<(Duration, Bytes)>,
    trailers: Option<HeaderMap>,
    error: Option<BoxError>,
}

impl Read {
    fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect()
    }
}

async fn read(body: impl Body<Data = Bytes, Error = BoxError>) -> Read {
    let (begun, mut read) = (Instant::now(), Read::default());
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => read.pieces.push((Instant::now() - begun, data)),
            Ok(Err(trailers)) => read.trailers = trailers.into_trailers().ok(),
            Err(error) => read.error = Some(error),
        }
    }
    assert!(body.frame().await.is_none(), "it stays at its end");
    read
}

/// The body that comes of `body` under a fault.
async fn under<B>(faults: &Faults, body: B) -> FaultBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let body = Rc::new(Cell::new(Some(body)));
    let service = service_fn(move |_: Request<()>| {
        let body = body.take().unwrap();
        async move { Ok::<_, BoxError>(Response::new(body)) }
    });
    let service = FaultLayer::new(faults.clone()).http().layer(service);
    service.oneshot(Request::new(())).await.unwrap().into_body()
}

/// A body whose size is not told: these pieces, and trailers if it is said.
fn streaming(
    pieces: &[&'static [u8]],
    has_trailers: bool,
) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let trailers = has_trailers.then(|| Frame::trailers(trailers));
    let pieces = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece)));
    let frames: Vec<_> = pieces.chain(trailers).map(Ok).collect();
    StreamBody::new(stream::iter(frames))
}

fn flipped_bits(left: &[u8], right: &[u8]) -> u32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(left, right)| (left ^ right).count_ones()).sum()
}

#[tokio::test(start_paused = true)]
async fn one_bit_is_flipped_and_all_else_stays() {
    let faults = always(Fault::BitFlipped);
    let body = under(&faults, super::full()).await;
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1000), false));
    assert_eq!(counts(&faults), (0, 0), "no byte has come");
    let read = read(body).await;
    assert_eq!(flipped_bits(&read.bytes(), &super::thousand()), 1);
    assert!(read.error.is_none());
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cut_body_breaks_off_in_the_middle() {
    let faults = always(Fault::BodyCut);
    let body = under(&faults, super::full()).await;
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1000), false));
    let read = read(body).await;
    let bytes = read.bytes();
    assert!(!bytes.is_empty() && bytes.len() < 1000);
    assert_eq!(bytes, super::thousand()[..bytes.len()]);
    assert!(read.error.unwrap().is::<BodyCut>());
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_stalls_once_in_the_middle_and_is_whole() {
    let faults = always(Fault::SlowBody(DELAY));
    let read = read(under(&faults, super::full()).await).await;
    let times: Vec<_> = read.pieces.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [Duration::ZERO, SECOND]);
    assert_eq!(read.bytes(), super::thousand());
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_size_is_not_told_is_spoilt_in_its_first_piece() {
    let pieces: [&[u8]; 3] = [b"", b"first piece", b"second"];
    let whole = pieces.concat();
    for fault in [Fault::BitFlipped, Fault::BodyCut, Fault::SlowBody(DELAY)] {
        let faults = always(fault);
        let body = under(&faults, streaming(&pieces, true)).await;
        assert_eq!(body.size_hint().exact(), None);
        let read = read(body).await;
        let bytes = read.bytes();
        match fault {
            Fault::BitFlipped => {
                assert_eq!(flipped_bits(&bytes, &whole), 1);
                assert_eq!(bytes[b"first piece".len()..], *b"second");
            }
            Fault::BodyCut => {
                assert!((1..b"first piece".len()).contains(&bytes.len()));
                assert!(read.error.is_some() && read.trailers.is_none());
            }
            _ => assert_eq!((bytes, read.pieces.len()), (whole.clone(), 4)),
        }
        if fault != Fault::BodyCut {
            assert_eq!(read.trailers.unwrap()["grpc-status"], "0");
        }
        assert_eq!(counts(&faults), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_byte_is_not_spoilt_but_a_cut_takes_its_end() {
    for fault in [Fault::BitFlipped, Fault::BodyCut, Fault::SlowBody(DELAY)] {
        let faults = always(fault);
        let body = under(&faults, Empty::new()).await;
        assert!(body.is_end_stream());
        assert!(read(body).await.error.is_none());
        assert_eq!(counts(&faults), (0, 1), "{fault:?}");
        let faults = always(fault);
        let read = read(under(&faults, streaming(&[b""], true)).await).await;
        let is_cut = fault == Fault::BodyCut;
        assert_eq!((read.error.is_some(), read.trailers.is_some()), (is_cut, !is_cut));
        assert_eq!(counts(&faults), if is_cut { (1, 0) } else { (0, 1) }, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_to_its_place_was_not_spoilt() {
    for fault in [Fault::BitFlipped, Fault::BodyCut, Fault::SlowBody(DELAY)] {
        let faults = always(fault);
        drop(under(&faults, super::full()).await);
        assert_eq!(counts(&faults), (0, 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_says_what_is_still_to_come() {
    let faults = always(Fault::SlowBody(DELAY));
    let mut body = under(&faults, super::full()).await;
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(1000 - first.len() as u64));
    drop(body);
    assert_eq!(counts(&faults), (0, 1), "it was left before it stalled");
}

/// The service's own failure comes as it is.
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_by_itself_keeps_its_error() {
    #[derive(Clone, Debug, thiserror::Error)]
    #[error("the disk is gone")]
    struct Gone;

    let failing = stream::iter([Err::<Frame<Bytes>, Gone>(Gone)]);
    let faults = always(Fault::BodyCut);
    let read = read(under(&faults, StreamBody::new(failing)).await).await;
    assert!(read.error.unwrap().is::<Gone>());
    assert_eq!(counts(&faults), (0, 1));
}

#[tokio::test]
async fn a_whole_body_is_what_it_was() {
    let faults = on(Plan::new(1).rule(Rule::new("it", Fault::BodyCut).probability(0.0)));
    let body = under(&faults, super::full()).await;
    assert_eq!(body.size_hint().exact(), Some(1000));
    let read = read(body).await;
    assert_eq!((read.pieces.len(), read.bytes()), (1, super::thousand().to_vec()));
    let trailing = self::read(under(&faults, streaming(&[b"a", b"b"], true)).await).await;
    assert_eq!((trailing.bytes(), trailing.trailers.is_some()), (b"ab".to_vec(), true));
    let made: FaultBody<Full<Bytes>> = Bytes::from_static(b"made here").into();
    assert_eq!(self::read(made).await.bytes(), b"made here");
    assert!(FaultBody::<Full<Bytes>>::default().is_end_stream());
}

#[tokio::test]
async fn an_error_is_the_status_of_the_users_choice() {
    let service =
        service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(super::full())) });
    let layer = FaultLayer::new(always(Fault::Error));
    let response = layer.clone().http().layer(service).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.body().is_end_stream() && response.extensions().is_empty());
    let layer = layer.protocol(Http::new().status(http::StatusCode::TOO_MANY_REQUESTS));
    let response = layer.layer(service).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 429);
}

/// A body in pieces of any sizes, told or not.
#[derive(Clone)]
struct Pieces {
    pieces: Vec<Bytes>,
    is_told: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = (!self.pieces.is_empty()).then(|| Ok(Frame::data(self.pieces.remove(0))));
        std::task::Poll::Ready(next)
    }

    fn size_hint(&self) -> SizeHint {
        let size = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        if self.is_told { SizeHint::with_exact(size) } else { SizeHint::default() }
    }
}

proptest! {
    #[test]
    fn whatever_the_pieces_one_place_is_spoilt(
        sizes in prop::collection::vec(0_usize..20, 0..8),
        is_told: bool,
        seed: u64,
        which in 0_usize..3,
    ) {
        let fault = [Fault::BitFlipped, Fault::BodyCut, Fault::SlowBody(DELAY)][which];
        let pieces: Vec<Bytes> =
            sizes.iter().enumerate().map(|(n, &size)| vec![n as u8; size].into()).collect();
        let whole = pieces.concat();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let faults = on(Plan::new(seed).rule(Rule::new("it", fault)));
            let read = read(under(&faults, Pieces { pieces, is_told }).await).await;
            let (bytes, slept) = (read.bytes(), read.pieces.last().map(|(at, _)| *at));
            let (struck, skipped) = counts(&faults);
            assert_eq!(struck + skipped, 1);
            match fault {
                Fault::BitFlipped => {
                    assert_eq!(u64::from(flipped_bits(&bytes, &whole)), struck);
                    assert_eq!(struck == 1, !whole.is_empty());
                }
                Fault::BodyCut => {
                    assert_eq!(bytes, whole[..bytes.len()]);
                    assert_eq!(read.error.is_some(), struck == 1);
                    assert!(struck == 0 || whole.is_empty() || bytes.len() < whole.len());
                    assert!(whole.is_empty() || struck == 1);
                }
                _ => {
                    assert_eq!(bytes, whole);
                    assert_eq!(slept == Some(SECOND), struck == 1);
                    assert_eq!(struck == 1, !whole.is_empty());
                }
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_bytes_one_comes_before_a_cut_or_a_stall() {
    for seed in 0..20 {
        for is_told in [true, false] {
            let of = |fault| on(Plan::new(seed).rule(Rule::new("it", fault)));
            let two = || Pieces { pieces: vec![Bytes::from_static(b"ab")], is_told };
            let cut = read(under(&of(Fault::BodyCut), two()).await).await;
            assert_eq!((cut.bytes(), cut.error.is_some()), (b"a".to_vec(), true));
            let slow = read(under(&of(Fault::SlowBody(DELAY)), two()).await).await;
            let pieces: Vec<_> = slow.pieces.iter().map(|(at, piece)| (*at, &piece[..])).collect();
            assert_eq!(pieces, [(Duration::ZERO, &b"a"[..]), (SECOND, b"b")]);
        }
    }
}

/// A body whose size is not the one it told: it ends early, or goes on.
#[tokio::test(start_paused = true)]
async fn a_body_that_lies_about_its_size_is_spoilt_once_or_skipped() {
    struct Lies(Vec<Bytes>, u64);

    impl Body for Lies {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let next = (!self.0.is_empty()).then(|| Ok(Frame::data(self.0.remove(0))));
            std::task::Poll::Ready(next)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }

    for told in [1, 2, 3, 1000, u64::MAX] {
        for fault in [Fault::BitFlipped, Fault::BodyCut, Fault::SlowBody(DELAY)] {
            for seed in 0..20 {
                let faults = on(Plan::new(seed).rule(Rule::new("it", fault)));
                let pieces = vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cd")];
                let read = read(under(&faults, Lies(pieces, told)).await).await;
                let (struck, skipped) = counts(&faults);
                assert_eq!(struck + skipped, 1);
                let bytes = read.bytes();
                match fault {
                    Fault::BitFlipped => {
                        assert_eq!(u64::from(flipped_bits(&bytes, b"abcd")), struck);
                    }
                    Fault::BodyCut => assert_eq!((struck, read.error.is_some()), (1, true)),
                    _ => assert_eq!(bytes, b"abcd"),
                }
            }
        }
    }
}

/// Where a body stalls says nothing of for how long.
#[tokio::test(start_paused = true)]
async fn the_place_of_a_stall_and_its_length_are_draws_of_their_own() {
    let fault = Fault::SlowBody(steadfast_chaos::Delay::of(SECOND).jitter(SECOND));
    let faults = on(Plan::new(1).rule(Rule::new("it", fault)));
    let (mut late, mut long, mut both) = (0, 0, 0);
    for _ in 0..400 {
        let read = read(under(&faults, super::full()).await).await;
        let is_late = read.pieces[0].1.len() > 500;
        let is_long = read.pieces[1].0 > SECOND * 3 / 2;
        late += u32::from(is_late);
        long += u32::from(is_long);
        both += u32::from(is_late && is_long);
    }
    // Of 400 a half, a half and a quarter: σ is 10, 10 and 8.7.
    assert!(late.abs_diff(200) < 40 && long.abs_diff(200) < 40, "{late}, {long}");
    assert!(both.abs_diff(100) < 35, "{both} of {late} and {long}");
}

/// A client that leaves in the midst of a body.
#[tokio::test(start_paused = true)]
async fn a_spoilt_body_that_is_dropped_at_any_point_owes_one_verdict_and_holds_nothing() {
    // With the poll that spoils it: before a cut, what came is flushed.
    for (fault, spoils) in
        [(Fault::BitFlipped, 1), (Fault::SlowBody(DELAY), 2), (Fault::BodyCut, 3)]
    {
        for polls in 0..8 {
            let faults = always(fault);
            let held = std::sync::Arc::new(());
            let inside = held.clone();
            let pieces = stream::iter((0..3).map(move |_| {
                let _ = &inside;
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"piece")))
            }));
            let body = under(&faults, StreamBody::new(pieces)).await;
            let mut body = tokio_test::task::spawn(Box::pin(body));
            for _ in 0..polls {
                let _ = body.enter(|cx, body| body.poll_frame(cx));
                tokio::time::advance(SECOND / 2).await;
            }
            drop(body);
            let (struck, skipped) = counts(&faults);
            assert_eq!(struck + skipped, 1, "{fault:?} after {polls} polls");
            assert_eq!(struck == 1, polls >= spoils, "{fault:?}");
            assert_eq!(std::sync::Arc::strong_count(&held), 1);
        }
    }
}
