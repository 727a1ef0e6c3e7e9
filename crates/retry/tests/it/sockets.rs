//! Over real sockets: conflicts that pass, a pool of one connection, uploads that break.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use steadfast_core::{
    Backoff, Deadline, cause, guard,
    http::{HttpClassifier, HttpContext},
};
use steadfast_retry::{
    RetryConfig, RetryLayer,
    http::{HttpReplay, ReplayBody, ReplayError},
};
use tokio::{net::TcpListener, sync::OwnedSemaphorePermit, time::Instant};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Connection, ample, attempts};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = Full<Bytes>;
type HyperClient = Client<HttpConnector, ReplayBody<Body>>;

fn of_attempts(number: u32) -> RetryLayer<HttpClassifier, HttpContext, HttpReplay> {
    let config = RetryConfig::new().backoff(Backoff::constant(Duration::from_millis(1)).unwrap());
    RetryLayer::new(config.attempts(attempts(number))).budget(ample()).http()
}

fn quick() -> RetryLayer<HttpClassifier, HttpContext, HttpReplay> {
    of_attempts(3)
}

/// Answers over real sockets, one status after another and then the last for ever, each with a
/// body, and logs the methods.
async fn serve_statuses(
    statuses: &[(u16, Option<&'static str>)],
) -> (u16, Arc<Mutex<Vec<Method>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let statuses = Arc::new(Mutex::new(statuses.to_vec()));
    let methods = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&methods);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (statuses, seen) = (Arc::clone(&statuses), Arc::clone(&seen));
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (statuses, seen) = (Arc::clone(&statuses), Arc::clone(&seen));
                async move {
                    let method = request.method().clone();
                    request.into_body().collect().await?;
                    seen.lock().unwrap().push(method);
                    let mut statuses = statuses.lock().unwrap();
                    let next = if statuses.len() > 1 { statuses.remove(0) } else { statuses[0] };
                    let mut response = Response::builder().status(next.0);
                    if let Some(after) = next.1 {
                        response = response.header("retry-after", after);
                    }
                    Ok::<_, hyper::Error>(response.body(Body::from("so it is")).unwrap())
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, methods)
}

#[tokio::test]
async fn a_conflict_that_passes_is_repeated_after_its_time_where_that_is_safe() {
    let policy = || HttpReplay::new(|_: &Parts| true);
    let one = |method: Method, key: bool, by_policy: bool, calls: usize| async move {
        let (port, seen) = serve_statuses(&[(409, Some("1")), (200, None)]).await;
        let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
        let mut request =
            Request::builder().method(method).uri(format!("http://127.0.0.1:{port}/"));
        if key {
            request = request.header("idempotency-key", "k-1");
        }
        let request = request.body(Body::from("hello")).unwrap();
        let start = Instant::now();
        let answer = if by_policy {
            guard(quick().replay(policy())).layer(client).oneshot(request).await
        } else {
            guard(quick()).layer(client).oneshot(request).await
        };
        let took = Instant::now() - start;
        let status = answer.unwrap().status().as_u16();
        assert_eq!(seen.lock().unwrap().len(), calls);
        assert_eq!(status, if calls == 1 { 409 } else { 200 });
        let waited = took >= Duration::from_secs(1);
        assert_eq!(waited, calls == 2, "{took:?}");
    };
    tokio::join!(
        one(Method::PUT, false, false, 2),
        one(Method::DELETE, false, false, 2),
        one(Method::POST, true, false, 2),
        one(Method::POST, false, true, 2),
        // The request may have been executed.
        one(Method::POST, false, false, 1),
        one(Method::PATCH, false, false, 1),
    );
}

#[tokio::test]
async fn a_conflict_without_a_time_is_final() {
    let (port, seen) = serve_statuses(&[(409, None)]).await;
    let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
    let put = Request::put(format!("http://127.0.0.1:{port}/")).body(Body::default()).unwrap();
    let answer = guard(quick()).layer(client).oneshot(put).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// A client that has but one connection, which a response's body holds until it is dropped.
#[derive(Clone)]
struct OneConnection(HyperClient, Connection);

/// A response's body, and the connection on which it comes.
struct Held(Incoming, #[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

impl Service<Request<ReplayBody<Body>>> for OneConnection {
    type Response = Response<Held>;
    type Error = hyper_util::client::legacy::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.1.poll_ready(cx).map(Ok)
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> Self::Future {
        let connection = self.1.take();
        let answer = self.0.request(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Held(body, connection))) })
    }
}

#[tokio::test]
async fn over_one_real_connection_a_failed_response_lets_go_of_it_before_the_retry_waits() {
    for limit in [None, Some(Duration::from_secs(30))] {
        let (port, seen) = serve_statuses(&[(503, None), (503, None), (200, None)]).await;
        let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
        let connection = Connection::new();
        let pool = Arc::clone(&connection.pool);
        let mut get = Request::get(format!("http://127.0.0.1:{port}/"));
        if let Some(limit) = limit {
            let now = Instant::now().into_std();
            get = get.extension(Deadline::after(now, limit));
        }
        let call = guard(quick())
            .layer(OneConnection(client, connection))
            .oneshot(get.body(Body::default()).unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(5), call).await;
        let answer = answer.expect("it waits for itself").unwrap();
        assert_eq!((answer.status(), seen.lock().unwrap().len()), (StatusCode::OK, 3));
        assert_eq!(pool.available_permits(), 0, "the caller's body holds the connection");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "so it is");
        assert_eq!(pool.available_permits(), 1);
    }
}

/// The client's own upload breaks: no attempt would have more of it.
#[tokio::test]
async fn an_upload_that_breaks_is_not_sent_again_and_its_error_is_found_in_the_chain() {
    #[derive(Debug, thiserror::Error)]
    #[error("the client went away")]
    struct Gone;

    for attempts in [1, 3] {
        let (port, _) = serve_statuses(&[(200, None)]).await;
        let client: Client<_, ReplayBody<UnsyncBoxBody<Bytes, BoxError>>> =
            Client::builder(TokioExecutor::new()).build_http();
        let polls = Arc::new(Mutex::new(0));
        let count = Arc::clone(&polls);
        let first = futures::stream::once(ready(Ok(Frame::data("some".into()))));
        let gone = futures::stream::once(async move {
            *count.lock().unwrap() += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(BoxError::from(Gone))
        });
        let upload = StreamBody::new(futures::StreamExt::chain(first, gone));
        let put = Request::put(format!("http://127.0.0.1:{port}/"));
        let put = put.body(UnsyncBoxBody::new(upload)).unwrap();
        let budget = ample();
        let layer = of_attempts(attempts).budget(budget.clone());
        let error = guard(layer).layer(client).oneshot(put).await.unwrap_err();
        assert!(cause::<Gone>(&error).is_some(), "{error:?}");
        assert!(matches!(cause::<ReplayError>(&error), Some(ReplayError::Body(_))), "{error:?}");
        assert_eq!(*polls.lock().unwrap(), 1);
        assert_eq!(budget.snapshot().withdrawn, 0);
    }
}
