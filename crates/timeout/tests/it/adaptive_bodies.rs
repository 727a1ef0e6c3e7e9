//! A limit between frames that is learned from bodies.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, channel::mpsc, stream};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use steadfast_core::http::respond;
use steadfast_timeout::{
    BodyTimeoutConfig, BodyTimeoutLayer, LimitConfig, MultipleOf, Quantile,
    RequestBodyTimeoutLayer, Stalled, TimeLimit, TimedBody,
};
use tokio::time::{Instant, advance, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::MS;

const SECOND: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_secs(30);

type Frames = mpsc::UnboundedReceiver<Result<Frame<Bytes>, io::Error>>;
type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;
type Timed = TimedBody<StreamBody<Frames>>;

fn config() -> MultipleOf<Quantile> {
    LimitConfig::between_frames(CEILING)
}

fn limit(config: MultipleOf<Quantile>) -> TimeLimit {
    TimeLimit::new(config).unwrap()
}

/// The body `inner` of a response, under `limit`.
async fn timed<B>(limit: &TimeLimit, inner: B) -> TimedBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    let mut inner = Some(inner);
    let service = service_fn(move |(): ()| {
        let response = Response::new(inner.take().unwrap());
        async { Ok::<_, io::Error>(response) }
    });
    let config = BodyTimeoutConfig::new().adaptive(limit.clone());
    BodyTimeoutLayer::new(config).unwrap().layer(service).oneshot(()).await.unwrap().into_body()
}

async fn open(limit: &TimeLimit) -> (Sender, Timed) {
    let (sender, frames) = mpsc::unbounded();
    (sender, timed(limit, StreamBody::new(frames)).await)
}

fn send(frames: &Sender) {
    frames.unbounded_send(Ok(Frame::data(Bytes::from("one")))).unwrap();
}

/// Reads a body whose frames come after these pauses, to its end.
async fn read(limit: &TimeLimit, pauses: impl IntoIterator<Item = Duration>) -> Option<Stalled> {
    let pauses: Vec<_> = pauses.into_iter().collect();
    let frames = stream::iter(pauses).then(async |pause| {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Ok::<_, Infallible>(Frame::data(Bytes::from("one")))
    });
    let mut body = timed(limit, StreamBody::new(frames.boxed())).await;
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return Some(*error.downcast::<Stalled>().unwrap());
        }
    }
    None
}

