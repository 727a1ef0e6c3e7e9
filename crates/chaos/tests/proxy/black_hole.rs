//! A link that swallows what it is given.

use steadfast_chaos::Direction::{Downstream, Upstream};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::rig::{LONG, Rig, drain, is_reset, is_silent, receive, send, until};

#[tokio::test]
async fn one_way_loses_requests_or_replies_and_the_other_way_goes_on() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.black_hole(Upstream);
    send(&mut client, "request").await;
    send(&mut server, "news").await;
    assert_eq!(receive(&mut client, 4).await, b"news");
    assert!(is_silent(&server).await);
    rig.proxy.end_black_hole(Upstream);
    assert_eq!(receive(&mut server, 7).await, b"request");

    rig.proxy.black_hole(Downstream);
    send(&mut server, "reply").await;
    send(&mut client, "again").await;
    assert_eq!(receive(&mut server, 5).await, b"again");
    assert!(is_silent(&client).await);
    rig.proxy.end_black_hole(Downstream);
    assert_eq!(receive(&mut client, 5).await, b"reply");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_arrives_once_a_link_is_a_black_hole() {
    let rig = Rig::new();
    for _ in 0..4 {
        let (mut client, mut server) = rig.pair().await;
        tokio::spawn(async move { while client.write_all(&[0; 10_000]).await.is_ok() {} });
        tokio::spawn(async move { tokio::io::copy(&mut server, &mut tokio::io::sink()).await });
    }
    for _ in 0..50 {
        let before = rig.proxy.snapshot().upstream;
        until(|| rig.proxy.snapshot().upstream > before + 1_000_000).await;
        rig.proxy.black_hole(Upstream);
        let carried = rig.proxy.snapshot().upstream;
        tokio::time::sleep(LONG / 50).await;
        assert_eq!(rig.proxy.snapshot().upstream, carried);
        rig.proxy.end_black_hole(Upstream);
    }
}

#[tokio::test]
async fn the_end_of_a_stream_and_a_reset_are_swallowed_too_and_arrive_late() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.black_hole(Upstream);
    send(&mut client, "the last").await;
    client.shutdown().await.unwrap();
    assert!(is_silent(&server).await);
    rig.proxy.end_black_hole(Upstream);
    let (received, ended) = drain(&mut server).await;
    assert!(received == b"the last" && ended.is_ok());

    let (client, mut server) = rig.pair().await;
    rig.proxy.black_hole(Upstream);
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(is_silent(&server).await);
    rig.proxy.heal().await;
    assert!(is_reset(&mut server).await);
}

#[tokio::test]
async fn a_connection_into_a_black_hole_opens_and_reaches_the_server_when_it_ends() {
    let rig = Rig::new();
    rig.proxy.black_hole(Upstream);
    let mut client = rig.connect().await;
    send(&mut client, "hello").await;
    assert!(rig.hears_nothing().await);
    rig.proxy.heal().await;
    let mut server = rig.accept().await;
    assert_eq!(receive(&mut server, 5).await, b"hello");
}

#[tokio::test]
async fn a_request_of_a_new_connection_is_delivered_where_only_replies_are_lost() {
    let rig = Rig::new();
    rig.proxy.black_hole(Downstream);
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "request").await;
    assert_eq!(receive(&mut server, 7).await, b"request");
    send(&mut server, "reply").await;
    assert!(is_silent(&client).await);
}

#[tokio::test]
async fn no_reset_crosses_a_one_way_black_hole_when_the_other_way_runs_into_it() {
    let rig = Rig::new();
    let (mut client, server) = rig.pair().await;
    rig.proxy.black_hole(Downstream);
    server.set_zero_linger().unwrap();
    drop(server);
    // The first is answered by a reset, which the second finds.
    for _ in 0..3 {
        send(&mut client, "are you there").await;
        assert!(is_silent(&client).await);
    }
    rig.proxy.end_black_hole(Downstream);
    assert!(is_reset(&mut client).await);
    until(|| rig.proxy.snapshot().open == 0).await;
}

#[tokio::test]
async fn no_end_of_a_stream_that_runs_into_a_reset_brings_it_back_through_a_black_hole() {
    let rig = Rig::new();
    let (mut client, server) = rig.pair().await;
    rig.proxy.black_hole(Downstream);
    server.set_zero_linger().unwrap();
    drop(server);
    client.shutdown().await.unwrap();
    assert!(is_silent(&client).await);
    rig.proxy.end_black_hole(Downstream);
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn no_refusal_of_the_server_comes_back_through_a_black_hole() {
    let rig = Rig::new();
    let proxy = rig.proxy.clone();
    drop(rig);
    proxy.black_hole(Downstream);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    until(|| proxy.snapshot().unreachable == 1).await;
    assert!(is_silent(&client).await);
    proxy.end_black_hole(Downstream);
    assert!(is_reset(&mut client).await);
    assert_eq!(proxy.snapshot().unreachable, 1);
}
