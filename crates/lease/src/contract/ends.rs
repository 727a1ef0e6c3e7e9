//! How leases end, and go on.

use tokio::time::sleep;

use super::{Case, Duration, GRACE, LONG, TTL};
use crate::{AcquireTerms, RenewReply, Store};

/// A short TTL of the taker's does not shorten what its holder was granted.
pub async fn a_taker_obeys_the_ttl_that_was_granted<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, hasty) = (case.terms(LONG), case.terms(TTL));
    case.granted(&first).await;
    case.held(&hasty).await;
    sleep(2 * TTL).await;
    assert_eq!(case.held(&hasty).await.1, first.holder);
}

/// Not before its TTL; and over whether or not another has taken it.
pub async fn a_lease_expires_and_is_over<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(TTL), case.terms(LONG));
    let (token, ttl) = case.granted(&first).await;
    sleep(ttl / 2).await;
    let (left, _) = case.held(&second).await;
    assert!(left <= ttl / 2 + GRACE, "{left:?} are left of the half of {ttl:?}");
    sleep(ttl / 2 + GRACE).await;
    assert_eq!(case.renew(first.nonce).await, RenewReply::Gone);
    assert!(!case.release(first.nonce).await);
    assert!(case.granted_soon(&second).await.0 > token);
    assert_eq!(case.renew(first.nonce).await, RenewReply::Taken);
}

/// Each renewal lasts for the whole TTL that was granted.
pub async fn a_renewed_lease_outlives_its_first_ttl<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(TTL), case.terms(TTL));
    let (_, ttl) = case.granted(&first).await;
    for _ in 0..3 {
        sleep(ttl / 2).await;
        match case.renew(first.nonce).await {
            RenewReply::Renewed { ttl } => assert!(ttl > Duration::ZERO, "renewed for nothing"),
            other => panic!("{other:?}, but it is held"),
        }
    }
    assert_eq!(case.held(&second).await.1, first.holder);
    sleep(ttl + GRACE).await;
    case.granted_soon(&second).await;
}

/// Another's lease is not renewed, and one that is not held is not either.
pub async fn a_renewal_needs_the_nonce<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(LONG), case.terms(LONG));
    assert_eq!(case.renew(first.nonce).await, RenewReply::Gone);
    case.granted(&first).await;
    assert_eq!(case.renew(second.nonce).await, RenewReply::Taken);
    assert!(matches!(case.renew(first.nonce).await, RenewReply::Renewed { .. }));
    assert!(case.release(first.nonce).await);
    assert_eq!(case.renew(first.nonce).await, RenewReply::Gone);
}

/// It may be repeated, and says whether it was held.
pub async fn a_release_needs_the_nonce_and_frees_at_once<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(LONG), case.terms(LONG));
    assert!(!case.release(first.nonce).await, "it was never held");
    case.granted(&first).await;
    assert!(!case.release(second.nonce).await);
    case.held(&second).await;
    assert!(case.release(first.nonce).await && !case.release(first.nonce).await);
    case.granted(&second).await;
}

/// Neither under an old nonce of another holder, nor under an old one of the same process.
pub async fn a_release_after_the_loss_frees_no_successor<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let first = case.terms(TTL);
    let (_, ttl) = case.granted(&first).await;
    sleep(ttl + GRACE).await;
    let successor = AcquireTerms { holder: first.holder.clone(), ..case.terms(LONG) };
    case.granted_soon(&successor).await;
    assert!(!case.release(first.nonce).await);
    let third = case.terms(LONG);
    case.held(&third).await;
    assert!(case.release(successor.nonce).await);
}
