//! Servers whose clock is set, that forget, and that follow another.

use steadfast_lease::Store;

use super::*;
use crate::{
    servers::{granted, is_held, some_name, terms},
    wall::{self, STEPS},
};

const HOUR: i64 = 3600;

/// Waits until the record of this name is there.
async fn has(server: &RedisServer, name: &LeaseName) {
    for _ in 0..1000 {
        if say::<u64>(server, &["EXISTS", &key(name)]).await == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it has never come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_forward_grants_early_under_a_greater_token_and_the_fence_tells_them_apart() {
    let server = RedisServer::start_with_clock(&[]);
    for by in STEPS {
        wall::forward(connect(&server).await, by, |seconds| server.step_clock(seconds)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_blocks_the_lease_of_a_dead_holder_and_tokens_grow_all_the_same() {
    let server = RedisServer::start_with_clock(&[]);
    for by in STEPS {
        wall::back(connect(&server).await, by, |seconds| server.step_clock(seconds)).await;
    }
}

#[tokio::test]
async fn a_server_restarted_without_its_file_grants_to_another_under_a_greater_token() {
    let server = RedisServer::start(&["--appendfsync", "always"]);
    let (name, owner) = (some_name(), terms());
    let lost = granted(&connect(&server).await, &name, &owner).await;
    server.restart();
    assert!(is_held(&connect(&server).await, &name).await, "with its file it keeps it");
    server.restart_empty();
    wall::forgotten(&connect(&server).await, &name, &owner, lost).await;
}

#[tokio::test]
async fn a_file_lost_and_a_clock_set_back_send_tokens_back_and_a_floor_heals_it() {
    let server = RedisServer::start_with_clock(&["--appendfsync", "always"]);
    let name = some_name();
    let lost = granted(&connect(&server).await, &name, &terms()).await;
    server.step_clock(-HOUR);
    server.restart_empty();
    wall::lost_and_behind(connect(&server).await, &name, lost).await;
}

#[tokio::test]
async fn a_replica_that_is_promoted_grants_what_it_missed_under_a_greater_token() {
    let master = RedisServer::start(&[]);
    let replica = master.replica();
    let store = connect(&master).await;
    // Of one the replica knows an earlier grant, of the other nothing, and a third it knows all of.
    let [known, unknown, kept] = [some_name(), some_name(), some_name()];
    let (before, owner) = (terms(), terms());
    let first = granted(&store, &known, &before).await;
    assert!(store.release(&known, before.nonce).await.unwrap());
    let token = granted(&store, &kept, &owner).await;
    has(&replica, &kept).await;
    // A replica is no store.
    let refused = connect(&replica).await.acquire(&known, &owner).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    replica.kill();
    let lost = [granted(&store, &known, &owner).await, granted(&store, &unknown, &owner).await];
    assert!(lost[0] > first);
    master.kill();
    replica.restart();
    replica.promote();
    let store = connect(&replica).await;
    wall::forgotten(&store, &known, &owner, lost[0]).await;
    wall::forgotten(&store, &unknown, &owner, lost[1]).await;
    assert!(is_held(&store, &kept).await);
    assert_eq!(granted(&store, &kept, &owner).await, token);
}

#[tokio::test]
async fn a_promoted_replica_whose_clock_is_behind_sends_tokens_back_and_a_floor_heals_it() {
    let master = RedisServer::start_with_clock(&[]);
    let replica = master.replica();
    let (store, name, owner) = (connect(&master).await, some_name(), terms());
    granted(&store, &name, &owner).await;
    assert!(store.release(&name, owner.nonce).await.unwrap());
    // What the master does later comes later.
    let later = some_name();
    granted(&store, &later, &owner).await;
    has(&replica, &later).await;
    replica.kill();
    let lost = granted(&store, &name, &terms()).await;
    assert!(store.observe(&name, None).await.unwrap().held.is_some());
    master.kill();
    replica.step_clock(-HOUR);
    replica.restart();
    replica.promote();
    wall::lost_and_behind(connect(&replica).await, &name, lost).await;
}
