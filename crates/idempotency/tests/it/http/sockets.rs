//! Over real connections.

use std::time::Duration;

use http::StatusCode;
use steadfast_core::http::respond;
use steadfast_idempotency::{Idempotency, http::IdempotencyLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::support::{Runs, handle, till};
use crate::support::MS;

async fn serve(runs: &Runs, time: Duration) -> (std::net::SocketAddr, Idempotency) {
    let handle = handle();
    let router = till(runs, time).layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, handle)
}

const REQUEST: &[u8] = b"POST /pay HTTP/1.1\r\nhost: shop\r\nidempotency-key: \"7f3a\"\r\n\
    content-length: 7\r\nconnection: close\r\n\r\n5 euros";

async fn ask(address: std::net::SocketAddr) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_closes_its_connection_gets_the_reply_of_its_run_when_it_comes_again() {
    let runs = Runs::default();
    let (address, handle) = serve(&runs, 50 * MS).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(REQUEST).await.unwrap();
    while runs.count() == 0 {
        sleep(MS).await;
    }
    // With a reset, as of a client that was killed.
    connection.set_zero_linger().unwrap();
    drop(connection);
    while handle.snapshot().stored == 0 {
        sleep(MS).await;
    }
    let answer = ask(address).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("idempotent-replayed: true\r\n"), "{answer}");
    assert!(answer.ends_with("/pay: 5 euros paid in run 1"), "{answer}");
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_reply_that_is_replayed_is_framed_like_the_first() {
    let runs = Runs::default();
    let (address, _) = serve(&runs, Duration::ZERO).await;
    let (first, again) = (ask(address).await, ask(address).await);
    let without = |answer: &str, name: &str| {
        let lines = answer.split("\r\n").filter(|line| !line.starts_with(name));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(first.starts_with(&format!("HTTP/1.1 {}", StatusCode::OK)), "{first}");
    assert!(first.contains("content-length: 27\r\n"), "{first}");
    let again = without(&again, "idempotent-replayed").join("\r\n");
    assert_eq!(without(&again, "date"), without(&first, "date"));
}
