//! A connection that breaks after so many bytes.

use std::io::ErrorKind::ConnectionReset;

use steadfast_chaos::Direction::{Downstream, Upstream};
use tokio::io::AsyncWriteExt;

use crate::rig::{Rig, drain, is_reset, is_silent, pattern, receive, send, until};

#[tokio::test]
async fn the_receiver_gets_so_many_bytes_and_then_a_reset_and_the_sender_is_reset_too() {
    let rig = Rig::with(|config| config.buffer(777));
    for bytes in [1, 776, 777, 778, 50_000_usize] {
        rig.proxy.reset_after(Upstream, bytes as u64);
        let (mut client, mut server) = rig.pair().await;
        let sent = pattern(bytes + 1000);
        // A reset overtakes what the receiver's system has not taken: all but a byte is taken.
        send(&mut client, &sent[..bytes - 1]).await;
        assert!(receive(&mut server, bytes - 1).await == sent[..bytes - 1]);
        send(&mut client, &sent[bytes - 1..]).await;
        let (received, ended) = drain(&mut server).await;
        assert_eq!(received, sent[bytes - 1..bytes]);
        assert!(ended.is_err_and(|error| error.kind() == ConnectionReset));
        assert!(is_reset(&mut client).await, "{bytes}");
    }
    assert_eq!(rig.proxy.snapshot().reset, 5);
}

#[tokio::test]
async fn a_connection_that_may_carry_nothing_is_reset_at_once() {
    let rig = Rig::new();
    rig.proxy.reset_after(Downstream, 0);
    let mut client = rig.connect().await;
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn bytes_are_counted_in_one_direction_from_the_beginning_of_each_connection() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, pattern(1000)).await;
    receive(&mut server, 1000).await;
    rig.proxy.reset_after(Downstream, 10);
    send(&mut client, pattern(1000)).await;
    receive(&mut server, 1000).await;
    send(&mut server, "123456789").await;
    receive(&mut client, 9).await;
    rig.proxy.reset_after(Downstream, None);
    send(&mut server, "123456789").await;
    receive(&mut client, 9).await;
    rig.proxy.reset_after(Downstream, 18);
    assert!(is_reset(&mut client).await && is_reset(&mut server).await);
}

#[tokio::test]
async fn a_connection_whose_stream_has_ended_after_so_many_bytes_is_reset_too() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    send(&mut client, "a request").await;
    client.shutdown().await.unwrap();
    assert_eq!(drain(&mut server).await.0, b"a request");
    rig.proxy.reset_after(Upstream, 10);
    assert!(is_silent(&client).await, "it has passed on 9");
    rig.proxy.reset_after(Upstream, 9);
    assert!(is_reset(&mut client).await);
    // Its end was read before, so a reset shows when it writes.
    until(|| server.try_write(b"x").is_err()).await;
}
