//! What crosses the wire of a real server, read by a bare socket.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast_chaos::{Delay, Fault, FaultLayer, Faults};
use steadfast_testkit::BoxError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tower::{Layer, service_fn};

use super::{full, serve, thousand};
use crate::support::{always, counts};

type Boxed = UnsyncBoxBody<Bytes, BoxError>;

/// A server whose bodies are told their size, or come in two chunks.
async fn server(faults: &Faults, is_told: bool) -> SocketAddr {
    let handler = service_fn(move |_: Request<Incoming>| async move {
        let body: Boxed = if is_told {
            full().map_err(Into::into).boxed_unsync()
        } else {
            let bytes = thousand();
            let chunks = [bytes.slice(..500), bytes.slice(500..)];
            let chunks = chunks.map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
            StreamBody::new(stream::iter(chunks)).boxed_unsync()
        };
        Ok::<_, BoxError>(Response::new(body))
    });
    serve(FaultLayer::new(faults.clone()).http().layer(handler)).await
}

/// All that comes of one response, and when each part of it came.
async fn fetched(address: SocketAddr) -> Vec<(Duration, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let (begun, mut parts) = (Instant::now(), Vec::new());
    loop {
        let mut part = vec![0; 4096];
        // The end, or a reset.
        let read = stream.read(&mut part).await.unwrap_or(0);
        if read == 0 {
            return parts;
        }
        part.truncate(read);
        parts.push((Instant::now() - begun, part));
    }
}

/// Head and body of what came.
async fn response(address: SocketAddr) -> (String, Vec<u8>) {
    let all: Vec<u8> = fetched(address).await.into_iter().flat_map(|(_, part)| part).collect();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8(all[..end].to_vec()).unwrap(), all[end..].to_vec())
}

#[tokio::test]
async fn a_flipped_bit_crosses_the_wire() {
    let faults = always(Fault::BitFlipped);
    let (head, body) = response(server(&faults, true).await).await;
    assert!(head.contains(&format!("{CONTENT_LENGTH}: 1000")));
    let flipped: u32 = body.iter().zip(&thousand()).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((body.len(), flipped, counts(&faults)), (1000, 1, (1, 0)));
}

#[tokio::test]
async fn a_cut_body_goes_out_up_to_its_cut_and_the_connection_ends() {
    for is_told in [true, false] {
        let faults = always(Fault::BodyCut);
        let (head, body) = response(server(&faults, is_told).await).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        assert!(!body.is_empty(), "something of the body");
        if is_told {
            assert!(head.contains(&format!("{CONTENT_LENGTH}: 1000")), "as it was promised");
            assert_eq!(body, thousand()[..body.len()]);
            assert!(body.len() < 1000);
        } else {
            assert!(!body.ends_with(b"0\r\n\r\n"), "the last chunk never comes");
        }
        assert_eq!(counts(&faults), (1, 0));
    }
}

#[tokio::test]
async fn a_slow_body_stalls_on_the_wire_and_then_is_whole() {
    const STALL: Duration = Duration::from_millis(300);
    let faults = always(Fault::SlowBody(Delay::of(STALL)));
    let parts = fetched(server(&faults, true).await).await;
    let (first, last) = (parts.first().unwrap(), parts.last().unwrap());
    // The server began to stall before it had sent what came first.
    assert!(parts.len() > 1 && last.0 >= STALL, "{:?} after {:?}", last.0, first.0);
    let all: Vec<u8> = parts.iter().flat_map(|(_, part)| part.clone()).collect();
    assert!(all.ends_with(&thousand()));
    assert!(!first.1.ends_with(&thousand()[990..]), "not all of it at first");
    assert_eq!(counts(&faults), (1, 0));
}

/// Each cut is a stream's own: the connection goes on.
#[tokio::test]
async fn over_http2_a_cut_body_resets_its_stream_after_what_came_before() {
    let faults = always(Fault::BodyCut);
    let address = server(&faults, true).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Empty<Bytes>>();
    for number in 1..=10 {
        let response = client.get(format!("http://{address}/").parse().unwrap()).await.unwrap();
        let (mut body, mut came) = (response.into_body(), Vec::new());
        let error = loop {
            match body.frame().await.expect("it ends by an error") {
                Ok(frame) => came.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
        };
        assert!(!came.is_empty() && came.len() < 1000, "{} bytes", came.len());
        assert_eq!(came, thousand()[..came.len()]);
        assert!(format!("{error:?}").contains("Reset"), "{error:?}");
        assert_eq!(counts(&faults), (number, 0));
    }
}

#[tokio::test]
async fn a_crash_before_ends_the_connection_without_an_answer() {
    let faults = always(Fault::CrashedBefore);
    assert!(fetched(server(&faults, true).await).await.is_empty());
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test]
async fn a_lost_request_is_a_silence_on_the_wire_until_its_caller_leaves() {
    let faults = always(Fault::RequestLost);
    let address = server(&faults, true).await;
    let silent = tokio::time::timeout(Duration::from_millis(100), fetched(address)).await;
    assert!(silent.is_err());
    assert_eq!(counts(&faults), (1, 0));
}
