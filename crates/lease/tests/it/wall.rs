//! Stores that count on a wall clock, and what becomes of leases when it is set, or when records
//! are lost: the columns of the guide's table.

use std::time::Duration;

use steadfast_lease::{
    AcquireReply, AcquireTerms, Fence, FenceConfig, FencedReason, FencingToken, LeaseClient,
    LeaseClientConfig, LeaseName, LeaseRequest, Loss, RenewReply, Store,
};
use tokio::time::{sleep, timeout};

use crate::servers::{granted, is_held, some_name, terms};

const SEC: Duration = Duration::from_secs(1);
/// By which clocks are set: a minute, and an hour.
pub(crate) const STEPS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];

pub(crate) fn seconds(time: Duration) -> i64 {
    time.as_secs().try_into().unwrap()
}

fn client(store: impl Store) -> LeaseClient {
    LeaseClient::new(LeaseClientConfig::new(), store).unwrap()
}

fn lasting(ttl: Duration) -> AcquireTerms {
    AcquireTerms { ttl, ..terms() }
}

/// A fence that has seen this token.
fn fence_at(token: FencingToken) -> Fence {
    let fence = Fence::new(FenceConfig::new()).unwrap();
    drop(fence.try_enter(token).unwrap());
    fence
}

fn assert_stale(fence: &Fence, old: FencingToken, highest: FencingToken) {
    let refused = fence.try_enter(old).unwrap_err();
    assert_eq!(refused.reason, FencedReason::Stale { presented: old, highest });
}

/// Leases of half the step end by it, before their holders think so.
pub(crate) async fn forward<S: Store + Clone>(store: S, by: Duration, step: impl Fn(i64)) {
    let (taken, ended) = (some_name(), some_name());
    let client = client(store.clone());
    let lease = |name: &LeaseName| LeaseRequest::new(name.clone()).ttl(by / 2).by_hand();
    let first = client.try_acquire(lease(&taken)).await.unwrap();
    let alone = client.try_acquire(lease(&ended)).await.unwrap();
    let waits = tokio::spawn({
        let (client, name) = (client.clone(), taken.clone());
        async move { client.acquire(LeaseRequest::new(name).by_hand(), None).await.unwrap() }
    });
    sleep(SEC / 2).await;
    assert!(!waits.is_finished() && is_held(&store, &taken).await);
    step(seconds(by));
    // It has waited for half of the step, as it was told, and looks nevertheless.
    let second = timeout(10 * SEC, waits).await.expect("it is granted").unwrap();
    assert!(first.is_valid() && second.is_valid(), "two hold it");
    assert!(second.token() > first.token());
    // A resource that has seen the second has seen the last of the first.
    let fence = fence_at(first.token());
    drop(fence.try_enter(second.token()).unwrap());
    assert_stale(&fence, first.token(), second.token());
    // Each is told when it renews, also where no other has come.
    first.renew().await.unwrap().unwrap_err();
    assert_eq!(first.lost().await, Some(Loss::Taken));
    alone.renew().await.unwrap().unwrap_err();
    assert_eq!(alone.lost().await, Some(Loss::Revoked));
    // And what it gives back is not the second's.
    drop(first.release().await);
    assert!(is_held(&store, &taken).await && second.is_valid());
    assert!(second.release().await.unwrap());
}

/// A holder that has died blocks the lease for as long as the step, and its TTL. One that lives
/// sees nothing of it.
pub(crate) async fn back<S: Store>(store: S, by: Duration, step: impl Fn(i64)) {
    const TTL: Duration = Duration::from_secs(30);
    let [dead, alive] = [some_name(), some_name()];
    let (died, lives) = (lasting(TTL), lasting(TTL));
    granted(&store, &dead, &died).await;
    let first = granted(&store, &alive, &lives).await;
    step(-seconds(by));
    match store.acquire(&dead, &terms()).await.unwrap() {
        AcquireReply::Held { left, .. } => assert!(left > by && left <= by + TTL, "{left:?}"),
        granted => panic!("{granted:?}"),
    }
    assert!(is_held(&store, &alive).await);
    let renewed = store.renew(&alive, lives.nonce).await.unwrap();
    assert_eq!(renewed, RenewReply::Renewed { ttl: TTL });
    assert!(store.release(&alive, lives.nonce).await.unwrap());
    // The clock is behind the last token, which it goes on from.
    let mut last = first;
    for _ in 0..3 {
        let next = lasting(TTL);
        let token = granted(&store, &alive, &next).await;
        assert!(token > last, "{token} behind {last}");
        last = token;
        assert!(store.release(&alive, next.nonce).await.unwrap());
    }
    assert!(last.get() < first.get() + 1_000_000, "none of the clock's");
    // Once the clock is right again, it is over in time.
    step(seconds(by) + 31);
    assert!(granted(&store, &dead, &terms()).await > last);
    step(-31);
}

/// A store that has lost what it had granted under the token `lost`, and whose clock is behind.
pub(crate) async fn lost_and_behind<S: Store + Clone>(
    store: S,
    name: &LeaseName,
    lost: FencingToken,
) {
    let (fence, behind) = (fence_at(lost), terms());
    let token = granted(&store, name, &behind).await;
    assert!(token < lost, "tokens went back");
    assert_stale(&fence, token, lost);
    let seen = fence.try_enter(token).unwrap_err().highest();
    assert_eq!(seen, Some(lost));
    assert!(store.release(name, behind.nonce).await.unwrap());
    let request = LeaseRequest::new(name.clone()).floor(seen.unwrap());
    let healed = client(store.clone()).try_acquire(request).await.unwrap();
    assert!(healed.token() > lost);
    drop(fence.try_enter(healed.token()).unwrap());
    assert_stale(&fence, lost, healed.token());
    assert!(healed.release().await.unwrap());
    // From now on the record keeps the order.
    assert!(granted(&store, name, &terms()).await > healed.token());
}

/// What was granted and is forgotten: to `owner` under the token `lost`.
pub(crate) async fn forgotten<S: Store>(
    store: &S,
    name: &LeaseName,
    owner: &AcquireTerms,
    lost: FencingToken,
) {
    assert_eq!(store.renew(name, owner.nonce).await.unwrap(), RenewReply::Gone);
    let token = granted(store, name, &terms()).await;
    assert!(token > lost, "{token} behind {lost}");
    let fence = fence_at(token);
    assert_stale(&fence, lost, token);
    // The holder is told, and frees no successor.
    assert_eq!(store.renew(name, owner.nonce).await.unwrap(), RenewReply::Taken);
    assert!(!store.release(name, owner.nonce).await.unwrap());
    assert!(is_held(store, name).await);
}
