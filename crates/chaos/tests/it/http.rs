//! Faults of HTTP: bodies by hand, and what crosses the wire of real servers and clients.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use steadfast_testkit::BoxError;
use tower::{Service, ServiceExt};

mod axum;
mod bodies;
mod client;
mod grpc;
mod wire;

/// Serves every connection by HTTP/1 or HTTP/2, as it begins, over loopback.
async fn serve<S, B>(service: S) -> std::net::SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = BoxError>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            let service = hyper::service::service_fn(move |request| {
                let service = service.clone();
                async move { service.oneshot(request).await.map_err(std::io::Error::other) }
            });
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A body that is cut fails its connection.
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    address
}

/// A thousand different bytes, as far as bytes differ.
fn thousand() -> Bytes {
    (0..1000_u32).map(|n| (n * 7 % 251) as u8).collect()
}

fn full() -> Full<Bytes> {
    Full::new(thousand())
}
