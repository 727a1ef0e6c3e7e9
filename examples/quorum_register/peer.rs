//! The way to one node: a service of HTTP that carries the caller's hybrid time.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use axum::http::{
    self, Uri,
    uri::{Authority, Scheme},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    MapErr,
    clock::{Hlc, PropagateHlc, PropagateHlcLayer},
    guard,
    http::{Collect, CollectLayer},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::Failure;

pub(crate) type Request = http::Request<Full<Bytes>>;
pub(crate) type Response = <Http as Service<Request>>::Response;
pub(crate) type Error = <Http as Service<Request>>::Error;

type Http = Collect<PropagateHlc<MapErr<Client<HttpConnector, Full<Bytes>>>>>;

/// More than any answer here.
const LIMIT: usize = 64 * 1024;

/// A client, and the node it calls. Requests name a path only.
#[derive(Clone)]
pub(crate) struct Peer {
    http: Http,
    node: Authority,
}

impl Peer {
    /// A peer at each address, over one client.
    pub(crate) fn all(
        hlc: Hlc,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<Self>, Failure> {
        // An answer is in once its last byte is: before that its node may still fail.
        let stack = ServiceBuilder::new()
            .layer(CollectLayer::new(LIMIT))
            .layer(PropagateHlcLayer::new(hlc));
        let http = guard(stack).layer(Client::builder(TokioExecutor::new()).build_http());
        let at = |address: SocketAddr| {
            Ok(Self { http: http.clone(), node: address.to_string().parse()? })
        };
        addresses.into_iter().map(at).collect()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<String, Failure> {
        self.send(http::Request::get(path).body(Full::default())?).await
    }

    pub(crate) async fn put(&self, path: &str, body: String) -> Result<String, Failure> {
        self.send(http::Request::put(path).body(body.into())?).await
    }

    async fn send(&self, request: Request) -> Result<String, Failure> {
        let response = self.clone().oneshot(request).await?;
        let status = response.status();
        if status.is_success() { text(response).await } else { Err(status.to_string().into()) }
    }
}

/// The body of a response.
pub(crate) async fn text(response: Response) -> Result<String, Failure> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().into())?)
}

impl Service<Request> for Peer {
    type Response = Response;
    type Error = Error;
    type Future = <Http as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.http.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.node.clone());
        *request.uri_mut() =
            Uri::from_parts(uri).expect("a path with a scheme and an authority is a URI");
        self.http.call(request)
    }
}
