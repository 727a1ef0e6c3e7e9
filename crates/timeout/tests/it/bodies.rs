//! Limits between the frames of a body, and for the whole.

use std::{future::pending, io, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, channel::mpsc, poll};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use steadfast_core::{
    ConfigError, Error, Executed, Grounds, Refusal, RefusalKind, cause, guard, http::respond,
};
use steadfast_timeout::{
    BodyTimeoutConfig, BodyTimeoutLayer, RequestBodyTimeoutLayer, Stalled, TimedBody,
};
use tokio::time::{Instant, advance, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::MS;

type Frames = mpsc::UnboundedReceiver<Result<Frame<Bytes>, io::Error>>;
type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;
type Timed = TimedBody<StreamBody<Frames>>;

const LIMIT: Duration = Duration::from_secs(1);

fn between() -> BodyTimeoutConfig {
    BodyTimeoutConfig::new().between_frames(LIMIT)
}

fn whole() -> BodyTimeoutConfig {
    BodyTimeoutConfig::new().whole(LIMIT)
}

fn send(frames: &Sender, word: &'static str) {
    frames.unbounded_send(Ok(Frame::data(Bytes::from(word)))).unwrap();
}

/// A response's body under these limits, and where its frames are sent from.
async fn body(config: BodyTimeoutConfig) -> (Sender, Timed) {
    let (sender, frames) = mpsc::unbounded();
    let mut frames = Some(StreamBody::new(frames));
    let service = service_fn(move |(): ()| {
        let response = Response::new(frames.take().unwrap());
        async { Ok::<_, io::Error>(response) }
    });
    let service = BodyTimeoutLayer::new(config).unwrap().layer(service);
    (sender, service.oneshot(()).await.unwrap().into_body())
}

async fn next(body: &mut Timed) -> Result<Option<Bytes>, BoxError> {
    body.frame().await.transpose().map(|frame| frame.map(|frame| frame.into_data().unwrap()))
}

fn stalled(result: Result<Option<Bytes>, BoxError>) -> Stalled {
    *result.unwrap_err().downcast::<Stalled>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_frame_sets_the_time_back_and_silence_ends_the_body_exactly_at_the_limit() {
    let (frames, mut body) = body(between()).await;
    let began = Instant::now();
    for _ in 0..5 {
        let (waits, sends) = (next(&mut body), async {
            sleep(LIMIT - MS).await;
            send(&frames, "one");
        });
        let (found, ()) = futures::future::join(waits, sends).await;
        assert_eq!(found.unwrap().unwrap(), "one");
    }
    let error = stalled(next(&mut body).await);
    assert_eq!(Instant::now() - began, 5 * (LIMIT - MS) + LIMIT);
    assert_eq!(error, Stalled::response(LIMIT));
    assert_eq!(
        (error.grounds.kind, error.grounds.executed),
        (RefusalKind::TimedOut, Executed::Maybe)
    );
    assert_eq!(error.to_string(), "no frame of the response's body within 1 s");
    // It has ended: what comes late is not read.
    send(&frames, "late");
    assert!(body.is_end_stream());
    assert_eq!(next(&mut body).await.unwrap(), None);
}

/// Of a body of a response and of a request, by a fixed limit and by the whole's.
#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_names_its_limit_to_logs_and_not_to_the_client() {
    for (config, said) in [(between(), "no frame of"), (whole(), "the body of")] {
        let (_frames, mut response) = body(config.clone().named("vault")).await;
        let error = stalled(next(&mut response).await);
        assert!(error.to_string().starts_with(&format!("timeout \"vault\": {said}")), "{error}");
        assert!(error.detail().starts_with(said), "{}", error.detail());

        let handler = service_fn(|request: Request<TimedBody<StreamBody<Frames>>>| async move {
            let error = request.into_body().collect().await.unwrap_err();
            let response = Response::builder().status(StatusCode::BAD_REQUEST);
            Ok::<_, io::Error>(response.body(Full::<Bytes>::from(error.to_string())).unwrap())
        });
        let layer = RequestBodyTimeoutLayer::new(config.named("vault")).unwrap();
        let (_frames, frames) = mpsc::unbounded();
        let request = Request::post("/").body(StreamBody::new(frames)).unwrap();
        let response = respond(layer).layer(handler).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains(said) && !text.contains("vault"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_gets_the_frame_that_came_in_time() {
    for config in [between(), whole()] {
        let (frames, mut body) = body(config).await;
        // It has asked once, and found nothing.
        assert!(next(&mut body).now_or_never().is_none());
        advance(10 * MS).await;
        send(&frames, "one");
        advance(5 * LIMIT).await;
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "one");
        drop(frames);
        assert_eq!(next(&mut body).await.unwrap(), None, "the end is a frame as well");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_ask_is_not_timed() {
    let (frames, mut body) = body(between()).await;
    send(&frames, "one");
    next(&mut body).await.unwrap();
    sleep(100 * LIMIT).await;
    // From now on it waits.
    let began = Instant::now();
    stalled(next(&mut body).await);
    assert_eq!(Instant::now() - began, LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_and_begun_anew_goes_on() {
    let (_frames, mut body) = body(between()).await;
    assert!(next(&mut body).now_or_never().is_none());
    sleep(LIMIT - MS).await;
    assert!(next(&mut body).now_or_never().is_none());
    let began = Instant::now();
    stalled(next(&mut body).await);
    assert_eq!(Instant::now() - began, MS);
}

#[tokio::test(start_paused = true)]
async fn the_whole_ends_at_its_limit_however_many_frames_come() {
    let (frames, mut body) = body(whole().between_frames(LIMIT)).await;
    let began = Instant::now();
    let drips = async {
        loop {
            sleep(300 * MS).await;
            send(&frames, "one");
        }
    };
    let reads = async {
        loop {
            if let Err(error) = next(&mut body).await {
                return *error.downcast::<Stalled>().unwrap();
            }
        }
    };
    let error = tokio::select! { () = drips => unreachable!(), error = reads => error };
    assert_eq!((error, Instant::now() - began), (Stalled::response(LIMIT).of_the_whole(), LIMIT));
    assert_eq!(error.to_string(), "the body of the response did not end within 1 s");
}

/// No timer is made: there is none outside of a runtime.
#[test]
fn frames_that_are_ready_need_no_runtime_and_trailers_pass() {
    let (sender, frames) = mpsc::unbounded();
    for _ in 0..1000 {
        send(&sender, "one");
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    sender.unbounded_send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    drop(sender);
    let service = service_fn(move |frames: Frames| async {
        Ok::<_, io::Error>(Response::new(StreamBody::new(frames)))
    });
    let layer = BodyTimeoutLayer::new(between()).unwrap();
    let response = layer.layer(service).oneshot(frames).now_or_never().unwrap().unwrap();
    let collected = response.into_body().collect().now_or_never().unwrap().unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes().len(), 3000);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_is_passed_on_as_it_is_and_ends_it() {
    let (frames, mut body) = body(between()).await;
    frames.unbounded_send(Err(io::Error::from(io::ErrorKind::ConnectionReset))).unwrap();
    let error = next(&mut body).await.unwrap_err();
    assert_eq!(error.downcast::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(next(&mut body).await.unwrap(), None);
}

#[test]
fn hints_and_the_end_are_the_bodys_own_and_it_is_unpin() {
    fn unpin<T: Unpin + Send + Sync + 'static>(_: &T) {}
    let service = service_fn(|(): ()| async {
        Ok::<_, io::Error>(Response::new(Full::<Bytes>::from("hello")))
    });
    let layer = BodyTimeoutLayer::new(between()).unwrap();
    let mut body = layer.layer(service).oneshot(()).now_or_never().unwrap().unwrap().into_body();
    unpin(&body);
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    let frame = body.frame().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "hello");
    assert!(body.is_end_stream());
}

/// Reads a request to its end, as extractors do, and fails with a 400.
async fn reads<B: Body<Error = BoxError>>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Error<BoxError>> {
    let mut response = Response::new(Full::default());
    if pin!(request.into_body()).collect().await.is_err() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_arrive_is_a_408_and_no_failure_of_the_service()
-> Result<(), ConfigError> {
    let stack = guard(RequestBodyTimeoutLayer::new(between())?);
    let (sender, frames) = mpsc::unbounded();
    send(&sender, "one");
    let post = Request::post("/").body(StreamBody::new(frames)).unwrap();
    let began = Instant::now();
    let handler = service_fn(|request: Request<TimedBody<_>>| async move {
        reads(request).await.map_err(|_| io::Error::other("unread"))
    });
    let error = stack.layer(handler).oneshot(post).await.unwrap_err();
    assert_eq!(Instant::now() - began, LIMIT);
    let grounds = cause::<Grounds>(&error).unwrap();
    assert_eq!((grounds.kind, grounds.executed), (RefusalKind::RequestTimeout, Executed::Maybe));
    assert_eq!(error.refusal().unwrap().to_string(), "no frame of the request's body within 1 s");

    let (_sender, frames) = mpsc::unbounded();
    let post = Request::post("/").body(StreamBody::<Frames>::new(frames)).unwrap();
    let stack = respond(RequestBodyTimeoutLayer::new(whole())?);
    let response = stack.layer(handler).oneshot(post).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    drop(sender);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_handler_gives_all_the_same_stands() {
    let layer = guard(RequestBodyTimeoutLayer::new(between()).unwrap());
    for (status, stands) in [(202, true), (302, true), (400, false), (500, false)] {
        let (_sender, frames) = mpsc::unbounded();
        let post = Request::post("/").body(StreamBody::<Frames>::new(frames)).unwrap();
        let handler = service_fn(move |request: Request<TimedBody<_>>| async move {
            let _ = request.into_body().collect().await;
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, io::Error>(response)
        });
        let outcome = layer.layer(handler).oneshot(post).await;
        assert_eq!(outcome.is_ok(), stands, "{status}");
    }
    // One that fails for its own reasons, before the body stalls, fails with those.
    let (_sender, frames) = mpsc::unbounded();
    let post = Request::post("/").body(StreamBody::<Frames>::new(frames)).unwrap();
    let handler = service_fn(|_: Request<TimedBody<StreamBody<Frames>>>| async {
        Err::<Response<()>, _>(io::Error::from(io::ErrorKind::BrokenPipe))
    });
    let error = layer.layer(handler).oneshot(post).await.unwrap_err();
    assert!(matches!(error, Error::Service(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_read_is_not_ended() {
    let layer = guard(RequestBodyTimeoutLayer::new(between()).unwrap());
    let (_sender, frames) = mpsc::unbounded();
    let post = Request::post("/").body(StreamBody::<Frames>::new(frames)).unwrap();
    let handler = service_fn(|_held: Request<TimedBody<StreamBody<Frames>>>| async {
        pending::<Result<Response<()>, io::Error>>().await
    });
    let mut call = Box::pin(layer.layer(handler).oneshot(post));
    sleep(100 * LIMIT).await;
    assert!(poll!(&mut call).is_pending());
}