/// Twenty bodies whose longest wait is this.
async fn learn(limit: &TimeLimit, longest: Duration) {
    for _ in 0..20 {
        assert_eq!(read(limit, [10 * MS, longest, 10 * MS]).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn one_sample_a_body_which_is_its_longest_wait() {
    let limit = limit(config());
    assert_eq!(limit.limit(), CEILING, "cold");
    for bodies in 1..=20 {
        let mut pauses = vec![10 * MS; 100];
        pauses[bodies] = SECOND;
        assert_eq!(read(&limit, pauses).await, None);
        assert_eq!(limit.snapshot().samples, bodies as u64);
    }
    let learned = limit.limit();
    assert!((2 * SECOND..2200 * MS).contains(&learned), "{learned:?}");
    // No other wait was a sample.
    assert!(limit.snapshot().estimate.unwrap() >= SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_floor_is_a_second() {
    let limit = limit(config());
    learn(&limit, 20 * MS).await;
    assert_eq!(limit.limit(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_tells_nothing_of_a_longest_wait_is_no_sample() {
    let limit = limit(config());
    // All frames are ready.
    assert_eq!(read(&limit, [Duration::ZERO; 100]).await, None);
    drop(timed(&limit, Full::<Bytes>::from("whole")).await);
    assert!(timed(&limit, Full::<Bytes>::default()).await.frame().await.is_none());
    // Dropped before its end, between two frames or while one is awaited; never read.
    let (frames, mut body) = open(&limit).await;
    for waits in [false, true] {
        assert!(body.frame().now_or_never().is_none());
        sleep(500 * MS).await;
        send(&frames);
        assert!(body.frame().now_or_never().is_some());
        if waits {
            assert!(body.frame().now_or_never().is_none());
            drop(body);
            break;
        }
    }
    drop(open(&limit).await);
    // Broken off.
    let (frames, mut body) = open(&limit).await;
    assert!(body.frame().now_or_never().is_none());
    sleep(500 * MS).await;
    frames.unbounded_send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
    body.frame().await.unwrap().unwrap_err();
    assert_eq!(limit.snapshot().samples, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_came_late_has_not_measured_its_frame() {
    let limit = limit(config());
    learn(&limit, 100 * MS).await;
    let (frames, mut body) = open(&limit).await;
    assert!(body.frame().now_or_never().is_none());
    advance(10 * MS).await;
    send(&frames);
    advance(10 * SECOND).await;
    assert!(body.frame().await.unwrap().is_ok(), "it came in time");
    drop(frames);
    assert!(body.frame().await.is_none());
    assert_eq!((limit.snapshot().samples, limit.limit()), (20, SECOND));
}

/// hyper's server asks no further where a body says that it is at its end.
#[tokio::test(start_paused = true)]
async fn a_body_that_says_it_is_at_its_end_is_a_sample_though_its_reader_asks_no_further() {
    let limit = limit(config());
    let (frames, receiver) = mpsc::unbounded::<Result<Frame<Bytes>, io::Error>>();
    // Of known length.
    let known = http_body_util::Limited::new(StreamBody::new(receiver), 1000);
    let known = Known { inner: known, left: 2 };
    let mut body = timed(&limit, known).await;
    for _ in 0..2 {
        assert!(body.frame().now_or_never().is_none());
        sleep(100 * MS).await;
        send(&frames);
        assert!(body.frame().await.unwrap().is_ok());
    }
    assert!(body.is_end_stream());
    assert_eq!(limit.snapshot().samples, 1);
    drop(body);
    assert_eq!(limit.snapshot().samples, 1);
}

/// A body that knows how many frames are left.
struct Known<B> {
    inner: B,
    left: u32,
}

impl<B: Body + Unpin> Body for Known<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = std::task::ready!(std::pin::Pin::new(&mut self.inner).poll_frame(cx));
        self.left -= 1;
        std::task::Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_limit_goes_on_and_what_it_finds_raises_the_limit_there_and_then() {
    let limit = limit(config());
    learn(&limit, 100 * MS).await;
    let began = Instant::now();
    // To twice the limit at first.
    assert_eq!(read(&limit, [1500 * MS, 10 * MS]).await, None);
    assert_eq!(Instant::now() - began, 1510 * MS);
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.samples, snapshot.explorations), (21, 1), "it is a sample once");
    assert!(limit.limit() >= 3 * SECOND - MS, "{:?}", limit.limit());
    // A longer wait of the same body tells more.
    assert_eq!(read(&limit, [3500 * MS, 5 * SECOND]).await, None);
    assert_eq!(limit.snapshot().samples, 23);
}

#[tokio::test(start_paused = true)]
async fn after_a_step_of_a_hundred_bodies_few_are_cut() {
    let limit = limit(config());
    for _ in 0..100 {
        read(&limit, [10 * MS, 50 * MS]).await;
    }
    let mut cut = 0;
    for _ in 0..100 {
        cut += u32::from(read(&limit, [10 * MS, 8 * SECOND]).await.is_some());
    }
    assert!((1..=6).contains(&cut), "{cut} of 100 were cut");
    let cut = read(&limit, [8 * SECOND; 50]).await;
    assert_eq!(cut, None, "none any more");
}

#[tokio::test(start_paused = true)]
async fn without_exploring_each_stall_doubles_the_limit() {
    let limit = limit(config().explore(false));
    learn(&limit, 100 * MS).await;
    for doubled in 1..=4 {
        let began = Instant::now();
        let stalled = read(&limit, [CEILING]).await.unwrap();
        assert_eq!(stalled, Stalled::response(SECOND * (1 << (doubled - 1))));
        assert_eq!(Instant::now() - began, stalled.limit);
        assert_eq!(limit.limit(), SECOND * (1 << doubled));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_goes_on_is_cut_by_the_ceiling_and_says_how_long_it_was_let_go_on() {
    let limit = limit(config());
    learn(&limit, 100 * MS).await;
    let mut waited = Vec::new();
    for _ in 0..30 {
        let began = Instant::now();
        let stalled = read(&limit, [3600 * SECOND]).await.unwrap();
        assert_eq!(Instant::now() - began, stalled.limit + stalled.explored);
        assert!(stalled.limit + stalled.explored <= CEILING);
        waited.push(stalled);
    }
    let text = waited[0].to_string();
    assert_eq!(text, "no frame of the response's body within 1 s, nor in 1 s more");
    assert_eq!(limit.limit(), SECOND, "hangs teach nothing");
}

#[tokio::test(start_paused = true)]
async fn an_explorer_that_is_dropped_or_breaks_off_gives_its_place_back() {
    for breaks in [false, true] {
        let limit = limit(config());
        learn(&limit, 100 * MS).await;
        for explorations in 1..=5 {
            let (frames, mut body) = open(&limit).await;
            assert!(body.frame().now_or_never().is_none());
            sleep(SECOND).await;
            assert!(body.frame().now_or_never().is_none(), "it goes on");
            assert_eq!(limit.snapshot().explorations, explorations, "{breaks}");
            if breaks {
                frames.unbounded_send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
                body.frame().await.unwrap().unwrap_err();
            }
        }
        assert_eq!((limit.snapshot().samples, limit.limit()), (20, SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_has_the_last_word() {
    let limit = limit(config());
    learn(&limit, 100 * MS).await;
    let whole = async |whole: Duration| {
        let config = BodyTimeoutConfig::new().whole(whole).adaptive(limit.clone());
        let service = service_fn(|(): ()| async {
            let (sender, frames) = mpsc::unbounded::<Result<Frame<Bytes>, io::Error>>();
            let _ = Box::leak(Box::new(sender));
            Ok::<_, io::Error>(Response::new(StreamBody::new(frames)))
        });
        let service = BodyTimeoutLayer::new(config).unwrap().layer(service);
        let began = Instant::now();
        let mut body = service.oneshot(()).await.unwrap().into_body();
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(body.frame().await.is_none());
        (*error.downcast::<Stalled>().unwrap(), Instant::now() - began)
    };
    let (stalled, waited) = whole(500 * MS).await;
    assert_eq!((stalled, waited), (Stalled::response(500 * MS).of_the_whole(), 500 * MS));
    // An exploration goes to its end at most.
    let (stalled, waited) = whole(1500 * MS).await;
    assert_eq!((stalled.limit, stalled.explored, waited), (SECOND, 500 * MS, 1500 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stalls_under_a_learned_limit_is_a_408() {
    let limit = limit(config().explore(false));
    learn(&limit, 100 * MS).await;
    let layer = RequestBodyTimeoutLayer::new(BodyTimeoutConfig::new().adaptive(limit.clone()));
    let handler = service_fn(|request: Request<TimedBody<StreamBody<Frames>>>| async move {
        let read = request.into_body().collect().await;
        let status = if read.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        Ok::<_, io::Error>(
            Response::builder().status(status).body(Full::<Bytes>::default()).unwrap(),
        )
    });
    let service = respond(layer.unwrap()).layer(handler);
    let (frames, receiver) = mpsc::unbounded();
    let post = Request::post("/").body(StreamBody::new(receiver)).unwrap();
    let (response, ()) = futures::join!(service.clone().oneshot(post), async {
        sleep(100 * MS).await;
        send(&frames);
        drop(frames);
    });
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    assert_eq!(limit.snapshot().samples, 21);
    let (_frames, receiver) = mpsc::unbounded();
    let post = Request::post("/").body(StreamBody::new(receiver)).unwrap();
    let began = Instant::now();
    let response = service.oneshot(post).await.unwrap();
    assert_eq!((response.status(), Instant::now() - began), (StatusCode::REQUEST_TIMEOUT, SECOND));
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn each_route_has_a_limit_of_its_own() {
    let capacity = std::num::NonZeroUsize::new(10).unwrap();
    let limits =
        TimeLimit::per_key(config(), capacity, |request: &Request<()>| request.uri().to_string());
    let limits = limits.unwrap();
    let layer = BodyTimeoutLayer::new(BodyTimeoutConfig::new().adaptive(limits.clone())).unwrap();
    let service = layer.layer(service_fn(|request: Request<()>| async move {
        let pause = if request.uri().path() == "/report" { 3 * SECOND } else { 10 * MS };
        let frames = stream::iter([pause; 2]).then(async |pause| {
            sleep(pause).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from("one")))
        });
        Ok::<_, io::Error>(Response::new(StreamBody::new(frames.boxed())))
    }));
    let request = |path: &str| Request::get(path).body(()).unwrap();
    let reads = ["/report", "/ping"].repeat(20).into_iter().map(async |path| {
        let response = service.clone().oneshot(request(path)).await.unwrap();
        response.into_body().collect().await.unwrap();
    });
    futures::future::join_all(reads).await;
    let limit = |path: &str| limits.handle(&request(path).uri().to_string()).limit();
    assert!((6 * SECOND..7 * SECOND).contains(&limit("/report")), "{:?}", limit("/report"));
    assert_eq!((limit("/ping"), limit("/new")), (SECOND, CEILING));
}

/// Dropped at every point, a body leaves the limit as it was: it can be explored as before.
#[tokio::test(start_paused = true)]
async fn dropped_at_any_frame_it_holds_nothing() {
    let limit = limit(config());
    learn(&limit, 100 * MS).await;
    for polls in 0..12 {
        let (frames, mut body) = open(&limit).await;
        for poll in 0..polls {
            if poll % 3 == 1 {
                sleep(1200 * MS).await;
            }
            if poll % 3 == 2 {
                send(&frames);
            }
            let _ = body.frame().now_or_never();
        }
        drop(body);
        let before = limit.snapshot().explorations;
        let (_frames, mut body) = open(&limit).await;
        assert!(body.frame().now_or_never().is_none());
        sleep(limit.limit()).await;
        assert!(body.frame().now_or_never().is_none(), "after {polls} polls");
        assert_eq!(limit.snapshot().explorations, before + 1, "after {polls} polls");
    }
}
