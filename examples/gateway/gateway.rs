//! The gateway: its routes, and its client as it is often written. `stack.rs` has the one with
//! Steadfast.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{self, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    Grounds, RefusalKind,
    breaker::Circuit,
    cause,
    http::respond,
    phi::Peer,
    timeout::{DeadlineConfig, DeadlineLayer},
};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxCloneSyncService, util::MapRequest};

use crate::{Failure, calls::Calls, round_robin::RoundRobin, stack};

/// Which of the two gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client with one generous timeout.
    Plain,
    /// The same client behind layers.
    Steadfast,
}

/// A gateway that listens.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// One for each upstream; none without Steadfast.
    pub(crate) circuits: Vec<Circuit>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) calls: Calls,
}

/// What the routes send requests to.
pub(crate) type Backend = BoxCloneSyncService<Request, Response, BoxError>;

impl Gateway {
    /// Starts the gateway on a free port, in this process.
    pub(crate) async fn start(kind: Kind, upstreams: &[SocketAddr]) -> Result<Self, Failure> {
        let calls = Calls::default();
        let (routes, circuits, peers, probers) = match kind {
            Kind::Plain => (routes(plain(upstreams, &calls)), Vec::new(), Vec::new(), Vec::new()),
            Kind::Steadfast => {
                let stack::Stack { backend, circuits, peers, probers } =
                    stack::steadfast(upstreams, &calls)?;
                // No request takes longer, whatever happens behind it; the refusal becomes a
                // response.
                let whole =
                    DeadlineLayer::new(DeadlineConfig::new().total(Duration::from_millis(900)))?;
                let routes = routes(backend).layer(respond(ServiceBuilder::new().layer(whole)));
                (routes, circuits, peers, probers)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let served = axum::serve(listener, routes).await;
            // They probe as long as it is served.
            drop(probers);
            served
        });
        Ok(Self { address, circuits, peers, calls })
    }
}

/// Round robin over one client, with one generous timeout for all: what is usual.
fn plain(upstreams: &[SocketAddr], calls: &Calls) -> Backend {
    let stack = ServiceBuilder::new().timeout(Duration::from_secs(5));
    let service = stack.service(RoundRobin::new(senders::<Body>(upstreams, calls)));
    BoxCloneSyncService::new(service.map_response(IntoResponse::into_response))
}

/// One client, and for each upstream a service that notes the call and sends it there.
pub(crate) fn senders<B>(
    upstreams: &[SocketAddr],
    calls: &Calls,
) -> impl Iterator<
    Item = MapRequest<
        Client<HttpConnector, B>,
        impl FnMut(http::Request<B>) -> http::Request<B> + Clone + Send + Sync + 'static,
    >,
>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build_http();
    upstreams.iter().enumerate().map(move |(upstream, &address)| {
        let calls = calls.clone();
        client.clone().map_request(move |mut request: http::Request<B>| {
            calls.note(upstream);
            *request.uri_mut() = at(address, request.uri());
            request
        })
    })
}

/// The same path at another host.
fn at(address: SocketAddr, uri: &Uri) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::try_from(format!("http://{address}{path}")).expect("an address and a path make a URI")
}

fn routes(backend: Backend) -> Router {
    Router::new().route("/items/{id}", get(proxy)).route("/orders", post(proxy)).with_state(backend)
}

async fn proxy(State(backend): State<Backend>, request: Request) -> Response {
    backend.oneshot(request).await.unwrap_or_else(|error| {
        let status = match cause::<Grounds>(&*error).map(|grounds| grounds.kind) {
            Some(RefusalKind::TimedOut | RefusalKind::DeadlineExceeded) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            None => StatusCode::BAD_GATEWAY,
        };
        // Its text names what is behind the gateway, which is for logs.
        (status, format!("{status}\n")).into_response()
    })
}
