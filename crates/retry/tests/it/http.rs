//! HTTP: what is repeated, over services of our own and over real sockets.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::future::ready;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use steadfast_core::{
    Attempt, Backoff, Deadline, cause, guard,
    http::{BodyFailed, CollectLayer, HttpClassifier, HttpContext},
};
use steadfast_retry::{
    Budget, Retry, RetryConfig, RetryLayer,
    http::{HttpReplay, ReplayBody},
};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{ample, attempts};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = Full<Bytes>;
type Reply = Result<Response<Body>, io::ErrorKind>;
type Sent = Request<ReplayBody<Body>>;

/// The types of the layer and the service, by name.
type HttpRetryLayer = RetryLayer<HttpClassifier, HttpContext, HttpReplay>;

fn quick() -> HttpRetryLayer {
    of_attempts(3)
}

fn of_attempts(number: u32) -> HttpRetryLayer {
    let config = RetryConfig::new().backoff(Backoff::constant(Duration::from_millis(1)).unwrap());
    RetryLayer::new(config.attempts(attempts(number))).budget(ample()).http()
}

fn request(method: Method) -> http::request::Builder {
    Request::builder().method(method).uri("http://localhost/")
}

/// What one attempt looked like to the service.
#[derive(Debug, PartialEq)]
struct Seen {
    attempt: u32,
    body: Bytes,
    content_length: Option<String>,
}

/// Reads each request to its end and answers with the next reply.
#[derive(Clone, Default)]
struct Server {
    replies: Arc<Mutex<Vec<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: Vec<_> = replies.into_iter().collect();
        replies.reverse();
        Self { replies: Arc::new(Mutex::new(replies)), seen: Arc::default() }
    }

    fn attempts(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn service(
        &self,
    ) -> impl Service<Sent, Response = Response<Body>, Error = io::Error, Future: Send>
    + Clone
    + Send
    + 'static {
        let server = self.clone();
        service_fn(move |request: Sent| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let attempt =
                    head.extensions.get::<Attempt>().copied().unwrap_or_default().number();
                let content_length =
                    head.headers.get("content-length").map(|value| value.to_str().unwrap().into());
                let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                server.seen.lock().unwrap().push(Seen { attempt, body, content_length });
                server
                    .replies
                    .lock()
                    .unwrap()
                    .pop()
                    .expect("a reply for each attempt")
                    .map_err(io::Error::from)
            }
        })
    }
}

fn status(status: StatusCode) -> Reply {
    Ok(Response::builder().status(status).body(Body::default()).unwrap())
}

fn after_seconds(status: StatusCode, retry_after: &str) -> Reply {
    Ok(Response::builder()
        .status(status)
        .header("retry-after", retry_after)
        .body(Body::default())
        .unwrap())
}

async fn send(server: &Server, request: Request<Body>) -> Result<Response<Body>, io::Error> {
    quick().layer(server.service()).oneshot(request).await
}

