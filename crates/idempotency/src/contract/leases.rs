//! The promises that need time to pass.

use std::time::Duration;

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

/// If both ended together, another payload would get in, and a second run would not know that it is
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
    let age = case.look().await.expect("it is there").age;
    assert!(age >= LEASE, "{age:?} since the first claim");
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
    let left = case.in_flight(&taker).await;
    assert!(left <= LONG - LEASE, "{left:?} is left, but renewals do not add up");
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
    let lapsed = case.lapsed().await;
    let zombie = lapsed.token;
    case.claimed(&taker, 2).await;
    for is_done in [false, true] {
        if is_done {
            assert_eq!(case.complete(taker.token, "ok").await, Change::Applied);
        }
        assert_eq!(case.renew(zombie, LONG * 9).await, Change::Lost);
        assert_eq!(case.release(zombie).await, Change::Lost);
        assert_eq!(case.abandon(zombie).await, Change::Lost);
        assert_eq!(case.complete(zombie, "late").await, Change::Lost);
        for terms in [duplicate, lapsed] {
            let meets = case.claim(&terms).await;
            match is_done {
                false => assert!(matches!(meets, ClaimReply::InFlight { left } if left <= LONG)),
                true => assert_eq!(meets, done("ok")),
            }
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

/// It answers nothing, can be purged, and its owner cannot bring it back. What is abandoned, or
/// past its lease, has not expired.
pub async fn a_record_that_has_expired_is_as_if_it_had_never_been<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let owner = ClaimTerms { lease: LEASE / 2, retention: LEASE / 2, ..case.terms() };
    let (other, kept) = (case.other_payload(), case.terms());
    let expired = [(); 3].map(|()| some_id(&mut case.rng));
    for id in &expired {
        case.id = id.clone();
        case.claimed(&owner, 1).await;
    }
    let [in_flight, replied, abandoned] = [(); 3].map(|()| some_id(&mut case.rng));
    for id in [&in_flight, &replied, &abandoned] {
        case.id = id.clone();
        case.claimed(&kept, 1).await;
    }
    assert_eq!(case.abandon(kept.token).await, Change::Applied);
    case.id = replied.clone();
    assert_eq!(case.complete(kept.token, "ok").await, Change::Applied);
    case.id = some_id(&mut case.rng);
    case.lapsed().await;
    let lapsed = case.id;

    case.id = expired[0].clone();
    assert_eq!(case.look().await, None);
    assert_eq!(case.complete(owner.token, "late").await, Change::Lost);
    assert_eq!(case.renew(owner.token, LONG).await, Change::Lost);
    assert!(!case.store.forget(&case.id).await.expect("forget"), "it is as if it were gone");
    assert!(case.store.purge_expired(1).await.expect("purge") <= 1);
    case.store.purge_expired(usize::MAX).await.expect("purge");
    for id in expired {
        case.id = id;
        assert_eq!(case.look().await, None);
        case.claimed(&other, 1).await;
    }
    case.id = replied;
    assert_eq!(case.claim(&kept).await, done("ok"));
    for (id, is_in_flight) in [(in_flight, true), (abandoned, false), (lapsed, false)] {
        case.id = id;
        let view = case.look().await.expect("it has not expired");
        let is_as_it_was = match view.state {
            ViewState::InFlight { .. } => is_in_flight,
            ViewState::Abandoned => !is_in_flight,
            ViewState::Done { .. } => false,
        };
        assert!(is_as_it_was, "{view:?}");
    }
}

/// Neither for that of its claim nor for ever; and no repetition of it says anything new.
pub async fn what_is_done_is_kept_for_the_retention_of_its_completion<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let [brief, long, settled] = [(); 3].map(|()| some_id(&mut case.rng));
    let short = ClaimTerms { lease: LEASE / 2, retention: LEASE / 2, ..case.terms() };
    let (owner, duplicate) = (case.terms(), case.terms());
    for (id, terms, retention) in
        [(&brief, owner, LEASE), (&long, short, LONG), (&settled, short, LONG)]
    {
        case.id = id.clone();
        case.claimed(&terms, 1).await;
        if *id == settled {
            // Its owner has learned the outcome after all.
            let change = case.store.abandon(id, terms.token, LEASE / 2).await;
            assert_eq!(change.expect("abandon"), Change::Applied);
        }
        let change = case.store.complete(id, terms.token, "ok".into(), retention).await;
        assert_eq!(change.expect("complete"), Change::Applied);
    }
    case.id = brief.clone();
    assert_eq!(case.complete(owner.token, "again, and for long").await, Change::Applied);
    pass(LEASE / 2).await;
    assert_eq!(case.claim(&duplicate).await, done("ok"), "half of its time");
    pass(LEASE / 2 + GRACE).await;
    assert_eq!(case.look().await, None);
    case.claimed(&duplicate, 1).await;
    for id in [long, settled] {
        case.id = id;
        assert_eq!(case.claim(&duplicate).await, done("ok"), "longer than its claim's");
    }
}

