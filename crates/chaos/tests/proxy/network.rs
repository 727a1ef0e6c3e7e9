//! Links between nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use steadfast_chaos::{Direction, Event, FailureMode, Network, Unknown};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::rig::{FOREVER, LONG, is_reset, is_silent, listener, receive, send};

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

type Pairs = BTreeMap<(&'static str, &'static str), (TcpStream, TcpStream)>;

/// Each node to each other one, and a connection on each link.
async fn mesh() -> (Network, Pairs) {
    let mut network = Network::new();
    let mut pairs = Pairs::new();
    for to in NODES {
        let (server, address) = listener();
        for from in NODES.into_iter().filter(|from| *from != to) {
            let near_end = network.link(from, to, address).expect("a free port");
            let client = TcpStream::connect(near_end).await.expect("a link that listens");
            pairs.insert((from, to), (client, accept(&server).await));
        }
    }
    (network, pairs)
}

async fn accept(server: &TcpListener) -> TcpStream {
    server.accept().await.expect("a server that listens").0
}

/// Sends a byte each way on each link. Those that are to arrive do, as (sender, receiver), and no
/// others.
async fn expect_arrivals(pairs: &mut Pairs, expected: Vec<(&'static str, &'static str)>) {
    for (client, server) in pairs.values_mut() {
        send(client, "q").await;
        send(server, "r").await;
    }
    let mut heard = BTreeSet::new();
    // What is late on a busy machine is waited for; what is lost is not.
    let until = Instant::now() + FOREVER;
    while heard.len() < expected.len() && Instant::now() < until {
        sleep(Duration::from_millis(1)).await;
        listen(pairs, &mut heard);
    }
    sleep(LONG).await;
    listen(pairs, &mut heard);
    let mut arrived: Vec<_> =
        heard.into_iter().map(|(_, sender, receiver)| (sender, receiver)).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, expected);
}

/// A sender and a receiver, by the connection they have.
type Heard = BTreeSet<(SocketAddr, &'static str, &'static str)>;

/// Adds those between which something has arrived.
fn listen(pairs: &Pairs, heard: &mut Heard) {
    for ((from, to), (client, server)) in pairs {
        let link = client.peer_addr().expect("an open connection");
        for (stream, sender, receiver) in [(server, *from, *to), (client, *to, *from)] {
            if stream.try_read(&mut [0; 10]).is_ok_and(|read| read > 0) {
                heard.insert((link, sender, receiver));
            }
        }
    }
}

/// All pairs but those that are lost; each twice, for each opens a link to the other.
fn all_but(lost: impl Fn(&str, &str) -> bool) -> Vec<(&'static str, &'static str)> {
    let pairs = NODES.into_iter().flat_map(|from| NODES.into_iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from != to && !lost(from, to));
    pairs.flat_map(|pair| [pair, pair]).collect()
}

#[tokio::test]
async fn a_partition_lets_no_byte_cross_and_all_others_pass() {
    let (network, mut pairs) = mesh().await;
    network.partition(&["a", "b"], &["c", "d", "e"]).unwrap();
    let few = |node: &str| ["a", "b"].contains(&node);
    expect_arrivals(&mut pairs, all_but(|from, to| few(from) != few(to))).await;
    network.heal().await;
    expect_arrivals(&mut pairs, all_but(|_, _| false)).await;
}

#[tokio::test]
async fn a_one_way_partition_loses_what_one_side_sends_whichever_opened_the_connection() {
    let (network, mut pairs) = mesh().await;
    network.partition_one_way(&["a"], &["d", "e"]).unwrap();
    let lost = |from: &str, to: &str| from == "a" && ["d", "e"].contains(&to);
    expect_arrivals(&mut pairs, all_but(lost)).await;
}

#[tokio::test]
async fn a_cut_between_two_sides_resets_the_links_between_them_only() {
    let (network, mut pairs) = mesh().await;
    network.cut(&["a", "b"], &["c", "d", "e"]).await.unwrap();
    let few = |node: &str| ["a", "b"].contains(&node);
    for ((from, to), (client, server)) in &mut pairs {
        if few(from) == few(to) {
            send(client, "x").await;
            assert_eq!(receive(server, 1).await, b"x");
        } else {
            assert!(is_reset(client).await && is_reset(server).await);
        }
    }
}

#[tokio::test]
async fn a_name_that_no_node_has_is_refused_and_nothing_is_done() {
    let (network, mut pairs) = mesh().await;
    let unknown = network.partition(&["a"], &["b", "x"]).unwrap_err();
    assert_eq!(&*unknown.name, "x");
    assert_eq!(unknown.to_string(), "no link or node is called \"x\"");
    assert!(network.cut(&["y"], &["b"]).await.is_err());
    let event = Event::begin(Duration::ZERO, "a->x", FailureMode::Cut);
    let Err(Unknown { name, .. }) = network.apply(&event).await else { panic!("applied") };
    assert_eq!(&*name, "a->x");
    expect_arrivals(&mut pairs, all_but(|_, _| false)).await;
}

#[tokio::test]
async fn events_of_a_plan_happen_to_a_link_or_to_all_links_to_a_node() {
    let (network, mut pairs) = mesh().await;
    let replies = FailureMode::BlackHole { direction: Some(Direction::Downstream) };
    let requests = FailureMode::BlackHole { direction: Some(Direction::Upstream) };
    assert!(network.apply(&Event::begin(Duration::ZERO, "c", replies)).await.unwrap());
    assert!(network.apply(&Event::begin(Duration::ZERO, "a->b", requests)).await.unwrap());
    assert!(!network.apply(&Event::begin(Duration::ZERO, "d", FailureMode::Paused)).await.unwrap());
    let mut expected = all_but(|_, _| false);
    for lost in [("c", "a"), ("c", "b"), ("c", "d"), ("c", "e"), ("a", "b")] {
        let place = expected.iter().position(|pair| *pair == lost).unwrap();
        expected.remove(place);
    }
    expect_arrivals(&mut pairs, expected).await;
    assert!(network.apply(&Event::end(Duration::ZERO, "c", replies)).await.unwrap());
    assert!(network.apply(&Event::end(Duration::ZERO, "a->b", requests)).await.unwrap());
    expect_arrivals(&mut pairs, all_but(|_, _| false)).await;

    assert!(network.apply(&Event::begin(Duration::ZERO, "a->b", FailureMode::Cut)).await.unwrap());
    let (client, server) = pairs.get_mut(&("a", "b")).unwrap();
    assert!(is_reset(client).await && is_reset(server).await);
    network.proxies("a", "b").for_each(|link| link.black_hole(Direction::Upstream));
    assert!(network.apply(&Event::end(Duration::ZERO, "a->b", FailureMode::Cut)).await.unwrap());
    let address = network.proxies("a", "b").next().unwrap().address();
    let mut client = TcpStream::connect(address).await.unwrap();
    send(&mut client, "held by the other fault").await;
    assert!(is_silent(&client).await);
}
