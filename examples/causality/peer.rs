//! Calls to a node, over a client that carries the caller's hybrid time.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    SystemWallClock,
    clock::{Hlc, HlcConfig, PhysicalClock, PropagateHlc, PropagateHlcLayer},
    guard,
};
use tower::{Layer, ServiceExt};

use crate::Failure;

/// More than the clocks differ by: they are wrong on purpose.
pub(crate) const MAX_DRIFT: Duration = Duration::from_secs(10);

type Http = steadfast::MapErr<Client<HttpConnector, Full<Bytes>>>;

/// A node's address, and the way to it.
pub(crate) struct Peer<C = SystemWallClock> {
    http: PropagateHlc<Http, PropagateHlcLayer<Hlc<C>>>,
    address: SocketAddr,
}

impl<C> Clone for Peer<C> {
    fn clone(&self) -> Self {
        Self { http: self.http.clone(), ..*self }
    }
}

impl Peer {
    /// The way of a client whose own clock is right.
    pub(crate) fn client() -> Result<Self, Failure> {
        Ok(Self::with(Hlc::system(HlcConfig::new().max_drift(MAX_DRIFT))?))
    }
}

impl<C: PhysicalClock> Peer<C> {
    pub(crate) fn with(hlc: Hlc<C>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let http = guard(PropagateHlcLayer::new(hlc)).layer(client);
        Self { http, address: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { http: self.http.clone(), address }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn get(&self, path: &str) -> Result<String, Failure> {
        self.send("GET", path, "").await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Result<String, Failure> {
        self.send("PUT", path, body).await
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Result<String, Failure> {
        let uri = format!("http://{}{path}", self.address);
        let body = Full::from(body.to_owned());
        let request = axum::http::Request::builder().method(method).uri(&uri).body(body)?;
        let response = self.http.clone().oneshot(request).await?;
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().into())?;
        if head.status.is_success() {
            Ok(body)
        } else {
            Err(format!("{method} {uri}: {}: {body}", head.status).into())
        }
    }
}
