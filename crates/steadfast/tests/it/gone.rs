//! A call that breaks off below its client has failed, unless its own body broke it off.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, Response, Version};
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use steadfast::{
    Classify, DefaultClassifier, Executed, Verdict, http::HttpClassifier, tonic::GrpcClassifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Handle, Runtime},
    sync::mpsc::unbounded_channel,
    time::timeout,
};
use tower::{BoxError, ServiceExt};

use crate::{
    http2::{read_frame, write_frame},
    support::serve,
    uploads::{CLIENTS, Upstream, endless},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

/// Calls `upstream`, and tells what the classifiers make of the error that it fails with.
async fn failed(upstream: Upstream, request: Request<Body>) -> (Verdict, BoxError) {
    let call = timeout(Duration::from_secs(10), upstream.oneshot(request));
    let error = call.await.expect("it ends").unwrap_err();
    let outcome = || Err::<&Response<()>, _>(&error);
    let verdict = HttpClassifier.classify(outcome());
    assert_eq!(DefaultClassifier.classify(outcome()), verdict);
    assert_eq!(GrpcClassifier.classify(outcome()), verdict);
    (verdict, error)
}

fn get(address: SocketAddr) -> Request<Body> {
    Request::get(format!("http://{address}/")).body(Body::empty()).unwrap()
}

/// An upstream that reads the head of a request, and does as told with the connection.
async fn upstream<F: Future<Output = ()> + Send>(
    version: Version,
    then: impl Fn(TcpStream) -> F + Copy + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                if version == Version::HTTP_2 {
                    connection.read_exact(&mut [0; 24]).await.unwrap();
                    write_frame(&mut connection, SETTINGS, 0, 0, &[]).await;
                    while read_frame(&mut connection).await.0 != HEADERS {}
                } else {
                    connection.read_exact(&mut [0; 16]).await.unwrap();
                }
                then(connection).await;
            });
        }
    });
    address
}

/// Keeps the connection and says nothing.
async fn silent(connection: TcpStream) {
    std::future::pending::<()>().await;
    drop(connection);
}

/// Runs what hyper spawns in another runtime.
#[derive(Clone)]
struct Elsewhere(Handle);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Elsewhere {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[tokio::test]
async fn a_runtime_that_ends_below_the_connection_breaks_the_call_off() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for uploads in [false, true] {
            let address = upstream(version, silent).await;
            let runtime = Runtime::new().unwrap();
            let client = Client::builder(Elsewhere(runtime.handle().clone()))
                .http2_only(version == Version::HTTP_2)
                .build_http::<Body>()
                .map_response(|response| response.map(drop))
                .map_err(BoxError::from);
            let ends = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                runtime.shutdown_background();
            });
            let request = if uploads { endless(address) } else { get(address) };
            let (verdict, error) = failed(Upstream::new(client), request).await;
            ends.await.unwrap();
            assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{version:?} {error:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_dies_below_a_pool_breaks_the_calls_off() {
    for (client, version) in CLIENTS {
        for uploads in [false, true] {
            let runtime = Runtime::new().unwrap();
            let (called, mut calls) = unbounded_channel();
            let answer = move |request: Request<Body>| async move {
                called.send(()).unwrap();
                if request.uri().path() == "/" {
                    std::future::pending::<()>().await;
                }
            };
            let router = Router::new().fallback(answer);
            let address = runtime.spawn(serve(router)).await.unwrap();
            let client = client(version);
            let first = Request::get(format!("http://{address}/first")).body(Body::empty());
            client.clone().oneshot(first.unwrap()).await.unwrap();
            calls.recv().await.unwrap();
            let request = if uploads { endless(address) } else { get(address) };
            let call = tokio::spawn(failed(client, request));
            calls.recv().await.unwrap();
            runtime.shutdown_background();
            let (verdict, error) = call.await.unwrap();
            assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{version:?} {error:?}");
        }
    }
}

/// A connection whose reader panics over what the peer sent.
struct Fragile(TokioIo<TcpStream>);

impl Read for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        assert!(read.is_pending(), "a bug in a codec");
        read
    }
}

