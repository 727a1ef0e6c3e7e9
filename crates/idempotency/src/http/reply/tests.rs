use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::hold::Hold;

type Sent = Result<Frame<Bytes>, &'static str>;

/// A body whose frames a test sends.
fn stream() -> (mpsc::UnboundedSender<Sent>, StreamBody<impl futures::Stream<Item = Sent>>) {
    let (sender, mut frames) = mpsc::unbounded_channel();
    (sender, StreamBody::new(futures::stream::poll_fn(move |cx| frames.poll_recv(cx))))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn claim() -> Claim {
    let hold = Arc::new(Hold::new(Instant::now(), Duration::from_secs(30), true));
    Claim { attempt: NonZeroU32::MIN, hold, settlement: None }
}

fn terms(most_bytes: usize) -> Terms {
    Terms { policy: ReplyPolicy::Default, headers: KeptHeaders::new(), most_bytes }
}

/// It must not wait for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it hangs")
}

async fn take<B>(
    response: Response<B>,
    terms: &Terms,
    claim: Claim,
    early: Early<Response<ReplyBody<B>>>,
) -> (Taken<B>, Outcome)
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    match begin(response, terms, claim.is_transactional()) {
        Ok(reading) => reading.take(claim, early).await,
        Err(taken) => taken,
    }
}

/// What a body ends with.
async fn read<B>(body: ReplyBody<B>) -> Result<String, String>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let mut text = String::new();
    while let Some(frame) = soon(body.as_mut().frame()).await {
        match frame {
            Err(error) => return Err(format!("{text}! {}", error.source.source)),
            Ok(frame) => match frame.into_data() {
                Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
                Err(frame) => text.push_str(&format!("; {:?}", frame.into_trailers().unwrap())),
            },
        }
    }
    Ok(text)
}

fn kept(outcome: &Outcome) -> KeptResponse {
    match outcome {
        Outcome::Store(record) => KeptResponse::decode(record).unwrap(),
        outcome => panic!("{outcome:?}"),
    }
}

/// Takes a response that is not sent early.
async fn take_whole<B>(response: Response<B>, most: usize) -> (Response<ReplyBody<B>>, Outcome)
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (early, mut is_early) = Early::new();
    let (taken, outcome) = soon(take(response, &terms(most), claim(), early)).await;
    assert!(is_early.try_recv().is_err());
    match taken {
        Taken::Response(response) => (response, outcome),
        Taken::Early(_) => panic!("it was early"),
    }
}

/// Lets the tasks of this thread go on until all of them wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_of_known_length_is_kept_whole_before_the_caller_sees_it() {
    let mut response = Response::new(Full::new(Bytes::from("paid")));
    *response.status_mut() = http::StatusCode::CREATED;
    let (response, outcome) = take_whole(response, 4).await;
    assert_eq!(response.body().size_hint().exact(), Some(4));
    assert_eq!(
        (response.status().as_u16(), read(response.into_body()).await),
        (201, Ok("paid".into()))
    );
    let kept = kept(&outcome);
    assert_eq!((kept.status.as_u16(), kept.body), (201, Bytes::from("paid")));
}

#[tokio::test]
async fn a_body_that_is_there_at_once_is_kept_before_the_caller_sees_it_too() {
    let (sender, body) = stream();
    let trailers: HeaderMap =
        [("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
    for frame in [data("pa"), data(""), data("id"), Frame::trailers(trailers.clone())] {
        sender.send(Ok(frame)).unwrap();
    }
    let (response, outcome) = take_whole(Response::new(body), 4).await;
    // Over HTTP/1 a body of a known length is sent without its trailers.
    let hint = response.body().size_hint();
    assert_eq!((hint.lower(), hint.exact()), (4, None));
    assert!(!response.body().is_end_stream());
    assert_eq!(read(response.into_body()).await, Ok("paid; {\"x-sum\": \"7\"}".into()));
    assert_eq!(
        (kept(&outcome).body, kept(&outcome).trailers),
        (Bytes::from("paid"), Some(trailers))
    );
}

#[tokio::test]
async fn an_empty_body_is_kept_as_one_and_ends_at_once() {
    for status in [204, 304, 200] {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = status.try_into().unwrap();
        // Of a HEAD: the length of what a GET would get.
        response.headers_mut().insert("content-length", HeaderValue::from_static("1234"));
        let (response, outcome) = take_whole(response, 0).await;
        assert!(response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), Some(0));
        let kept = kept(&outcome).into_response::<Full<Bytes>>();
        assert!(kept.body().is_end_stream());
        assert_eq!(kept.status(), status);
        assert_eq!(kept.headers()["content-length"], "1234");
    }
}

#[tokio::test]
async fn the_caller_gets_each_frame_as_it_comes_and_the_end_once_it_is_recorded() {
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(100), claim(), early).await });
    let mut body = soon(response).await.unwrap().into_body();
    for text in ["first", "second"] {
        sender.send(Ok(data(text))).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(sender);
    let (taken, outcome) = soon(task).await.unwrap();
    assert_eq!(kept(&outcome).body, "firstsecond");
    // Its end is not seen while the store is told.
    let mut end = pin!(body.frame());
    settle().await;
    assert!(poll_fn(|cx| Poll::Ready(end.as_mut().poll(cx).is_pending())).await);
    drop(taken);
    assert!(end.await.is_none());
}

