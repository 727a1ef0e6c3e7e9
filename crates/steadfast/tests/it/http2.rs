//! What an HTTP/2 peer says it never processed was not executed. A server that speaks raw frames,
//! so that it can say just that.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{Classify, Executed, Verdict, guard, http::HttpClassifier};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, ServiceExt, layer::util::Identity};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;
const INTERNAL_ERROR: u8 = 2;

pub(crate) async fn write_frame(
    connection: &mut TcpStream,
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    connection.write_all(&[&head, payload].concat()).await.unwrap();
}

/// The kind of the next frame, and its stream.
pub(crate) async fn read_frame(connection: &mut TcpStream) -> (u8, u32) {
    let mut head = [0; 9];
    connection.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    connection.read_exact(&mut vec![0; length as usize]).await.unwrap();
    (head[3], u32::from_be_bytes(head[5..9].try_into().unwrap()))
}

/// Waits for `number` requests, says that it has processed at most the first, answers that one if
/// it is to, and hangs up.
async fn goes_away(number: usize, reason: u8, answers: bool) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_exact(&mut [0; 24]).await.unwrap();
        write_frame(&mut connection, SETTINGS, 0, 0, &[]).await;
        let mut streams = Vec::new();
        while streams.len() < number {
            if let (HEADERS, stream) = read_frame(&mut connection).await {
                streams.push(stream);
            }
        }
        let first = streams[0].to_be_bytes();
        write_frame(&mut connection, GOAWAY, 0, 0, &[&first[..], &[0, 0, 0, reason]].concat())
            .await;
        if answers {
            // `:status: 200` is the eighth entry of HPACK's static table.
            write_frame(&mut connection, HEADERS, END_STREAM_AND_HEADERS, streams[0], &[0x88])
                .await;
        }
        connection.shutdown().await.unwrap();
    });
    address
}

/// The verdict on each call, and whether the peer answered it.
async fn verdicts(address: SocketAddr, number: usize) -> Vec<(Verdict, bool)> {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let service = guard(Identity::new()).layer(client);
    let calls = (0..number).map(|_| {
        let request = Request::post(format!("http://{address}/")).body(Full::default()).unwrap();
        let service = service.clone();
        tokio::spawn(async move {
            let outcome = service.oneshot(request).await;
            (HttpClassifier.classify(outcome.as_ref()), HttpClassifier.answered(outcome.as_ref()))
        })
    });
    let mut verdicts = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        verdicts.push(call.await.unwrap());
    }
    verdicts
}

#[tokio::test]
async fn requests_above_the_last_stream_of_a_goaway_were_not_executed() {
    let verdicts = verdicts(goes_away(3, 0, true).await, 3).await;
    let count = |wanted| {
        verdicts.iter().filter(|&&(verdict, answered)| verdict == wanted && answered).count()
    };
    assert_eq!(
        (count(Verdict::Success), count(Verdict::transient(Executed::No))),
        (1, 2),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn a_request_at_the_last_stream_of_a_goaway_may_have_been_executed() {
    let verdicts = verdicts(goes_away(2, INTERNAL_ERROR, false).await, 2).await;
    let count = |executed| {
        verdicts.iter().filter(|(verdict, _)| *verdict == Verdict::transient(executed)).count()
    };
    assert_eq!((count(Executed::Maybe), count(Executed::No)), (1, 1), "{verdicts:?}");
}
