//! The store in a bucket: over one in memory, and over one that fails as a test wants.

use std::{sync::Arc, time::Duration};

use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory};
use steadfast_core::{BootClock, Executed};
use steadfast_lease::{BucketConfig, BucketStore, LeaseName, StoreError, StoreErrorKind};

use self::faulty::{Bucket, Kind};

mod chance;
mod faulty;
mod lost;
mod takers;

mod contract {
    use super::*;

    mod on_paused_time {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(start_paused = true)]
            async || {
                let config = config().clock(BootClock::tokio());
                BucketStore::open(config, Arc::new(InMemory::new())).await.unwrap()
            }
        }
    }

    mod where_an_etag_is_a_hash {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(start_paused = true)]
            async || store(&Bucket::of(Kind::Hashed)).await
        }
    }

    mod where_versions_are_numbers {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(start_paused = true)]
            async || store(&Bucket::of(Kind::Numbered)).await
        }
    }

    mod where_a_write_is_not_told_its_version {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(start_paused = true)]
            async || store(&Bucket::of(Kind::Silent)).await
        }
    }

    mod on_real_time {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || BucketStore::open(config(), Arc::new(InMemory::new())).await.unwrap()
        }
    }
}

/// A busy machine is no broken promise.
fn config() -> BucketConfig {
    BucketConfig::new().call_limit(Duration::from_secs(20)).look_every(Duration::from_millis(50))
}

fn name() -> LeaseName {
    LeaseName::new("orders/settlement").unwrap()
}

async fn open(bucket: &Bucket) -> Result<BucketStore, StoreError> {
    BucketStore::open(config().clock(BootClock::tokio()), Arc::new(bucket.clone())).await
}

/// As another process would open it.
async fn store(bucket: &Bucket) -> BucketStore {
    open(bucket).await.unwrap()
}

/// It can make an object that is not there, but replace none by its version.
#[tokio::test]
async fn a_bucket_that_cannot_replace_by_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let refused = BucketStore::open(config(), Arc::new(files)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.executed()), (StoreErrorKind::Misconfigured, Executed::No));
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("PutMode::Update"), "{why}");
}

#[tokio::test]
async fn a_config_that_cannot_work_is_misconfigured() {
    for config in [config().prefix("a/../b"), config().look_every(Duration::ZERO)] {
        let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let refused = BucketStore::open(config, bucket).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
    }
}