#[tokio::test]
async fn a_reply_that_the_store_refuses_has_no_good_end() {
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let claim = claim();
    let hold = Arc::clone(&claim.hold);
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(100), claim, early).await });
    let response = soon(response).await.unwrap();
    sender.send(Ok(data("first"))).unwrap();
    drop(sender);
    let (taken, _) = soon(task).await.unwrap();
    hold.refuse();
    drop(taken);
    let lost = "the reply does not count: that of another run of this request does";
    assert_eq!(read(response.into_body()).await, Err(format!("first! {lost}")));
}

#[tokio::test]
async fn the_size_that_is_said_grows_with_what_is_here_and_is_exact_at_the_end() {
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(100), claim(), early).await });
    let mut body = soon(response).await.unwrap().into_body();
    sender.send(Ok(data("first"))).unwrap();
    settle().await;
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (5, None));
    drop(sender);
    drop(soon(task).await.unwrap());
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test]
async fn a_reply_is_kept_whole_though_its_caller_has_gone_or_never_reads() {
    for stays in [false, true] {
        let (sender, body) = stream();
        let (early, response) = Early::new();
        let task =
            tokio::spawn(
                async move { take(Response::new(body), &terms(100), claim(), early).await },
            );
        let response = Some(soon(response).await.unwrap()).filter(|_| stays);
        for text in ["first", "second", "third"] {
            sender.send(Ok(data(text))).unwrap();
            settle().await;
        }
        drop(sender);
        let (_taken, outcome) = soon(task).await.unwrap();
        assert_eq!(kept(&outcome).body, "firstsecondthird");
        drop(response);
    }
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_its_first_callers_whole_and_holds_no_claim() {
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(8), claim(), early).await });
    let response = soon(response).await.unwrap();
    for text in ["first", "second"] {
        sender.send(Ok(data(text))).unwrap();
    }
    let (taken, outcome) = soon(task).await.unwrap();
    assert_eq!(outcome, Outcome::NotKept, "though it goes on");
    drop(taken);
    sender.send(Ok(data("third"))).unwrap();
    drop(sender);
    assert_eq!(read(response.into_body()).await, Ok("firstsecondthird".into()));
}

#[tokio::test]
async fn a_reply_beyond_the_limit_whose_caller_has_gone_is_dropped() {
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(2), claim(), early).await });
    drop(soon(response).await.unwrap());
    sender.send(Ok(data("first"))).unwrap();
    drop(soon(task).await.unwrap());
    assert!(sender.is_closed());
}

#[tokio::test]
async fn a_body_that_is_too_long_from_the_start_is_passed_on_unread() {
    let body = Full::new(Bytes::from("first")).map_err(|_: Infallible| -> &str { "" });
    let (response, outcome) = take_whole(Response::new(body), 4).await;
    assert_eq!(outcome, Outcome::NotKept);
    assert_eq!(format!("{:?}", response.body()), "ReplyBody(passed)");
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert_eq!(read(response.into_body()).await, Ok("first".into()));
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_says_is_whole_to_the_caller() {
    let frames = VecDeque::from(["first", "second"]);
    let (response, outcome) = take_whole(Response::new(Liar(frames)), 8).await;
    assert_eq!(outcome, Outcome::NotKept);
    assert_eq!(read(response.into_body()).await, Ok("firstsecond".into()));
}

/// It says that it has one byte.
struct Liar(VecDeque<&'static str>);

impl Body for Liar {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|text| Ok(data(text))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(1)
    }
}

#[tokio::test]
async fn an_event_stream_is_passed_on_and_not_kept() {
    for kind in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
        let (sender, body) = stream();
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        let (response, outcome) = take_whole(response, 100).await;
        assert_eq!(outcome, Outcome::NotKept);
        sender.send(Ok(data("data: 1"))).unwrap();
        drop(sender);
        assert_eq!(read(response.into_body()).await, Ok("data: 1".into()));
    }
}

#[tokio::test]
async fn a_body_that_fails_is_abandoned_and_its_caller_sees_the_error() {
    // At once, and behind a frame that the caller has read.
    for is_early in [false, true] {
        let (sender, body) = stream();
        let (early, response) = Early::new();
        if !is_early {
            sender.send(Ok(data("first"))).unwrap();
            sender.send(Err("disk")).unwrap();
        }
        let task =
            tokio::spawn(
                async move { take(Response::new(body), &terms(100), claim(), early).await },
            );
        if is_early {
            settle().await;
            sender.send(Ok(data("first"))).unwrap();
            settle().await;
            sender.send(Err("disk")).unwrap();
        }
        let (taken, outcome) = soon(task).await.unwrap();
        assert_eq!(outcome, Outcome::Abandon);
        let response = match taken {
            Taken::Response(response) => response,
            Taken::Early(_gate) => soon(response).await.unwrap(),
        };
        assert_eq!(response.body().size_hint().exact(), None);
        assert!(!response.body().is_end_stream());
        assert_eq!(read(response.into_body()).await, Err("first! disk".into()));
    }
}