impl Write for Fragile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connection for Fragile {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[tokio::test]
async fn a_connection_that_panics_over_what_its_peer_sends_has_failed() {
    for uploads in [false, true] {
        let address = upstream(Version::HTTP_11, |mut connection| async move {
            connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            silent(connection).await;
        })
        .await;
        let connector = HttpConnector::new().map_response(Fragile);
        let client = Client::builder(TokioExecutor::new())
            .build::<_, Body>(connector)
            .map_response(|response| response.map(drop))
            .map_err(BoxError::from);
        let request = if uploads { endless(address) } else { get(address) };
        let (verdict, error) = failed(Upstream::new(client), request).await;
        assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{error:?}");
    }
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_has_failed() {
    for uploads in [false, true] {
        let address = upstream(Version::HTTP_2, silent).await;
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(Duration::from_millis(50))
            .http2_keep_alive_timeout(Duration::from_millis(50))
            .build_http::<Body>()
            .map_response(|response| response.map(drop))
            .map_err(BoxError::from);
        let request = if uploads { endless(address) } else { get(address) };
        let (verdict, error) = failed(Upstream::new(client), request).await;
        assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{error:?}");
    }
}

#[tokio::test]
async fn an_upgrade_that_the_peer_did_not_make_is_no_bodys_failure() {
    let error = hyper::upgrade::on(Response::new(())).await.unwrap_err();
    assert!(error.is_user());
    let error = BoxError::from(error);
    let verdict = DefaultClassifier.classify(Err::<&(), _>(&error));
    assert_eq!(verdict, Verdict::transient(Executed::Maybe));
}

/// Frames by which a peer ends a call or breaks the protocol: kind, flags, stream, payload.
const FRAMES: [(&str, u8, u8, u32, &[u8]); 10] = [
    ("data before a head", DATA, 0, 1, b"data"),
    ("a head that cannot be read", HEADERS, 5, 1, &[0xff; 8]),
    ("a head without a status", HEADERS, 5, 1, &[]),
    ("a head of stream 0", HEADERS, 5, 0, &[0x88]),
    ("a stream that no call opened", HEADERS, 5, 9, &[0x88]),
    ("a window that grows by nothing", 8, 0, 1, &[0; 4]),
    ("a pushed stream", 5, 4, 1, &[0, 0, 0, 2]),
    ("settings of a wrong length", SETTINGS, 0, 0, &[0; 5]),
    ("a reset without an error", 3, 0, 1, &[0; 4]),
    ("a reset that cancels", 3, 0, 1, &[0, 0, 0, 8]),
];

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_or_resets_has_failed() {
    for (client, version) in CLIENTS {
        if version != Version::HTTP_2 {
            continue;
        }
        for (what, ..) in FRAMES {
            for uploads in [false, true] {
                let address = upstream(version, move |mut connection| async move {
                    let (_, kind, flags, stream, payload) =
                        FRAMES.into_iter().find(|frame| frame.0 == what).unwrap();
                    write_frame(&mut connection, kind, flags, stream, payload).await;
                    let mut read = [0; 1024];
                    while connection.read(&mut read).await.is_ok_and(|length| length > 0) {}
                })
                .await;
                let request = if uploads { endless(address) } else { get(address) };
                let (verdict, error) = failed(client(version), request).await;
                assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{what}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_peer_of_http1_that_breaks_the_protocol_or_goes_has_failed() {
    const ANSWERS: [&str; 6] = [
        "",
        "HTTP/1.1 2",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 999999 OK\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for (client, version) in CLIENTS {
        if version == Version::HTTP_2 {
            continue;
        }
        for answer in ANSWERS {
            for uploads in [false, true] {
                // Closed with bytes that were not read, so with a reset.
                let address = upstream(version, move |mut connection| async move {
                    connection.write_all(answer.as_bytes()).await.unwrap();
                })
                .await;
                let request = if uploads { endless(address) } else { get(address) };
                let (verdict, error) = failed(client(version), request).await;
                assert_eq!(verdict, Verdict::transient(Executed::Maybe), "{answer}: {error:?}");
            }
        }
    }
}
