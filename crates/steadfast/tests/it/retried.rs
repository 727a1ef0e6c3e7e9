//! Retries of a client against the layer of a server, over real connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Backoff, guard,
    http::{is_replayed, respond},
    idempotency::{Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore},
    retry::{RetryConfig, RetryLayer},
};
use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use steadfast_idempotency::http::{IdempotencyKeyLayer, IdempotencyLayer};
use tokio::{sync::Notify, time::sleep};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};

use crate::support::serve;

const MS: Duration = Duration::from_millis(1);

/// A server that does what the body of a request says, once for each key.
#[derive(Clone)]
struct Server {
    handle: Idempotency,
    /// Requests that came, and runs of the handler.
    came: Arc<AtomicU32>,
    ran: Arc<AtomicU32>,
    /// A run that waits goes on.
    go_on: Arc<Notify>,
}

impl Server {
    fn new() -> Self {
        let config = IdempotencyConfig::new().wait(Duration::ZERO).most_reply_bytes(4096);
        let store = MemoryStore::new(MemoryConfig::new()).unwrap();
        let handle = Idempotency::new(config, store).unwrap();
        Self { handle, came: Arc::default(), ran: Arc::default(), go_on: Arc::default() }
    }

    async fn serve(&self) -> SocketAddr {
        let (came, server) = (Arc::clone(&self.came), self.clone());
        let layer = IdempotencyLayer::unscoped(self.handle.clone());
        let router = Router::new()
            .route("/", post(move |what: String| server.clone().run(what)))
            .layer(respond(layer))
            .layer(axum::middleware::map_request(move |request: Request<Body>| {
                came.fetch_add(1, Ordering::Relaxed);
                async { request }
            }));
        serve(router).await
    }

    async fn run(self, what: String) -> Response {
        let run = self.ran.fetch_add(1, Ordering::Relaxed) + 1;
        match &*what {
            "wait" => self.go_on.notified().await,
            "much" => return "x".repeat(9000).into_response(),
            "fail" => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "be busy" if run == 1 => {
                return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")]).into_response();
            }
            _ => {}
        }
        format!("run {run}").into_response()
    }

    /// Requests that came, and runs of the handler.
    fn counts(&self) -> (u32, u32) {
        (self.came.load(Ordering::Relaxed), self.ran.load(Ordering::Relaxed))
    }
}

/// A server, and a way to it that goes black for replies until the first has been lost.
async fn losing() -> (Server, FaultProxy, SocketAddr) {
    let server = Server::new();
    let proxy = FaultProxy::bind(ProxyConfig::new(server.serve().await)).unwrap();
    let address = proxy.address();
    proxy.black_hole(Direction::Downstream);
    (server, proxy, address)
}

fn retries() -> RetryLayer {
    let backoff = Backoff::constant(MS).unwrap();
    RetryLayer::new(RetryConfig::new().attempts(5.try_into().unwrap()).backoff(backoff))
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    /// Status, body, and whether it is a replay.
    fn parts(&self) -> (u16, &str, bool) {
        (self.status.as_u16(), &self.text, is_replayed(&self.headers))
    }
}

/// Asks as the client of the guide does: one key for a call, outside of its retries.
async fn ask(address: SocketAddr, key: Option<&str>, what: &'static str) -> Result<Got, BoxError> {
    let stack = ServiceBuilder::new().layer(IdempotencyKeyLayer::new()).layer(retries().http());
    let client = Client::builder(TokioExecutor::new()).build_http();
    got(guard(stack).layer(client).oneshot(request(address, key, what)).await?).await
}

/// Asks without a key.
async fn ask_unkeyed(address: SocketAddr, what: &'static str) -> Result<Got, BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let stack = ServiceBuilder::new().layer(retries().http());
    got(guard(stack).layer(client).oneshot(request(address, None, what)).await?).await
}

async fn got<B>(response: http::Response<B>) -> Result<Got, BoxError>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    let text = String::from_utf8(body.to_vec())?;
    Ok(Got { status: head.status, headers: head.headers, text })
}

