//! What a proxy holds, and how much.

use std::time::Duration;

use steadfast_chaos::{Delay, Direction::Upstream};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::timeout};

use crate::rig::{FOREVER, LONG, Rig, is_reset, receive, send, until};

/// More than the buffers of four sockets are, at their largest, and the bounds below.
const MUCH: usize = 64 << 20;

/// Writes until nothing more is taken for a while. Returns how much was.
async fn fill(client: &mut TcpStream) -> usize {
    let chunk = vec![7; 1 << 16];
    let mut taken = 0;
    while taken < MUCH {
        match timeout(LONG, client.write(&chunk)).await {
            Ok(written) => taken += written.expect("an open connection"),
            Err(_) => break,
        }
    }
    taken
}

#[tokio::test]
async fn a_reader_that_stalls_stalls_the_writer_and_loses_nothing() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    let taken = fill(&mut client).await;
    assert!(taken < MUCH);
    assert!(receive(&mut server, taken).await.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn bytes_that_are_under_way_for_an_hour_are_no_more_than_the_window() {
    let rig = Rig::with(|config| config.window(100_000));
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(Duration::from_secs(3600)));
    let taken = fill(&mut client).await;
    assert!(taken < MUCH);
    rig.proxy.heal().await;
    assert!(receive(&mut server, taken).await.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn what_a_black_hole_takes_has_an_end() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.black_hole(Upstream);
    let taken = fill(&mut client).await;
    assert!(taken < MUCH);
    rig.proxy.heal().await;
    assert!(receive(&mut server, taken).await.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn further_connections_wait_with_the_system_until_one_ends() {
    let rig = Rig::with(|config| config.connections(2));
    let (first, _server) = rig.pair().await;
    let (_second, _server) = rig.pair().await;
    let mut third = rig.connect().await;
    send(&mut third, "patient").await;
    assert!(rig.hears_nothing().await);
    assert_eq!(rig.proxy.snapshot().accepted, 2);
    first.set_zero_linger().unwrap();
    drop(first);
    let mut server = rig.accept().await;
    assert_eq!(receive(&mut server, 7).await, b"patient");
}

#[tokio::test]
async fn a_slow_accept_delays_the_connection_and_is_over_when_it_is_called_off() {
    let rig = Rig::new();
    let start = tokio::time::Instant::now();
    rig.proxy.slow_accept(LONG);
    let (mut client, mut server) = rig.pair().await;
    assert!(tokio::time::Instant::now().duration_since(start) >= LONG);
    send(&mut client, "x").await;
    assert_eq!(receive(&mut server, 1).await, b"x");

    rig.proxy.slow_accept(Duration::MAX);
    let waiting = [rig.connect().await, rig.connect().await];
    assert!(rig.hears_nothing().await);
    rig.proxy.slow_accept(Duration::ZERO);
    for _ in &waiting {
        rig.accept().await;
    }
}

/// As many as the files allow that a process has open by default, 1024 on many machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_connections_is_carried_and_cut_at_once() {
    let most = if cfg!(target_os = "linux") { files() / 4 - 50 } else { 200 };
    let crowd = most.min(3000);
    assert!(crowd >= 100, "too few open files are allowed: {}", files());
    let rig = Rig::new();
    rig.proxy.delay(Upstream, Delay::of(LONG).jitter(LONG));
    let mut talks = JoinSet::new();
    for number in 0..crowd {
        let (mut client, mut server) = rig.pair().await;
        talks.spawn(async move {
            let name = number.to_string();
            send(&mut client, &name).await;
            assert_eq!(receive(&mut server, name.len()).await, name.as_bytes());
            send(&mut server, &name).await;
            assert_eq!(receive(&mut client, name.len()).await, name.as_bytes());
            (client, server)
        });
    }
    let mut pairs = timeout(FOREVER, talks.join_all()).await.expect("all have talked");
    assert_eq!(rig.proxy.snapshot().open, crowd as u64);
    rig.proxy.cut().await;
    assert_eq!(rig.proxy.snapshot().open, 0);
    for (client, server) in &mut pairs {
        assert!(is_reset(client).await && is_reset(server).await);
    }
    rig.proxy.heal().await;
    drop(rig.pair().await);
    until(|| rig.proxy.snapshot().open == 0).await;
}

/// How many files this process may have open.
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}
