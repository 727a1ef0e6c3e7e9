//! A link that carries only so much.

use std::{num::NonZeroU64, time::Duration};

use steadfast_chaos::Direction::{Downstream, Upstream};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::rig::{Rig, is_silent, pattern, receive, send};

/// 200 kB take half a second; up to 20 ms are saved up, and a chunk of 20 ms counts as sent when it
/// is begun by no connection.
const RATE: u64 = 400_000;
const BYTES: usize = 200_000;
const LEAST: Duration = Duration::from_millis(450);

fn rate(bytes_per_second: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(bytes_per_second)
}

async fn transfer(client: &mut TcpStream, server: &mut TcpStream, bytes: usize) {
    let sent = pattern(bytes);
    let sending = async { client.write_all(&sent).await.expect("a proxy that reads") };
    let ((), received) = tokio::join!(sending, receive(server, bytes));
    assert!(received == sent);
}

#[tokio::test]
async fn bytes_take_as_long_as_the_rate_says() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.limit(Upstream, rate(RATE));
    let start = Instant::now();
    transfer(&mut client, &mut server, BYTES).await;
    let took = Instant::now().duration_since(start);
    assert!((LEAST..20 * LEAST).contains(&took), "{took:?}");
}

#[tokio::test]
async fn all_connections_share_the_rate_and_take_turns() {
    let rig = Rig::new();
    let (mut a, mut at_a) = rig.pair().await;
    let (mut b, mut at_b) = rig.pair().await;
    rig.proxy.limit(Upstream, rate(RATE));
    let start = Instant::now();
    let halves = async {
        tokio::join!(transfer(&mut a, &mut at_a, BYTES / 2), transfer(&mut b, &mut at_b, BYTES / 2))
    };
    halves.await;
    let took = Instant::now().duration_since(start);
    assert!((LEAST..20 * LEAST).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_limit_is_of_one_direction_and_what_waits_goes_on_when_it_is_lifted() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.limit(Upstream, rate(1));
    send(&mut client, pattern(1000)).await;
    assert!(is_silent(&server).await);
    transfer(&mut server, &mut client, 1_000_000).await;
    rig.proxy.limit(Upstream, None);
    assert!(receive(&mut server, 1000).await == pattern(1000));
    rig.proxy.limit(Downstream, rate(1));
    send(&mut server, "slow").await;
    assert!(is_silent(&client).await);
    rig.proxy.heal().await;
    assert_eq!(receive(&mut client, 4).await, b"slow");
}

#[tokio::test]
async fn a_queue_of_connections_at_a_slow_rate_is_gone_when_the_rate_is() {
    let rig = Rig::new();
    let mut pairs = Vec::new();
    for _ in 0..200 {
        pairs.push(rig.pair().await);
    }
    // A byte of the last one has its turn in 200 s.
    rig.proxy.limit(Upstream, rate(1));
    for (client, _) in &mut pairs {
        send(client, "x").await;
    }
    assert!(is_silent(&pairs[199].1).await);
    rig.proxy.limit(Upstream, None);
    for (_, server) in &mut pairs {
        assert_eq!(receive(server, 1).await, b"x");
    }
}

#[tokio::test]
async fn changes_of_other_settings_let_no_byte_pass_before_its_turn() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.limit(Upstream, rate(1));
    let start = Instant::now();
    send(&mut client, "three").await;
    let changing = async {
        loop {
            rig.proxy.slow_accept(Duration::ZERO);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = changing => {}
        received = receive(&mut server, 2) => assert_eq!(received, b"th"),
    }
    assert!(Instant::now().duration_since(start) >= Duration::from_millis(1900));
}
