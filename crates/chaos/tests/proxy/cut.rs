//! A link that is cut.

use std::io::{self, ErrorKind};

use tokio::net::TcpStream;

use crate::rig::{LONG, Rig, is_reset, receive, send, until};

#[tokio::test]
async fn a_cut_resets_both_ends_and_refuses_until_it_is_healed() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "before").await;
    assert_eq!(receive(&mut server, 6).await, b"before");
    rig.proxy.cut().await;
    assert_eq!(rig.proxy.snapshot().open, 0);
    assert!(is_reset(&mut client).await && is_reset(&mut server).await);
    assert!(refuses(&rig).await);
    rig.proxy.heal().await;
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "after").await;
    assert_eq!(receive(&mut server, 5).await, b"after");
}

/// On Linux the port is closed; elsewhere too, but it may be lost.
async fn refuses(rig: &Rig) -> bool {
    let refused = TcpStream::connect(rig.proxy.address()).await;
    refused.is_err_and(|error: io::Error| error.kind() == ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn a_link_that_is_cut_and_healed_at_once_has_cut_its_connections() {
    let rig = Rig::new();
    for _ in 0..100 {
        let (mut client, mut server) = rig.pair().await;
        // Healed before any connection has seen the cut.
        tokio::join!(rig.proxy.cut(), rig.proxy.heal());
        assert!(is_reset(&mut client).await && is_reset(&mut server).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_carried_once_a_cut_has_returned() {
    let rig = Rig::new();
    for _ in 0..20 {
        let (client, server) = rig.pair().await;
        let flood = tokio::spawn(flood(client));
        let drain = tokio::spawn(drain(server));
        let before = rig.proxy.snapshot().upstream;
        until(|| rig.proxy.snapshot().upstream > before + 1_000_000).await;
        rig.proxy.cut().await;
        let carried = rig.proxy.snapshot().upstream;
        tokio::time::sleep(LONG / 20).await;
        assert_eq!(rig.proxy.snapshot().upstream, carried);
        assert_eq!(flood.await.unwrap(), ErrorKind::ConnectionReset);
        assert_eq!(drain.await.unwrap(), ErrorKind::ConnectionReset);
        rig.proxy.heal().await;
    }
}

/// Writes until it fails.
async fn flood(mut to: TcpStream) -> ErrorKind {
    use tokio::io::AsyncWriteExt;
    loop {
        if let Err(error) = to.write_all(&[0; 10_000]).await {
            // A second write after the reset would only say that the pipe is broken.
            return match error.kind() {
                ErrorKind::BrokenPipe => ErrorKind::ConnectionReset,
                kind => kind,
            };
        }
    }
}

async fn drain(mut from: TcpStream) -> ErrorKind {
    let mut into = tokio::io::sink();
    tokio::io::copy(&mut from, &mut into)
        .await
        .map_or_else(|error| error.kind(), |_| ErrorKind::UnexpectedEof)
}

#[tokio::test]
async fn every_cut_returns_when_no_connection_is_left_however_many_there_are_at_once() {
    let rig = Rig::new();
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(rig.pair().await);
    }
    until(|| rig.proxy.snapshot().open == 100).await;
    let cut = || async {
        rig.proxy.cut().await;
        rig.proxy.snapshot().open
    };
    assert_eq!(tokio::join!(cut(), cut(), cut()), (0, 0, 0));
}

#[tokio::test]
async fn a_connection_that_waits_for_its_server_is_cut_too() {
    let rig = Rig::new();
    rig.proxy.slow_accept(crate::rig::FOREVER);
    let mut client = rig.connect().await;
    send(&mut client, "hello").await;
    until(|| rig.proxy.snapshot().open == 1).await;
    rig.proxy.cut().await;
    assert!(is_reset(&mut client).await);
    assert!(rig.hears_nothing().await);
}

#[tokio::test]
async fn a_thousand_cuts_by_turns_lose_no_port_and_no_wait() {
    let rig = Rig::new();
    let address = rig.proxy.address();
    for _ in 0..1000 {
        tokio::join!(rig.proxy.cut(), rig.proxy.heal());
    }
    rig.proxy.heal().await;
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "x").await;
    assert_eq!(receive(&mut server, 1).await, b"x");
    assert_eq!(rig.proxy.address(), address);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_port_of_a_cut_link_is_given_to_no_other() {
    let rig = Rig::new();
    rig.proxy.cut().await;
    let other = std::net::TcpListener::bind(rig.proxy.address());
    // The standard library lets a port be bound again, and it is not free to listen on for long.
    drop(other);
    let ports = (0..2000).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let ports: Vec<_> = ports.map(|port| port.local_addr().unwrap()).collect();
    assert!(!ports.contains(&rig.proxy.address()));
    rig.proxy.heal().await;
    rig.connect().await;
}
