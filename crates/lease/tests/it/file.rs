//! The store in files, by what every store must do and with a client over it.

use std::{path::PathBuf, time::Duration};

use steadfast_lease::{FileConfig, FileStore, LeaseClient, LeaseClientConfig, Store};

use crate::servers::{LONG, a_release_wakes_one_that_waits, granted, is_held, some_name, terms};

steadfast_lease::lease_contract! {
    #[tokio::test(flavor = "multi_thread")]
    async || store().await
}

/// Of the tests of this build; names are different in each run.
fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("leases")
}

/// As another process would open it. A busy machine is no broken promise.
async fn store() -> FileStore {
    let config = FileConfig::new().lock_wait(Duration::from_secs(20));
    FileStore::open(config, directory()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_of_one_directory_compete() {
    let (one, other) = (store().await, store().await);
    let (name, owner) = (some_name(), terms());
    let token = granted(&one, &name, &owner).await;
    assert!(is_held(&other, &name).await);
    assert!(other.release(&name, owner.nonce).await.unwrap());
    assert!(granted(&other, &name, &terms()).await > token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_lease_and_a_release_wakes_one_that_waits() {
    let config = || LeaseClientConfig::new().ttl(Duration::from_millis(1500));
    let holder = LeaseClient::new(config(), store().await).unwrap();
    let waiter = LeaseClient::new(config().ttl(LONG), store().await).unwrap();
    // Twice as long as it lasts unless it is renewed.
    a_release_wakes_one_that_waits(&holder, waiter, Duration::from_secs(3)).await;
}
