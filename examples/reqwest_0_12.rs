//! Retry, breaker and timeout round a client of reqwest 0.12, by an adapter of a few lines. For
//! reqwest 0.13 there is `steadfast::reqwest::Client`: see the example `reqwest_client`.
//!
//! `cargo run --example reqwest_0_12`

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    http::{Method, Request, Response, StatusCode},
    routing::any,
};
use steadfast::{
    breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen, State},
    cause, guard,
    retry::{RetryConfig, RetryLayer, http::ReplayBody},
    timeout::TimeoutLayer,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};

/// Layers speak `http`'s request type, whose extensions carry deadline and attempt. This carries it
/// to reqwest's and back.
#[derive(Clone)]
struct Reqwest(reqwest12::Client);

impl Reqwest {
    /// Follows no redirects: where the target of one is down, the error says that connecting
    /// failed, as if nothing had been executed, and with the URL of the first request.
    fn new(builder: reqwest12::ClientBuilder) -> reqwest12::Result<Self> {
        Ok(Self(builder.redirect(reqwest12::redirect::Policy::none()).build()?))
    }
}

impl Service<Request<ReplayBody<reqwest12::Body>>> for Reqwest {
    type Response = Response<reqwest12::Body>;
    type Error = reqwest12::Error;
    // A box where a request goes over the network anyway.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<reqwest12::Body>>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let request = reqwest12::Request::try_from(request.map(reqwest12::Body::wrap))?;
            client.execute(request).await.map(Response::from)
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let circuit = Circuit::new(
        CircuitConfig::new().count_window(10.try_into()?).minimum_calls(5.try_into()?),
    )?;
    // An open circuit says when to come back. A caller who would have to wait longer than this
    // hears so at once.
    let retry =
        RetryLayer::new(RetryConfig::new().retry_after_limit(Duration::from_millis(500))).http();
    let stack = ServiceBuilder::new()
        .layer(retry)
        .layer(BreakerLayer::new(circuit.clone()).http())
        .layer(TimeoutLayer::adaptive(Duration::from_millis(50), Duration::from_secs(5))?.http());
    let service = guard(stack).layer(Reqwest::new(reqwest12::Client::builder())?);
    let (address, calls, server) = server().await?;

    // The server is busy at first. A GET may be executed twice, so it is sent again …
    let response = service.clone().oneshot(request(Method::GET, address)?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(calls.swap(0, Ordering::SeqCst), 2);

    // … and a POST may not: the caller gets the 503.
    let response = service.clone().oneshot(request(Method::POST, address)?).await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    // With the server gone, connections are refused. The failure is reqwest's own until the circuit
    // opens.
    server.abort();
    // Aborted, the server closes its listener; waiting makes sure of it.
    assert!(server.await.is_err());
    let error = loop {
        let outcome = service.clone().oneshot(request(Method::POST, address)?).await;
        match outcome.map_err(steadfast::Error::into_service) {
            Err(Some(error)) => assert!(error.is_connect() || error.is_request(), "{error:?}"),
            Err(None) => {
                break service
                    .oneshot(request(Method::POST, address)?)
                    .await
                    .expect_err("the circuit is open");
            }
            Ok(response) => {
                return Err(
                    format!("answered, though no server is there: {}", response.status()).into()
                );
            }
        }
    };
    assert_eq!(circuit.state(), State::Open);
    assert!(cause::<CircuitOpen>(&error).is_some());
    println!("{error}");
    Ok(())
}

fn request(method: Method, address: SocketAddr) -> Result<Request<reqwest12::Body>, BoxError> {
    Ok(Request::builder().method(method).uri(format!("http://{address}/")).body("hello".into())?)
}

/// A server that is busy at its first call, and how often it was called.
async fn server() -> Result<(SocketAddr, Arc<AtomicU32>, JoinHandle<()>), BoxError> {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&calls);
    let answer = any(move |_: String| async move {
        match seen.fetch_add(1, Ordering::SeqCst) {
            0 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new().route("/", answer);
    let server = tokio::spawn(async move {
        axum::serve(listener, routes).await.expect("a listener accepts for ever");
    });
    Ok((address, calls, server))
}