fn request(address: SocketAddr, key: Option<&str>, what: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://{address}/"));
    let request =
        key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
    request.body(what.into()).unwrap()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(MS).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it comes to it");
}

#[tokio::test]
async fn a_reply_that_was_lost_is_asked_for_again_and_replayed() {
    let (server, proxy, address) = losing().await;
    let asked = tokio::spawn(ask(address, None, "pay"));
    until(|| server.handle.snapshot().stored == 1).await;
    proxy.end_black_hole(Direction::Downstream);
    proxy.cut().await;
    proxy.heal().await;
    assert_eq!(asked.await.unwrap().unwrap().parts(), (200, "run 1", true));
    let (came, ran) = server.counts();
    assert!(came >= 2 && ran == 1, "{came}, {ran}");
}

/// It is not known whether it was executed, and the server could not tell that it comes again.
#[tokio::test]
async fn a_request_without_a_key_is_not_sent_again_when_its_reply_is_lost() {
    let (server, proxy, address) = losing().await;
    let asked = tokio::spawn(ask_unkeyed(address, "pay"));
    until(|| server.counts().1 == 1).await;
    proxy.end_black_hole(Direction::Downstream);
    proxy.cut().await;
    proxy.heal().await;
    assert!(asked.await.unwrap().is_err());
    assert_eq!(server.counts(), (1, 1));
}

#[tokio::test]
async fn a_conflict_that_says_when_to_come_back_is_worth_another_attempt() {
    let server = Server::new();
    let address = server.serve().await;
    let first = tokio::spawn(ask(address, Some("7f3a"), "wait"));
    until(|| server.counts().1 == 1).await;
    let second = tokio::spawn(ask(address, Some("7f3a"), "wait"));
    until(|| server.handle.snapshot().refused > 0).await;
    server.go_on.notify_one();
    assert_eq!(first.await.unwrap().unwrap().parts(), (200, "run 1", false));
    assert_eq!(second.await.unwrap().unwrap().parts(), (200, "run 1", true));
    assert_eq!(server.counts(), (3, 1));
}

/// Its reply was too long to be kept: no waiting brings it back.
#[tokio::test]
async fn a_conflict_that_does_not_pass_is_final() {
    let server = Server::new();
    let address = server.serve().await;
    let first = ask(address, Some("7f3a"), "much").await.unwrap();
    assert_eq!((first.status, first.text.len()), (StatusCode::OK, 9000));
    let again = ask(address, Some("7f3a"), "much").await.unwrap();
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(!again.headers.contains_key(RETRY_AFTER));
    assert_eq!(server.counts(), (2, 1));
}

#[tokio::test]
async fn another_payload_under_the_same_key_is_final() {
    let server = Server::new();
    let address = server.serve().await;
    assert_eq!(ask(address, Some("7f3a"), "pay").await.unwrap().parts(), (200, "run 1", false));
    let other = ask(address, Some("7f3a"), "pay more").await.unwrap();
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(server.counts(), (2, 1));
}

/// The second attempt learns that asking changes nothing, and is the last of five.
#[tokio::test]
async fn a_failure_that_is_replayed_is_final() {
    let server = Server::new();
    let address = server.serve().await;
    assert_eq!(ask(address, None, "fail").await.unwrap().parts(), (500, "", true));
    assert_eq!(server.counts(), (2, 1));
    // Without a key the first is the last.
    assert_eq!(ask_unkeyed(address, "fail").await.unwrap().parts(), (500, "", false));
    assert_eq!(server.counts(), (3, 2));
}

/// It was certainly not executed, and its key is free.
#[tokio::test]
async fn a_server_that_is_busy_runs_the_next_attempt_under_the_same_key() {
    let server = Server::new();
    let address = server.serve().await;
    assert_eq!(ask(address, None, "be busy").await.unwrap().parts(), (200, "run 2", false));
    assert_eq!(server.counts(), (2, 2));
}
