//! The promises that need time to pass.

use super::{Case, GRACE, LEASE, LONG, done, pass, some_id};
use crate::{Change, ClaimReply, ClaimTerms, Store, ViewState};

/// What was begun may still be under way, so the lease runs on.
pub async fn an_abandoned_key_is_refused_or_taken_over_after_its_lease<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let owner = ClaimTerms { lease: LEASE, ..case.terms() };
    let (duplicate, taker) = (case.terms(), case.taker());
    case.claimed(&owner, 1).await;
    for _ in 0..2 {
        assert_eq!(case.abandon(owner.token).await, Change::Applied);
    }
    assert!(case.in_flight(&taker).await <= LEASE);
    assert_eq!(case.claim(&duplicate).await, ClaimReply::Abandoned);
    assert_eq!(case.renew(owner.token, LONG).await, Change::Lost);
    pass(LEASE + GRACE).await;
    assert_eq!(case.claim(&duplicate).await, ClaimReply::Abandoned);
    case.claimed(&taker, 2).await;
}

/// one.
pub async fn a_claims_record_outlives_its_lease<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (duplicate, taker, other) = (case.terms(), case.taker(), case.other_payload());
    case.lapsed().await;
    assert_eq!(case.claim(&other).await, ClaimReply::Mismatch);
    assert_eq!(case.claim(&duplicate).await, ClaimReply::Abandoned);
    assert_eq!(case.look().await.map(|view| view.state), Some(ViewState::Abandoned));
    case.claimed(&taker, 2).await;
    assert_eq!(case.claim(&other).await, ClaimReply::Mismatch);
}

/// A renewal counts from when it is made.
pub async fn a_renewed_claim_outlives_its_first_lease<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let owner = ClaimTerms { lease: LEASE, ..case.terms() };
    let taker = case.taker();
    case.claimed(&owner, 1).await;
    assert_eq!(case.renew(owner.token, LONG).await, Change::Applied);
    // A renewal that was overtaken by a longer one cuts nothing short.
    assert_eq!(case.renew(owner.token, LEASE).await, Change::Applied);
    pass(LEASE + GRACE).await;
    case.in_flight(&taker).await;
    assert_eq!(case.complete(owner.token, "ok").await, Change::Applied);
}

/// Past its lease it can renew and complete.
pub async fn an_owner_that_is_late_keeps_its_claim_until_it_is_taken_over<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let taker = case.taker();
    let owner = case.lapsed().await;
    assert_eq!(case.renew(owner.token, LEASE).await, Change::Applied);
    case.in_flight(&taker).await;
    pass(LEASE + GRACE).await;
    assert_eq!(case.complete(owner.token, "ok").await, Change::Applied);
    assert_eq!(case.claim(&taker).await, done("ok"));
}

/// Neither before nor after the new owner has completed.
pub async fn a_zombie_changes_nothing<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (taker, duplicate) = (case.taker(), case.terms());
    let zombie = case.lapsed().await.token;
    case.claimed(&taker, 2).await;
    for is_done in [false, true] {
        if is_done {
            assert_eq!(case.complete(taker.token, "ok").await, Change::Applied);
        }
        assert_eq!(case.renew(zombie, LONG * 9).await, Change::Lost);
        assert_eq!(case.release(zombie).await, Change::Lost);
        assert_eq!(case.abandon(zombie).await, Change::Lost);
        assert_eq!(case.complete(zombie, "late").await, Change::Lost);
        let meets = case.claim(&duplicate).await;
        match is_done {
            false => assert!(matches!(meets, ClaimReply::InFlight { left } if left <= LONG)),
            true => assert_eq!(meets, done("ok")),
        }
        assert_eq!(case.look().await.expect("it is there").attempt.get(), 2);
    }
}

/// The first attempt may have been executed; the second was not, which says nothing of the first.
pub async fn a_release_after_a_takeover_keeps_payload_and_attempts<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let (second, third) = (case.taker(), case.taker());
    let (other, duplicate) = (case.other_payload(), case.terms());
    case.lapsed().await;
    case.claimed(&second, 2).await;
    for _ in 0..2 {
        assert_eq!(case.release(second.token).await, Change::Applied);
    }
    assert_eq!(case.claim(&other).await, ClaimReply::Mismatch);
    assert_eq!(case.claim(&duplicate).await, ClaimReply::Abandoned);
    case.claimed(&third, 3).await;
}

/// It answers nothing, can be purged, and its owner cannot bring it back.
pub async fn a_record_that_has_expired_is_as_if_it_had_never_been<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let owner = ClaimTerms { lease: LEASE / 2, retention: LEASE / 2, ..case.terms() };
    let (other, kept) = (case.other_payload(), case.terms());
    case.claimed(&owner, 1).await;
    let (expired, long_lived) = (case.id.clone(), some_id(&mut case.rng));
    case.id = long_lived.clone();
    case.claimed(&kept, 1).await;
    pass(LEASE + GRACE).await;

    case.id = expired;
    assert_eq!(case.look().await, None);
    assert_eq!(case.complete(owner.token, "late").await, Change::Lost);
    assert_eq!(case.renew(owner.token, LONG).await, Change::Lost);
    case.store.purge_expired(usize::MAX).await.expect("purge");
    assert_eq!(case.look().await, None);
    case.claimed(&other, 1).await;
    case.id = long_lived;
    let kept = case.look().await.expect("it has not expired");
    assert!(matches!(kept.state, ViewState::InFlight { .. }));
}
