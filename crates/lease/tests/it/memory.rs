//! The store in memory, beyond what every store must do.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use steadfast_core::{BootClock, ManualWallClock};
use steadfast_lease::{
    AcquireReply, AcquireTerms, FencingToken, HolderName, LeaseName, MemoryConfig, MemoryStore,
    Nonce, Store, StoreErrorKind,
};
use tokio::time::advance;

const HOUR: Duration = Duration::from_secs(3600);

fn config() -> MemoryConfig {
    MemoryConfig::new().clock(BootClock::tokio())
}

fn name(n: usize) -> LeaseName {
    LeaseName::new(n.to_string()).unwrap()
}

fn terms(nonce: u8) -> AcquireTerms {
    let holder = HolderName::new("").unwrap();
    AcquireTerms { nonce: Nonce::from_bytes([nonce; 16]), holder, ttl: HOUR, floor: None }
}

async fn token(store: &MemoryStore, name: &LeaseName, nonce: u8) -> FencingToken {
    match store.acquire(name, &terms(nonce)).await.unwrap() {
        AcquireReply::Granted { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_the_microseconds_of_the_wall_clock_and_grows_when_that_goes_back() {
    let wall = Arc::new(ManualWallClock::new(UNIX_EPOCH + 1000 * HOUR));
    let store = MemoryStore::new(config().wall_clock(Arc::clone(&wall))).unwrap();
    let first = token(&store, &name(1), 1).await;
    assert_eq!(first.get(), 3_600_000_000_000);
    assert!(store.release(&name(1), terms(1).nonce).await.unwrap());
    wall.step_back(HOUR);
    assert_eq!(token(&store, &name(1), 2).await.get(), first.get() + 1);
}

#[tokio::test(start_paused = true)]
async fn full_is_a_refusal_and_no_token_is_forgotten_within_the_retention() {
    let most = NonZeroUsize::new(3).unwrap();
    let store = MemoryStore::new(config().most_names(most).retention(10 * HOUR)).unwrap();
    for n in 0..3 {
        token(&store, &name(n), 1).await;
    }
    assert!(store.release(&name(0), terms(1).nonce).await.unwrap());
    let full = store.acquire(&name(3), &terms(1)).await.unwrap_err();
    assert_eq!((full.kind(), store.snapshot().refused), (StoreErrorKind::Full, 1));
    // Names that are there are granted still.
    token(&store, &name(0), 2).await;
    // It was held until 1 h, and is kept for 10 h more.
    advance(11 * HOUR - Duration::from_millis(1)).await;
    assert!(store.acquire(&name(3), &terms(1)).await.is_err());
    advance(Duration::from_millis(1)).await;
    token(&store, &name(3), 1).await;
    assert!(store.snapshot().names <= 3);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_for_longer_than_the_retention_is_not_forgotten() {
    let most = NonZeroUsize::new(2).unwrap();
    let store = MemoryStore::new(config().most_names(most).retention(HOUR)).unwrap();
    let held = token(&store, &name(0), 1).await;
    for n in 1..200 {
        advance(HOUR / 2).await;
        store.renew(&name(0), terms(1).nonce).await.unwrap();
        let _ = store.acquire(&name(n), &terms(1)).await;
    }
    assert_eq!(token(&store, &name(0), 1).await, held, "it is the same grant");
    assert_eq!(store.snapshot().names, 2);
}

#[test]
fn a_retention_of_zero_is_refused() {
    let error = MemoryStore::new(config_outside().retention(Duration::ZERO)).unwrap_err();
    assert_eq!(error.field, "retention");
}

fn config_outside() -> MemoryConfig {
    MemoryConfig::new()
}
