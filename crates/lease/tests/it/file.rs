//! The store in files, by what every store must do and with a client over it.

use std::{path::PathBuf, time::Duration};

use steadfast_lease::{FileConfig, FileStore, LeaseClient, LeaseClientConfig, Store};
use tokio::time::{sleep, timeout};

use crate::servers::{LONG, granted, is_held, some_name, terms};

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
    let name = some_name();
    let lease = holder.try_acquire(&name).await.unwrap();
    let waits = tokio::spawn({
        let name = name.clone();
        async move { waiter.acquire(&name, None).await.map(|lease| lease.token()) }
    });
    // Twice as long as it lasts unless it is renewed.
    sleep(Duration::from_secs(3)).await;
    assert!(lease.is_valid() && !waits.is_finished());
    let before = lease.token();
    lease.release().await.unwrap();
    let token = timeout(Duration::from_secs(5), waits).await.expect("it is woken");
    assert!(token.unwrap().unwrap() > before);
}