#[tokio::test]
async fn a_reply_whose_task_ends_in_the_middle_fails_its_caller() {
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(100), claim(), early).await });
    let response = soon(response).await.unwrap();
    sender.send(Ok(data("first"))).unwrap();
    settle().await;
    task.abort();
    assert_eq!(read(response.into_body()).await, Err("first! the reply was cut off".into()));
}

/// It panics at its second frame.
struct Panics(bool);

impl Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.0, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        panic!("in a body");
    }
}

#[tokio::test]
async fn a_body_that_panics_fails_its_caller() {
    let (early, response) = Early::new();
    let task =
        tokio::spawn(
            async move { take(Response::new(Panics(false)), &terms(9), claim(), early).await },
        );
    assert_eq!(
        read(soon(response).await.unwrap().into_body()).await,
        Err("! the reply was cut off".into())
    );
    assert!(task.await.is_err_and(|error| error.is_panic()));
}

/// Empty frames without an end.
struct Busy(Arc<AtomicBool>);

impl Body for Busy {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let is_over = self.0.load(Ordering::Relaxed);
        Poll::Ready((!is_over).then(|| Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test]
async fn a_body_that_is_always_ready_leaves_others_their_turn() {
    let is_over = Arc::new(AtomicBool::new(false));
    let response = Response::new(Busy(Arc::clone(&is_over)));
    let (early, caller) = Early::new();
    let task = tokio::spawn(async move { take(response, &terms(9), claim(), early).await });
    let response = soon(caller).await.unwrap();
    is_over.store(true, Ordering::Relaxed);
    drop(soon(task).await.unwrap());
    assert_eq!(read(response.into_body()).await, Ok(String::new()));
}

/// What the caller of a reply holds of it while the handler goes on.
#[tokio::test]
async fn a_caller_that_never_reads_costs_no_more_than_the_limit() {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Block(Arc<AtomicUsize>);
    impl AsRef<[u8]> for Block {
        fn as_ref(&self) -> &[u8] {
            &[7; 100]
        }
    }
    impl Drop for Block {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (sender, body) = stream();
    let (early, response) = Early::new();
    let task =
        tokio::spawn(async move { take(Response::new(body), &terms(1000), claim(), early).await });
    let response = soon(response).await.unwrap();
    // One byte of each block: what holds it would hold all of it.
    for _ in 0..1000 {
        let block = Bytes::from_owner(Block(Arc::clone(&dropped)));
        sender.send(Ok(Frame::data(block.slice(..1)))).unwrap();
    }
    settle().await;
    assert!(dropped.load(Ordering::Relaxed) >= 1000 - BURST, "{dropped:?}");
    drop(sender);
    drop(soon(task).await.unwrap());
    assert_eq!(read(response.into_body()).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn a_grpc_reply_is_judged_by_the_status_in_its_trailers() {
    for (code, has_data, expected) in [
        ("0", true, "Store"),
        ("5", true, "Store"),
        ("16", false, "Release"),
        ("16", true, "Store"),
        ("4", true, "Abandon"),
        ("", true, "Abandon"),
    ] {
        for is_early in [false, true] {
            let (sender, body) = stream();
            let (early, caller) = Early::new();
            let mut response = Response::new(body);
            let kind = HeaderValue::from_static("application/grpc+proto");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            let task =
                tokio::spawn(async move { take(response, &terms(100), claim(), early).await });
            if is_early {
                settle().await;
            }
            if has_data {
                sender.send(Ok(data("message"))).unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            if !code.is_empty() {
                sender.send(Ok(Frame::trailers(trailers))).unwrap();
            }
            drop(sender);
            let (taken, outcome) = soon(task).await.unwrap();
            assert!(format!("{outcome:?}").starts_with(expected), "{code}: {outcome:?}");
            assert_eq!(matches!(taken, Taken::Early(_)), is_early);
            let response = match taken {
                Taken::Response(response) => response,
                Taken::Early(_gate) => soon(caller).await.unwrap(),
            };
            let body = response.into_body().collect().await.unwrap();
            let status = body.trailers().map(|trailers| trailers["grpc-status"].clone());
            assert_eq!(status.is_some(), !code.is_empty());
        }
    }
}

#[tokio::test]
async fn a_reply_that_says_not_executed_frees_the_key_before_its_body_is_read() {
    let (_sender, body) = stream();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    let (response, outcome) = take_whole(response, 100).await;
    assert_eq!(outcome, Outcome::Release);
    assert_eq!(format!("{:?}", response.body()), "ReplyBody(passed)");
}
