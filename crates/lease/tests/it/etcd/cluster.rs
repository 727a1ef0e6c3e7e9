//! Three nodes, of which one goes.

use steadfast_lease::{FencingToken, RenewReply};
use steadfast_testkit::servers::EtcdCluster;
use tokio::time::{Instant, sleep};

use super::*;
use crate::servers::{granted, is_held, some_name, terms};

/// Each in turn: one of them is the leader, and one is in use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_each_node_that_is_killed_and_each_that_stands_still() {
    let cluster = EtcdCluster::start();
    let (client, name) = (client(&cluster.url(), 6 * SEC).await, some_name());
    let lease = client.try_acquire(&name).await.unwrap();
    let beside = connect(&cluster.url()).await;
    for (n, node) in cluster.nodes().iter().enumerate() {
        node.kill();
        sleep(4 * SEC).await;
        assert!(lease.is_valid(), "node {n} was killed: {:?}", lease.status());
        node.restart();
        node.stop();
        sleep(4 * SEC).await;
        assert!(lease.is_valid(), "node {n} stands still: {:?}", lease.status());
        node.resume();
        sleep(SEC).await;
    }
    assert!(is_held(&beside, &name).await);
    assert!(lease.release().await.unwrap());
}

/// Each killed in turn, while leases are granted: none is granted twice, and no token goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_name_increase_while_nodes_are_killed() {
    let cluster = EtcdCluster::start();
    let store = connect(&cluster.url()).await;
    let name = some_name();
    let mut last: Option<FencingToken> = None;
    for round in 0..24 {
        let node = &cluster.nodes()[round / 2 % 3];
        if round % 2 == 0 {
            node.kill();
        } else {
            node.restart();
        }
        let owner = terms();
        let until = Instant::now() + 20 * SEC;
        let token = loop {
            match store.acquire(&name, &owner).await {
                Ok(steadfast_lease::AcquireReply::Granted { token, .. }) => break token,
                other => assert!(Instant::now() < until, "round {round}: {other:?}"),
            }
            sleep(20 * MS).await;
        };
        assert!(last < Some(token), "round {round}: {token} after {last:?}");
        last = Some(token);
        while store.release(&name, owner.nonce).await.is_err() {
            assert!(Instant::now() < until, "round {round}");
            sleep(20 * MS).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_granted_and_nothing_renewed() {
    let cluster = EtcdCluster::start();
    let config = EtcdConfig::new().call_limit(2 * SEC);
    let store = EtcdStore::connect(config, &cluster.url()).await.unwrap();
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    cluster.nodes()[0].kill();
    cluster.nodes()[1].kill();
    assert!(store.acquire(&some_name(), &terms()).await.is_err());
    assert!(store.renew(&name, owner.nonce).await.is_err());
    // Two at once: each waits for the other.
    std::thread::scope(|scope| {
        for node in &cluster.nodes()[..2] {
            scope.spawn(|| node.restart());
        }
    });
    let until = Instant::now() + 20 * SEC;
    loop {
        match store.renew(&name, owner.nonce).await {
            Ok(reply) => break assert!(matches!(reply, RenewReply::Renewed { .. }), "{reply:?}"),
            Err(error) => assert!(Instant::now() < until, "{error:?}"),
        }
        sleep(50 * MS).await;
    }
}
