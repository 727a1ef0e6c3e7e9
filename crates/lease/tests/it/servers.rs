//! Leases in real servers: names and terms that no other test has.

use std::time::Duration;

use rand::RngExt;
use steadfast_lease::{
    AcquireReply, AcquireTerms, FencingToken, HolderName, LeaseClient, LeaseName, Nonce, Store,
};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn some_name() -> LeaseName {
    LeaseName::new(format!("it/{:032x}", rand::rng().random::<u128>())).unwrap()
}

/// An hour, for a holder of its own.
pub(crate) fn terms() -> AcquireTerms {
    AcquireTerms {
        nonce: Nonce::generate(&mut rand::rng()),
        holder: HolderName::new(format!("holder {:x}", rand::rng().random::<u32>())).unwrap(),
        ttl: LONG,
        floor: None,
    }
}

pub(crate) fn token(number: u64) -> FencingToken {
    FencingToken::try_from(number).unwrap()
}

/// One that waits is woken by the release, long before the grant would have expired; in which time,
/// and under a greater token. The lease is held for so long before.
pub(crate) async fn a_release_wakes_one_that_waits(
    holder: &LeaseClient,
    waiter: LeaseClient,
    held_for: Duration,
) -> Duration {
    let name = some_name();
    let lease = holder.try_acquire(&name).await.unwrap();
    let waits = tokio::spawn(async move {
        let lease = waiter.acquire(&name, None).await.unwrap();
        (lease.token(), Instant::now())
    });
    sleep(held_for).await;
    assert!(lease.is_valid() && !waits.is_finished());
    let (before, released) = (lease.token(), Instant::now());
    assert!(lease.release().await.unwrap());
    let (token, woken) =
        timeout(Duration::from_secs(5), waits).await.expect("it is woken").unwrap();
    assert!(token > before);
    woken - released
}

/// The token of a grant.
pub(crate) async fn granted(
    store: &impl Store,
    name: &LeaseName,
    terms: &AcquireTerms,
) -> FencingToken {
    match store.acquire(name, terms).await.unwrap() {
        AcquireReply::Granted { token, .. } => token,
        held => panic!("{held:?}, but it is free"),
    }
}

pub(crate) async fn is_held(store: &impl Store, name: &LeaseName) -> bool {
    matches!(store.acquire(name, &terms()).await.unwrap(), AcquireReply::Held { .. })
}
