//! A connection one end of which is gone.

use steadfast_chaos::{
    Direction::{Downstream, Upstream},
    End,
};

use tokio::io::AsyncWriteExt;

use crate::rig::{Rig, drain, is_reset, is_silent, receive, send, until};

#[tokio::test]
async fn the_end_that_is_left_hears_nothing_and_is_reset_when_it_sends() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.half_open(End::Server);
    assert!(is_reset(&mut server).await);
    assert!(is_silent(&client).await);
    send(&mut client, "are you there").await;
    assert!(is_reset(&mut client).await);

    let (mut client, mut server) = rig.pair().await;
    rig.proxy.half_open(End::Client);
    assert!(is_reset(&mut client).await);
    assert!(is_silent(&server).await);
    send(&mut server, "are you there").await;
    assert!(is_reset(&mut server).await);
    assert_eq!(rig.proxy.snapshot().reset, 2);
}

#[tokio::test]
async fn later_connections_are_carried() {
    let rig = Rig::new();
    let (client, _server) = rig.pair().await;
    rig.proxy.half_open(End::Server);
    let (mut again, mut server) = rig.pair().await;
    send(&mut again, "hello").await;
    assert_eq!(receive(&mut server, 5).await, b"hello");
    assert!(is_silent(&client).await);
}

#[tokio::test]
async fn a_machine_that_stays_down_answers_nothing_until_it_is_up() {
    let rig = Rig::new();
    let (mut client, _server) = rig.pair().await;
    rig.proxy.black_hole(Upstream);
    rig.proxy.black_hole(Downstream);
    rig.proxy.half_open(End::Server);
    send(&mut client, "are you there").await;
    assert!(is_silent(&client).await);
    rig.proxy.heal().await;
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn what_was_under_way_is_lost() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.black_hole(Downstream);
    send(&mut server, "a reply").await;
    assert!(is_silent(&client).await);
    rig.proxy.half_open(End::Server);
    rig.proxy.heal().await;
    assert!(is_silent(&client).await);
    send(&mut client, "are you there").await;
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_connection_that_has_lost_both_ends_is_closed() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.half_open(End::Server);
    rig.proxy.half_open(End::Client);
    assert!(is_reset(&mut client).await && is_reset(&mut server).await);
    crate::rig::until(|| rig.proxy.snapshot().open == 0).await;
}

#[tokio::test]
async fn an_end_that_has_sent_its_last_byte_before_hears_nothing_and_is_not_reset() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "a request").await;
    client.shutdown().await.unwrap();
    assert_eq!(drain(&mut server).await.0, b"a request");
    rig.proxy.half_open(End::Server);
    until(|| server.try_write(b"x").is_err()).await;
    assert!(is_silent(&client).await);
    rig.proxy.cut().await;
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn the_reset_of_the_end_that_is_left_comes_back_through_no_black_hole() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.half_open(End::Server);
    assert!(is_reset(&mut server).await);
    rig.proxy.black_hole(Downstream);
    send(&mut client, "are you there").await;
    assert!(is_silent(&client).await);
    rig.proxy.end_black_hole(Downstream);
    assert!(is_reset(&mut client).await);
}
