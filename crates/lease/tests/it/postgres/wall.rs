//! Servers whose clock is set, and standbys that take over.

use steadfast_lease::{
    AcquireTerms, FencingToken, LeaseName, Store, StoreErrorKind,
    postgres::{FenceError, FenceTable, fence},
};
use steadfast_testkit::servers::PostgresServer;
use tokio::time::sleep;

use super::*;
use crate::{
    servers::{granted, is_held, some_name, terms},
    wall::{self, STEPS},
};

const HOUR: i64 = 3600;

async fn over(server: &PostgresServer) -> PostgresStore<Pool> {
    store(config(), steadfast_store::connect(&server.url()).await.unwrap()).await
}

/// One that makes no table: of a standby.
async fn reading(server: &PostgresServer) -> PostgresStore<Pool> {
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    PostgresStore::new(config(), pool).unwrap()
}

/// Whether a transaction under this token passes the fence in the server, or the highest it has
/// seen.
async fn passes(server: &PostgresServer, name: &LeaseName, token: FencingToken) -> Option<u64> {
    let mut pool = steadfast_store::connect(&server.url()).await.unwrap();
    FenceTable::new("fence_marks", 5000 * MS).unwrap().migrate(&mut pool).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    match fence(&mut tx, name.as_str(), token).await {
        Ok(()) => tx.commit().await.unwrap(),
        Err(FenceError::Fenced(fenced)) => return Some(fenced.highest().unwrap().get()),
        Err(error) => panic!("{error:?}"),
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_grants_early_or_blocks_and_tokens_grow_all_the_same() {
    let server = PostgresServer::start_with_clock();
    let step = |seconds| server.step_clock(seconds);
    for by in STEPS {
        wall::forward(over(&server).await, by, step).await;
        wall::back(over(&server).await, by, step).await;
    }
    // The fence beside the data, whatever the clock says.
    let (store, name, owner, taker) = (over(&server).await, some_name(), terms(), terms());
    let old = granted(&store, &name, &owner).await;
    assert_eq!(passes(&server, &name, old).await, None);
    step(2 * HOUR);
    let new = granted(&store, &name, &taker).await;
    assert_eq!(passes(&server, &name, new).await, None);
    assert_eq!(passes(&server, &name, old).await, Some(new.get()));
    step(-4 * HOUR);
    assert_eq!(passes(&server, &name, old).await, Some(new.get()));
    assert_eq!(passes(&server, &name, new).await, None, "ahead of the clock by hours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_grants_what_it_missed_under_a_greater_token() {
    let primary = PostgresServer::start_with_clock();
    let (store, before, owner) = (over(&primary).await, terms(), terms());
    let [known, unknown, kept, behind] = [some_name(), some_name(), some_name(), some_name()];
    let first = granted(&store, &known, &before).await;
    assert!(store.release(&known, before.nonce).await.unwrap());
    let standby = primary.standby();
    let token = granted(&store, &kept, &owner).await;
    let follows = reading(&standby).await;
    while !follows.observe(&kept, None).await.unwrap().held.is_some_and(|_| true) {
        sleep(10 * MS).await;
    }
    let refused = follows.acquire(&known, &owner).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "a standby is no store");
    standby.kill();
    let lost = [granted(&store, &known, &owner).await, granted(&store, &unknown, &owner).await];
    assert!(lost[0] > first);
    let lost_behind = granted(&store, &behind, &AcquireTerms { floor: None, ..terms() }).await;
    primary.kill();
    standby.restart();
    standby.promote();
    let store = over(&standby).await;
    wall::forgotten(&store, &known, &owner, lost[0]).await;
    wall::forgotten(&store, &unknown, &owner, lost[1]).await;
    assert!(is_held(&store, &kept).await);
    assert_eq!(granted(&store, &kept, &owner).await, token);
    // And where its clock is behind as well.
    standby.step_clock(-HOUR);
    wall::lost_and_behind(store, &behind, lost_behind).await;
}