#[tokio::test(start_paused = true)]
async fn idempotent_methods_and_requests_with_a_key_are_repeated_after_an_unknown_outcome() {
    let cases = [
        (Method::GET, false, 2),
        (Method::HEAD, false, 2),
        (Method::OPTIONS, false, 2),
        (Method::TRACE, false, 2),
        (Method::PUT, false, 2),
        (Method::DELETE, false, 2),
        (Method::POST, false, 1),
        (Method::PATCH, false, 1),
        (Method::CONNECT, false, 1),
        (Method::POST, true, 2),
        (Method::PATCH, true, 2),
    ];
    for failure in [status(StatusCode::BAD_GATEWAY), Err(io::ErrorKind::TimedOut)] {
        for (method, has_key, attempts) in cases.clone() {
            let failure = failure
                .as_ref()
                .map_err(|&kind| kind)
                .map(|_| status(StatusCode::BAD_GATEWAY).unwrap());
            let server = Server::new([failure, status(StatusCode::OK)]);
            let mut request = request(method.clone());
            if has_key {
                request = request.header("Idempotency-Key", "k-1");
            }
            let _ = send(&server, request.body(Body::default()).unwrap()).await;
            assert_eq!(server.attempts(), attempts, "{method} with a key: {has_key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retried_request_has_its_body_its_length_and_its_attempt() {
    let server = Server::new([
        status(StatusCode::BAD_GATEWAY),
        Err(io::ErrorKind::BrokenPipe),
        status(StatusCode::OK),
    ]);
    let put = request(Method::PUT).header("content-length", "5").body(Body::from("hello")).unwrap();
    assert_eq!(send(&server, put).await.unwrap().status(), StatusCode::OK);
    let seen = |attempt| Seen { attempt, body: "hello".into(), content_length: Some("5".into()) };
    assert_eq!(*server.seen.lock().unwrap(), [seen(1), seen(2), seen(3)]);
}

#[tokio::test(start_paused = true)]
async fn throttling_and_refusals_to_process_are_answered_with_a_retry_for_any_method() {
    for refusal in
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::MISDIRECTED_REQUEST, StatusCode::TOO_EARLY]
    {
        let server = Server::new([status(refusal), status(StatusCode::OK)]);
        let post = request(Method::POST).body(Body::from("hello")).unwrap();
        assert_eq!(send(&server, post).await.unwrap().status(), StatusCode::OK);
        assert_eq!(server.attempts(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_faults_of_a_request_are_not_repeated() {
    for fault in [400, 404, 409, 422, 501] {
        let server = Server::new([status(StatusCode::from_u16(fault).unwrap())]);
        assert_eq!(
            send(&server, request(Method::GET).body(Body::default()).unwrap())
                .await
                .unwrap()
                .status(),
            fault
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_passes_is_repeated_under_its_key_or_by_its_method() {
    let conflict = |time: Option<&str>| {
        time.map_or_else(
            || status(StatusCode::CONFLICT),
            |time| after_seconds(StatusCode::CONFLICT, time),
        )
    };
    for (method, key, time, attempts) in [
        (Method::POST, Some("k-1"), Some("1"), 2),
        (Method::POST, Some("k-1"), None, 1),
        (Method::POST, Some("k-1"), Some("3"), 1),
        (Method::POST, None, Some("1"), 1),
        (Method::PUT, None, Some("1"), 2),
        (Method::PUT, None, None, 1),
    ] {
        let server = Server::new([conflict(time), status(StatusCode::OK)]);
        let mut request = request(method.clone());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let start = tokio::time::Instant::now();
        let answer = send(&server, request.body(Body::from("hello")).unwrap()).await.unwrap();
        assert_eq!(
            server.attempts(),
            attempts,
            "{method} with the key {key:?}, to come back after {time:?}"
        );
        assert_eq!(answer.status() == StatusCode::OK, attempts == 2);
        let waited = tokio::time::Instant::now() - start;
        assert_eq!(
            waited >= std::time::Duration::from_secs(1),
            attempts == 2,
            "it waits as it was told"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_failure_is_not_asked_for_again() {
    for code in [500, 503, 504, 429] {
        let replayed = Response::builder().status(code).header("idempotent-replayed", "true");
        let replies = [Ok(replayed.body(Body::default()).unwrap()), status(StatusCode::OK)];
        let server = Server::new(replies);
        let request = request(Method::POST).header("idempotency-key", "k-1");
        let answer = send(&server, request.body(Body::from("hello")).unwrap()).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.attempts()), (code, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_read_as_the_standard_says_and_bounded() {
    let wait_ms = async |value: &str| {
        let server = Server::new([
            after_seconds(StatusCode::SERVICE_UNAVAILABLE, value),
            status(StatusCode::OK),
        ]);
        let start = tokio::time::Instant::now();
        let answer =
            send(&server, request(Method::GET).body(Body::default()).unwrap()).await.unwrap();
        let waited = (tokio::time::Instant::now() - start).as_millis();
        if answer.status() == StatusCode::OK { Some(waited) } else { None }
    };
    assert!(
        (2000..3010).contains(&wait_ms("2").await.unwrap()),
        "and up to half of it more, so that clients spread"
    );
    for now in ["0", "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "1.5", "soon"] {
        assert!(wait_ms(now).await.unwrap() < 10, "{now}");
    }
    for huge in ["3", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(wait_ms(huge).await, None, "the 503 itself is returned for {huge}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_in_the_extensions_is_kept() {
    let server = Server::new([after_seconds(StatusCode::SERVICE_UNAVAILABLE, "5")]);
    let deadline = Deadline::after(tokio::time::Instant::now().into_std(), Duration::from_secs(5));
    let get = request(Method::GET).extension(deadline).body(Body::default()).unwrap();
    assert_eq!(send(&server, get).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_came_before_the_body_was_finished_is_returned() {
    let attempts = Arc::new(Mutex::new(0));
    let count = Arc::clone(&attempts);
    let early = service_fn(move |_unread: Sent| {
        *count.lock().unwrap() += 1;
        ready(Ok::<_, io::Error>(status(StatusCode::SERVICE_UNAVAILABLE).unwrap()))
    });
    let put = request(Method::PUT).body(Body::from("hello")).unwrap();
    let answer = quick().layer(early).oneshot(put).await.unwrap();
    assert_eq!((answer.status(), *attempts.lock().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_limit_is_sent_once_and_in_full() {
    let server = Server::new([status(StatusCode::BAD_GATEWAY)]);
    let layer = quick().replay(HttpReplay::default().with_limit(4));
    let put = request(Method::PUT).body(Body::from("hello")).unwrap();
    let answer = layer.layer(server.service()).oneshot(put).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(server.seen.lock().unwrap()[0].body, "hello");
}

#[tokio::test(start_paused = true)]
async fn the_callers_word_on_a_request_head_counts() {
    let is_search = |head: &http::request::Parts| head.uri.path() == "/search";
    let layer = quick().replay(HttpReplay::new(is_search));
    for (path, attempts) in [("/search", 2), ("/pay", 1)] {
        let server = Server::new([Err(io::ErrorKind::BrokenPipe), status(StatusCode::OK)]);
        let post = request(Method::POST).uri(path).body(Body::from("hello")).unwrap();
        let _ = layer.layer(server.service()).oneshot(post).await;
        assert_eq!(server.attempts(), attempts, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_own_body_fails_is_sent_once() {
    let attempts = Arc::new(Mutex::new(0));
    let count = Arc::clone(&attempts);
    let service = service_fn(move |request: Request<ReplayBody<_>>| {
        *count.lock().unwrap() += 1;
        async move {
            let collected = request.into_body().collect().await;
            collected.map(|_| Response::new(())).map_err(BoxError::from)
        }
    });
    let put = request(Method::PUT).body(breaks_off()).unwrap();
    let error = quick().layer(service).oneshot(put).await.unwrap_err();
    assert_eq!(cause::<io::Error>(&*error).unwrap().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(*attempts.lock().unwrap(), 1);
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn grpc_calls_are_judged_by_their_status() {
    // RESOURCE_EXHAUSTED and UNAVAILABLE may have been executed; NOT_FOUND will fare no better.
    for (code, has_key, attempts) in
        [("8", false, 1), ("8", true, 3), ("14", false, 1), ("14", true, 3), ("5", true, 1)]
    {
        let count = Arc::new(Mutex::new(0));
        let attempted = Arc::clone(&count);
        let service = service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| {
            *count.lock().unwrap() += 1;
            ready(Ok::<_, io::Error>(
                Response::builder().header("grpc-status", code).body(()).unwrap(),
            ))
        });
        let mut post = request(Method::POST);
        if has_key {
            post = post.header("idempotency-key", "k-1");
        }
        let layer = RetryLayer::default().budget(ample()).grpc();
        layer.layer(service).oneshot(post.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(*attempted.lock().unwrap(), attempts, "code {code} with a key: {has_key}");
    }
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn a_grpc_status_in_the_trailers_is_retried_over_whole_responses() {
    let count = Arc::new(Mutex::new(0));
    let attempts = Arc::clone(&count);
    let service = service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| {
        *count.lock().unwrap() += 1;
        let code = if *count.lock().unwrap() == 1 { "14" } else { "0" };
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
        let body = Body::from("part").with_trailers(ready(Some(Ok(trailers))));
        ready(Ok::<_, BoxError>(Response::new(body)))
    });
    for (key, sent, last) in [(Some("k-1"), 2, "0"), (None, 1, "14")] {
        *attempts.lock().unwrap() = 0;
        let mut post = request(Method::POST).body(Empty::new()).unwrap();
        if let Some(key) = key {
            post.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        let layer = RetryLayer::default().budget(ample()).grpc();
        let answer = layer
            .layer(CollectLayer::new(1024).layer(service.clone()))
            .oneshot(post)
            .await
            .unwrap();
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], last, "with the key {key:?}");
        assert_eq!(*attempts.lock().unwrap(), sent, "with the key {key:?}");
    }
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn a_grpc_servers_word_on_when_to_come_back_is_obeyed() {
    for (pushback, waited_ms) in [("1000", 1000..1501), ("-1", 0..51), ("5000", 0..1)] {
        let service = service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| {
            let response = Response::builder()
                .header("grpc-status", "14")
                .header("grpc-retry-pushback-ms", pushback);
            ready(Ok::<_, io::Error>(response.body(()).unwrap()))
        });
        let layer =
            RetryLayer::new(RetryConfig::new().attempts(attempts(2))).budget(ample()).grpc();
        let post =
            request(Method::POST).header("idempotency-key", "k-1").body(Empty::new()).unwrap();
        let start = tokio::time::Instant::now();
        layer.layer(service).oneshot(post).await.unwrap();
        let waited = (tokio::time::Instant::now() - start).as_millis();
        assert!(waited_ms.contains(&waited), "{pushback}: {waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_or_malformed_key_is_no_key() {
    for (key, attempts) in
        [("", 1), ("  ", 1), ("\"\"", 1), ("\"k-1", 1), ("k-1, k-2", 1), ("k-1", 2), ("\"k-1\"", 2)]
    {
        let server = Server::new([status(StatusCode::BAD_GATEWAY), status(StatusCode::OK)]);
        let post =
            request(Method::POST).header("idempotency-key", key).body(Body::default()).unwrap();
        send(&server, post).await.unwrap();
        assert_eq!(server.attempts(), attempts, "{key:?}");
    }
    let server = Server::new([status(StatusCode::BAD_GATEWAY), status(StatusCode::OK)]);
    let post =
        request(Method::POST).header("idempotency-key", "k-1").header("idempotency-key", "k-2");
    send(&server, post.body(Body::default()).unwrap()).await.unwrap();
    assert_eq!(server.attempts(), 1, "two lines of it");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_but_one_attempt_the_body_passes_as_it_is() {
    let server = Server::new([status(StatusCode::BAD_GATEWAY)]);
    let layer = of_attempts(1).replay(HttpReplay::default().with_limit(0));
    let service = service_fn({
        let inner = server.service();
        move |request: Sent| {
            assert_eq!(format!("{:?}", request.body()), "ReplayBody(once)");
            assert_eq!(
                (request.body().size_hint().exact(), request.body().is_end_stream()),
                (Some(5), false)
            );
            inner.clone().oneshot(request)
        }
    });
    let answer = layer
        .layer(service)
        .oneshot(request(Method::PUT).body(Body::from("hello")).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(server.seen.lock().unwrap()[0].body, "hello");
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_called_with_the_body_type_it_takes() {
    type Boxed = http_body_util::combinators::BoxBody<Bytes, steadfast_retry::http::ReplayError>;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Boxed>| {
        let log = Arc::clone(&log);
        async move {
            let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
            log.lock().unwrap().push(body);
            Err::<Response<()>, _>(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    });
    let put = || request(Method::PUT).body(Body::from("hello")).unwrap();
    quick().body_as(Boxed::new).layer(service.clone()).oneshot(put()).await.unwrap_err();
    of_attempts(1).body_as(|body| body.boxed()).layer(service).oneshot(put()).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), ["hello"; 4]);
}

/// A body of two frames, of which the second is an error.
fn breaks_off() -> http_body_util::combinators::BoxBody<Bytes, io::Error> {
    let frames = [
        Ok(http_body::Frame::data("half".into())),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)))
}

#[tokio::test(start_paused = true)]
async fn a_response_whose_body_breaks_off_is_retried_over_whole_responses() {
    let count = Arc::new(Mutex::new(0));
    let attempts = Arc::clone(&count);
    let service = service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| {
        *count.lock().unwrap() += 1;
        let body = match *count.lock().unwrap() {
            1 => breaks_off(),
            _ => {
                Full::new(Bytes::from("whole")).map_err(|never: Infallible| match never {}).boxed()
            }
        };
        ready(Ok::<_, BoxError>(Response::new(body)))
    });
    let get = || request(Method::GET).body(Empty::new()).unwrap();
    // Judged by its head alone, the first response is a success, and fails in the caller's hands.
    let answer = quick().layer(service.clone()).oneshot(get()).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
    *attempts.lock().unwrap() = 0;
    let answer =
        quick().layer(CollectLayer::new(1024).layer(service.clone())).oneshot(get()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "whole");
    assert_eq!(*attempts.lock().unwrap(), 2);
    // A POST may have been executed when its response breaks off.
    *attempts.lock().unwrap() = 0;
    let post = request(Method::POST).body(Empty::new()).unwrap();
    let error =
        quick().layer(CollectLayer::new(1024).layer(service)).oneshot(post).await.unwrap_err();
    assert!(cause::<BodyFailed>(&*error).is_some());
    assert_eq!(*attempts.lock().unwrap(), 1);
}

type HyperClient = Client<HttpConnector, ReplayBody<Body>>;
type HyperError = steadfast_core::Error<hyper_util::client::legacy::Error>;

/// The layer round hyper's client, whose error type is foreign.
fn client()
-> impl Service<Request<Body>, Response = Response<hyper::body::Incoming>, Error = HyperError> {
    let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
    guard(quick()).layer(client)
}

/// A free port on which no process listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn post_to(port: u16) -> Request<Body> {
    Request::post(format!("http://127.0.0.1:{port}/")).body(Body::from("hello")).unwrap()
}

#[tokio::test]
async fn a_post_without_a_key_is_retried_after_a_refused_connection() {
    let port = closed_port().await;
    let (seen, server) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
    let connects = Arc::new(Mutex::new(0));
    // The server comes up while the second attempt waits: the first connection is refused by the
    // kernel.
    let connector = service_fn({
        let (seen, server, connects) =
            (Arc::clone(&seen), Arc::clone(&server), Arc::clone(&connects));
        move |uri: http::Uri| {
            let is_first = {
                let mut connects = connects.lock().unwrap();
                *connects += 1;
                *connects == 1
            };
            let (seen, server) = (Arc::clone(&seen), Arc::clone(&server));
            Box::pin(async move {
                if !is_first && server.lock().unwrap().is_none() {
                    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
                    *server.lock().unwrap() = Some(tokio::spawn(serve_once(listener, seen)));
                }
                HttpConnector::new().oneshot(uri).await.map_err(BoxError::from)
            })
        }
    });
    let client: Client<_, ReplayBody<Body>> =
        Client::builder(TokioExecutor::new()).build(connector);
    let answer = guard(quick()).layer(client).oneshot(post_to(port)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(*connects.lock().unwrap(), 2);
    assert_eq!(
        *seen.lock().unwrap(),
        [("hello".into(), Some("5".into()))],
        "the body was sent with its length"
    );
}

type Log = Arc<Mutex<Vec<(Bytes, Option<String>)>>>;

async fn serve_once(listener: TcpListener, seen: Log) {
    let (stream, _) = listener.accept().await.unwrap();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let length = content_length(request.headers());
            let body = request.into_body().collect().await?.to_bytes();
            seen.lock().unwrap().push((body, length));
            Ok::<_, hyper::Error>(Response::new(Body::default()))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn content_length(headers: &HeaderMap) -> Option<String> {
    headers.get("content-length").map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_refused_connection_is_retried_to_the_last_attempt_and_then_returned() {
    let error = client().oneshot(post_to(closed_port().await)).await.unwrap_err();
    assert_eq!(cause::<io::Error>(&error).unwrap().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_post_without_a_key_is_not_retried_after_a_timeout_and_with_a_key_it_is() {
    for (key, attempts) in [(None, 1), (Some("k-1"), 3)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(Mutex::new(0));
        let count = Arc::clone(&accepted);
        // Accepts, and never answers.
        let server = tokio::spawn(async move {
            let mut streams = Vec::new();
            loop {
                streams.push(listener.accept().await.unwrap());
                *count.lock().unwrap() += 1;
            }
        });
        let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
        let limited =
            tower::ServiceBuilder::new().timeout(Duration::from_millis(50)).service(client);
        let mut post = post_to(port);
        if let Some(key) = key {
            post.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        let error = quick().layer(limited).oneshot(post).await.unwrap_err();
        assert!(cause::<tower::timeout::error::Elapsed>(&*error).is_some());
        assert_eq!(*accepted.lock().unwrap(), attempts, "with the key {key:?}");
        server.abort();
    }
}

#[tokio::test]
async fn a_stream_the_peer_refused_is_retried_even_for_a_post() {
    let (client_end, server_end) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let mut connection = h2::server::handshake(server_end).await.unwrap();
        let (_refused, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        while connection.accept().await.is_some() {}
    });
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client_end));
    let (sender, connection): (
        hyper::client::conn::http2::SendRequest<ReplayBody<Empty<Bytes>>>,
        _,
    ) = handshake.await.unwrap();
    let driver = tokio::spawn(connection);
    let service = service_fn(move |request: Request<ReplayBody<Empty<Bytes>>>| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let post = request(Method::POST).body(Empty::<Bytes>::new()).unwrap();
    let answer = guard(quick()).layer(service).oneshot(post).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    driver.abort();
    server.abort();
}

struct Named<S> {
    _layer: HttpRetryLayer,
    _service: Retry<S, HttpRetryLayer>,
}

#[test]
fn the_types_can_be_named() {
    let layer = quick();
    let _named = Named { _service: layer.layer(()), _layer: layer };
}

/// Two layers of retries round one service, each with a body of its own kind.
fn nested(
    outer: &Budget,
    inner: &Budget,
    server: Server,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone {
    let config = || RetryConfig::new().attempts(attempts(2)).backoff(Backoff::NONE);
    let layer = |budget: &Budget| RetryLayer::new(config()).budget(budget.clone()).http();
    let service = service_fn(move |request: Request<ReplayBody<ReplayBody<Body>>>| {
        let reply = server.replies.lock().unwrap().pop().unwrap();
        async move {
            request.into_body().collect().await.map_err(|_| io::ErrorKind::Other)?;
            reply
        }
    });
    let service = service.map_err(|kind: io::ErrorKind| BoxError::from(io::Error::from(kind)));
    layer(outer).layer(layer(inner).layer(service))
}

#[tokio::test(start_paused = true)]
async fn nested_layers_with_one_budget_count_a_request_once_and_with_two_once_in_each() {
    let ok = || Ok(Response::new(Body::from("ok")));
    let send = async |outer: &Budget, inner: &Budget, replies: Vec<Reply>| {
        let number = replies.iter().filter(|reply| reply.is_ok()).count();
        let service = nested(outer, inner, Server::new(replies));
        for _ in 0..number {
            let request = request(Method::PUT).body(Body::from("hello")).unwrap();
            service.clone().oneshot(request).await.unwrap();
        }
    };
    let of = || crate::support::exactly(20, 0);
    let shared = of();
    send(&shared, &shared.clone(), (0..100).map(|_| ok()).collect()).await;
    assert_eq!((shared.snapshot().requests, shared.snapshot().available), (100, 20));

    let (outer, inner) = (of(), of());
    send(&outer, &inner, (0..100).map(|_| ok()).collect()).await;
    assert_eq!((outer.snapshot().requests, inner.snapshot().requests), (100, 100));

    // Refused three times: by the inner layer once more, then by the outer, which asks the inner
    // anew. It is one request all the same, and each time that it is sent again is withdrawn.
    let shared = ample();
    let refused = || Err(io::ErrorKind::ConnectionRefused);
    send(&shared, &shared, vec![refused(), refused(), refused(), ok()]).await;
    assert_eq!((shared.snapshot().requests, shared.snapshot().withdrawn), (1, 3));
}
