//! What the tests share.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes};
use futures::stream;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::dns::{Name, Resolve, Resolving};
use steadfast_core::Backoff;
use steadfast_reqwest::Client;
use steadfast_retry::{RetryConfig, RetryLayer, http::ReplayBody};
use tokio::net::{TcpListener, TcpSocket};
use tower::ServiceBuilder;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Serves on a free port until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An address that no process listens on: it stays bound, so that no server of another test is
/// given it.
pub(crate) fn vacant() -> SocketAddr {
    let socket = Box::leak(Box::new(TcpSocket::new_v4().unwrap()));
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket.local_addr().unwrap()
}

/// Finds no host.
pub(crate) struct Nowhere;

impl Resolve for Nowhere {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Err("no such host".into()) })
    }
}

/// Three attempts, a millisecond apart.
pub(crate) fn retries() -> RetryLayer {
    RetryLayer::new(RetryConfig::new().backoff(Backoff::constant(MS).unwrap()))
}

/// A client that sends again, and how often it has sent.
pub(crate) fn counted(http: reqwest::Client) -> (Client, Arc<AtomicU32>) {
    let attempts = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&attempts);
    let stack = ServiceBuilder::new().layer(retries().http()).map_request(
        move |request: Request<ReplayBody<reqwest::Body>>| {
            seen.fetch_add(1, Ordering::Relaxed);
            request
        },
    );
    (Client::new(http, stack), attempts)
}

pub(crate) fn count(of: &AtomicU32) -> u32 {
    of.load(Ordering::Relaxed)
}

/// A body whose length is not known, in pieces.
pub(crate) fn streamed<I>(pieces: I) -> reqwest::Body
where
    I: IntoIterator<Item = Result<&'static str, &'static str>>,
{
    let frames = pieces.into_iter().map(|piece| piece.map(|data| Frame::data(data.into())));
    let frames: Vec<Result<Frame<Bytes>, _>> = frames.collect();
    reqwest::Body::wrap(StreamBody::new(stream::iter(frames)))
}