/// Whether it claims again, renews, abandons, or is another that takes over.
pub async fn a_record_lives_as_long_as_the_last_word_of_its_owner_asks<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let ids = [(); 4].map(|()| some_id(&mut case.rng));
    let short = ClaimTerms { lease: LEASE / 2, retention: LEASE / 2, ..case.terms() };
    let brief = ClaimTerms { lease: Duration::from_millis(1), retention: LEASE, ..short };
    let (taker, duplicate) = (case.taker(), case.terms());
    for id in &ids {
        case.id = id.clone();
        case.claimed(if *id == ids[3] { &brief } else { &short }, 1).await;
    }
    case.id = ids[0].clone();
    case.claimed(&ClaimTerms { lease: LONG, retention: LONG, ..short }, 1).await;
    case.id = ids[1].clone();
    assert_eq!(case.renew(short.token, LONG).await, Change::Applied);
    case.id = ids[2].clone();
    assert_eq!(case.abandon(short.token).await, Change::Applied);
    pass(GRACE).await;
    case.id = ids[3].clone();
    case.claimed(&taker, 2).await;
    pass(LEASE + GRACE).await;
    for (n, id) in ids.into_iter().enumerate() {
        case.id = id;
        if n == 2 {
            assert_eq!(case.claim(&duplicate).await, ClaimReply::Abandoned);
        } else {
            case.in_flight(&duplicate).await;
        }
    }
}

/// A word that asks for less, behind one that asks for more: each may be late.
pub async fn no_word_cuts_short_what_another_has_asked_for<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (owner, duplicate) = (case.terms(), case.terms());
    let all = LONG + LONG;
    case.claimed(&owner, 1).await;
    for word in ["claim", "renew", "abandon"] {
        match word {
            "claim" => {
                case.claimed(&ClaimTerms { lease: LEASE, retention: LEASE, ..owner }, 1).await;
            }
            "renew" => {
                let renewed = case.store.renew(&case.id, owner.token, LEASE, LEASE).await;
                assert_eq!(renewed.expect("renew"), Change::Applied);
            }
            _ => {
                let abandoned = case.store.abandon(&case.id, owner.token, LEASE).await;
                assert_eq!(abandoned.expect("abandon"), Change::Applied);
            }
        }
        if word != "abandon" {
            let left = case.in_flight(&duplicate).await;
            assert!(left > LONG - LEASE, "{left:?} of the lease after a {word}");
        }
        let view = case.look().await.expect("it is there");
        assert!(view.expires_in > all - LEASE, "{view:?} after a {word}");
    }
}

/// That nothing was executed, or that it is not known: past its lease, and before another has taken
/// over.
pub async fn an_owner_that_is_late_can_say_how_it_ended<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let owner = ClaimTerms { lease: Duration::from_millis(1), ..case.terms() };
    let (taker, other) = (case.taker(), case.other_payload());
    let [released, abandoned, both] = [(); 3].map(|()| some_id(&mut case.rng));
    for id in [&released, &abandoned, &both] {
        case.id = id.clone();
        case.claimed(&owner, 1).await;
    }
    pass(GRACE).await;
    for id in [abandoned, both] {
        case.id = id;
        assert_eq!(case.abandon(owner.token).await, Change::Applied);
        assert_eq!(case.look().await.map(|view| view.state), Some(ViewState::Abandoned));
    }
    // It has learned that nothing was executed after all.
    assert_eq!(case.release(owner.token).await, Change::Applied);
    case.claimed(&other, 1).await;
    case.id = released;
    assert_eq!(case.release(owner.token).await, Change::Applied);
    case.claimed(&taker, 1).await;
}
