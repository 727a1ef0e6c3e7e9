//! The end of a proxy.

use std::io::ErrorKind;

use steadfast_chaos::Direction::{Downstream, Upstream};
use tokio::{net::TcpStream, runtime::Handle};

use crate::rig::{FOREVER, Rig, drain, send, until};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn refuses(address: std::net::SocketAddr) -> bool {
    let connected = TcpStream::connect(address).await;
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Connections in every state there is.
async fn busy(rig: &Rig) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..10 {
        let (mut client, server) = rig.pair().await;
        send(&mut client, "x").await;
        streams.extend([client, server]);
    }
    rig.proxy.half_open(steadfast_chaos::End::Server);
    let (mut client, server) = rig.pair().await;
    rig.proxy.delay(Upstream, steadfast_chaos::Delay::of(FOREVER));
    send(&mut client, "under way").await;
    rig.proxy.limit(Downstream, std::num::NonZeroU64::new(1));
    streams.extend([client, server]);
    rig.proxy.slow_accept(FOREVER);
    streams.push(rig.connect().await);
    rig.proxy.black_hole(Upstream);
    streams.push(rig.connect().await);
    until(|| rig.proxy.snapshot().accepted == 13).await;
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_no_port_and_no_connection_is_left_of_a_proxy_whose_handles_are_gone() {
    let rig = Rig::new();
    let before = tasks() - 1;
    let streams = busy(&rig).await;
    let (address, clone) = (rig.proxy.address(), rig.proxy.clone());
    drop(rig);
    assert!(!refuses(address).await);
    drop(clone);
    until(|| tasks() == before).await;
    assert!(refuses(address).await);
    for mut stream in streams {
        drain(&mut stream).await.1.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_returns_when_all_is_closed_and_ends_every_handle() {
    let rig = Rig::new();
    let before = tasks() - 1;
    let streams = busy(&rig).await;
    let clone = rig.proxy.clone();
    tokio::join!(clone.shutdown(), rig.proxy.shutdown());
    assert!(refuses(clone.address()).await);
    assert_eq!(clone.snapshot().open, 0);
    for mut stream in streams {
        drain(&mut stream).await.1.ok();
    }
    until(|| tasks() == before).await;
    // All of this has nothing to do any more, and says so at once.
    clone.cut().await;
    clone.heal().await;
    clone.shutdown().await;
}

#[tokio::test]
async fn the_end_of_a_runtime_ends_the_wait_of_another_ones_task() {
    let (proxy, runtime) = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let proxy = runtime.block_on(async { Rig::new().proxy.clone() });
        (proxy, runtime)
    })
    .join()
    .unwrap();
    runtime.shutdown_background();
    proxy.cut().await;
    proxy.heal().await;
    proxy.shutdown().await;
}
