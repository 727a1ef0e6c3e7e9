//! A link on which bytes take their time.

use std::time::Duration;

use steadfast_chaos::{Delay, Direction::Downstream, Direction::Upstream};
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::rig::{LONG, Rig, drain, is_silent, pattern, receive, send};

const HOUR: Duration = Duration::from_secs(3600);

fn since(start: Instant) -> Duration {
    Instant::now().duration_since(start)
}

#[tokio::test]
async fn bytes_of_one_direction_come_late_and_those_of_the_other_do_not() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(LONG));
    rig.proxy.delay(Downstream, Delay::of(Duration::ZERO));
    let start = Instant::now();
    send(&mut client, "request").await;
    assert_eq!(receive(&mut server, 7).await, b"request");
    assert!(since(start) >= LONG);

    rig.proxy.delay(Upstream, Delay::of(HOUR));
    send(&mut client, "request").await;
    send(&mut server, "reply").await;
    assert_eq!(receive(&mut client, 5).await, b"reply");
    assert!(is_silent(&server).await);
}

#[tokio::test]
async fn a_delay_of_each_message_is_no_delay_of_the_next_one() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(5 * LONG));
    let start = Instant::now();
    let sending = async {
        for number in 0..100_u8 {
            send(&mut client, [number]).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let ((), received) = tokio::join!(sending, receive(&mut server, 100));
    assert_eq!(received, (0..100).collect::<Vec<u8>>());
    // One after the other they take 50 s.
    assert!((5 * LONG..50 * LONG).contains(&since(start)), "{:?}", since(start));
}

#[tokio::test]
async fn a_delayed_stream_is_as_wide_as_its_window() {
    let rig = Rig::with(|config| config.window(4 << 20));
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(LONG));
    let sent = pattern(16 << 20);
    let start = Instant::now();
    let sending = async {
        client.write_all(&sent).await.expect("a proxy that reads");
    };
    let ((), received) = tokio::join!(sending, receive(&mut server, sent.len()));
    assert!(received == sent);
    // Four windows. Read by read, of 64 KiB, they take 26 s.
    assert!((LONG..100 * LONG).contains(&since(start)), "{:?}", since(start));
}

#[tokio::test]
async fn the_end_of_a_stream_comes_as_late_as_its_bytes() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(LONG));
    let start = Instant::now();
    send(&mut client, "all").await;
    client.shutdown().await.unwrap();
    assert_eq!(drain(&mut server).await.0, b"all");
    assert!(since(start) >= LONG);

    let (mut client, mut server) = rig.pair().await;
    let start = Instant::now();
    client.shutdown().await.unwrap();
    assert!(drain(&mut server).await.0.is_empty());
    assert!(since(start) >= LONG);
}

#[tokio::test]
async fn a_shorter_delay_holds_for_what_is_under_way_too() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(HOUR));
    send(&mut client, "late, ").await;
    assert!(is_silent(&server).await);
    rig.proxy.delay(Upstream, Delay::of(Duration::ZERO));
    send(&mut client, "not late").await;
    assert_eq!(receive(&mut server, 14).await, b"late, not late");
}

#[tokio::test]
async fn what_is_under_way_arrives_before_what_was_held_back_behind_it() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(HOUR));
    for part in ["one, ", "two, ", "three, "] {
        send(&mut client, part).await;
        tokio::time::sleep(LONG / 10).await;
    }
    rig.proxy.black_hole(Upstream);
    send(&mut client, "four").await;
    tokio::time::sleep(LONG / 10).await;
    rig.proxy.heal().await;
    assert_eq!(receive(&mut server, 21).await, b"one, two, three, four");
}

#[tokio::test]
async fn jitter_changes_no_order() {
    let rig = Rig::with(|config| config.seed(7).buffer(100));
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Upstream, Delay::of(Duration::ZERO).jitter(Duration::from_millis(20)));
    let sent = pattern(30_000);
    let sending = async {
        for chunk in sent.chunks(300) {
            send(&mut client, chunk).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let ((), received) = tokio::join!(sending, receive(&mut server, sent.len()));
    assert!(received == sent);
}

#[tokio::test]
async fn a_stream_survives_every_change_of_its_delay() {
    let rig = Rig::with(|config| config.buffer(1000).window(5000));
    let (mut client, mut server) = rig.pair().await;
    let sent = pattern(1_000_000);
    let sending = async {
        client.write_all(&sent).await.expect("a proxy that reads");
        client.shutdown().await.expect("an open connection");
    };
    let changing = async {
        loop {
            rig.proxy.delay(Upstream, Delay::of(Duration::from_millis(3)));
            tokio::time::sleep(Duration::from_millis(4)).await;
            // For a moment, in which the line is not emptied yet and bytes wait before it.
            rig.proxy.delay(Upstream, Delay::of(Duration::ZERO));
            tokio::task::yield_now().await;
        }
    };
    let transfer = async { tokio::join!(sending, drain(&mut server)) };
    tokio::select! {
        () = changing => {}
        ((), (received, ended)) = transfer => assert!(received == sent && ended.is_ok()),
    }
}

#[tokio::test]
async fn a_reset_that_a_request_runs_into_comes_after_the_replies_under_way() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.pair().await;
    rig.proxy.delay(Downstream, Delay::of(5 * LONG));
    send(&mut server, "the last reply").await;
    tokio::time::sleep(LONG / 10).await;
    server.set_zero_linger().unwrap();
    drop(server);
    for _ in 0..3 {
        send(&mut client, "again").await;
        tokio::time::sleep(LONG / 10).await;
    }
    let (received, ended) = drain(&mut client).await;
    assert_eq!(received, b"the last reply");
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
