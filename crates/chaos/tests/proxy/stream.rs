//! A link without faults.

use std::io;

use tokio::{io::AsyncWriteExt, join};

use crate::rig::{Rig, drain, is_reset, is_silent, pattern, receive, send};

#[tokio::test]
async fn bytes_cross_both_ways_as_they_are_and_in_order() {
    let rig = Rig::with(|config| config.buffer(1000));
    let (mut client, mut server) = rig.pair().await;
    let (up, down) = (pattern(3_000_001), pattern(2_000_003));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let send_up = async {
        to_client.write_all(&up).await.expect("a proxy that reads");
        to_client.shutdown().await.expect("an open connection");
    };
    let send_down = async {
        to_server.write_all(&down).await.expect("a proxy that reads");
        to_server.shutdown().await.expect("an open connection");
    };
    let (mut came_up, mut came_down) = (Vec::new(), Vec::new());
    let ((), (), up_ended, down_ended) = join!(
        send_up,
        send_down,
        tokio::io::copy(&mut from_server, &mut came_up),
        tokio::io::copy(&mut from_client, &mut came_down),
    );
    assert!(up_ended.is_ok() && down_ended.is_ok());
    assert!(came_up == up && came_down == down);
    let snapshot = rig.proxy.snapshot();
    assert_eq!((snapshot.upstream, snapshot.downstream), (3_000_001, 2_000_003));
}

#[tokio::test]
async fn the_end_of_one_stream_is_passed_on_and_the_other_goes_on() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "a request").await;
    client.shutdown().await.unwrap();
    assert_eq!(drain(&mut server).await.0, b"a request");
    assert!(is_silent(&client).await);
    send(&mut server, "its reply").await;
    assert_eq!(receive(&mut client, 9).await, b"its reply");
    drop(server);
    let (rest, ended) = drain(&mut client).await;
    assert!(rest.is_empty() && ended.is_ok());
    crate::rig::until(|| rig.proxy.snapshot().open == 0).await;
    assert_eq!(rig.proxy.snapshot().reset, 0);
}

#[tokio::test]
async fn a_reset_of_either_end_is_passed_on_as_a_reset() {
    let rig = Rig::new();
    let (client, mut server) = rig.pair().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(is_reset(&mut server).await);
    let (mut client, server) = rig.pair().await;
    server.set_zero_linger().unwrap();
    drop(server);
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_client_of_a_server_that_is_gone_is_reset() {
    let rig = Rig::new();
    let proxy = rig.proxy.clone();
    drop(rig);
    let mut client = tokio::net::TcpStream::connect(proxy.address()).await.unwrap();
    assert!(is_reset(&mut client).await);
    assert_eq!(proxy.snapshot().unreachable, 1);
}

#[tokio::test]
async fn a_link_of_the_sixth_version_carries_too() {
    let Ok(server) = tokio::net::TcpListener::bind("[::1]:0").await else {
        println!("no IPv6 here");
        return;
    };
    let upstream = server.local_addr().unwrap();
    let config = steadfast_chaos::ProxyConfig::new(upstream).listen("[::1]:0".parse().unwrap());
    let proxy = steadfast_chaos::FaultProxy::bind(config).unwrap();
    let mut client = tokio::net::TcpStream::connect(proxy.address()).await.unwrap();
    send(&mut client, "six").await;
    let (mut accepted, _) = server.accept().await.unwrap();
    assert_eq!(receive(&mut accepted, 3).await, b"six");
    assert!(proxy.address().is_ipv6());
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_name() {
    let address = "127.0.0.1:1".parse().unwrap();
    let config = steadfast_chaos::ProxyConfig::new(address);
    for (field, config) in [
        ("buffer", config.clone().buffer(0)),
        ("window", config.clone().window(0)),
        ("connections", config.clone().connections(usize::MAX)),
    ] {
        match steadfast_chaos::FaultProxy::bind(config) {
            Err(steadfast_chaos::BindError::Config(refused)) => assert_eq!(refused.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config.listen(taken.local_addr().unwrap());
    match steadfast_chaos::FaultProxy::bind(config) {
        Err(steadfast_chaos::BindError::Io(error)) => {
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
        other => panic!("{other:?}"),
    }
}
