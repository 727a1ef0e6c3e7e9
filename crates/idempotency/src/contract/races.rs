//! The promises on what comes at the same time.

use std::{sync::Arc, time::Duration};

use super::{Case, GRACE, LONG, done, granted, pass, some_id};
use crate::{Change, ClaimReply, ClaimTerms, RecordId, Store};

/// 64 tasks for each of 20 keys.
pub async fn of_many_racers_one_is_granted_the_claim<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let rounds: Vec<_> = (0..20).map(|_| some_id(&mut case.rng)).collect();
    let terms: Vec<_> = (0..64).map(|_| case.terms()).collect();
    let store = Arc::new(case.store);
    for id in rounds {
        let racers = terms.iter().map(|terms| {
            let (store, id, terms) = (Arc::clone(&store), id.clone(), *terms);
            tokio::spawn(async move { Store::claim(&*store, &id, &terms).await.expect("claim") })
        });
        let mut winners = 0;
        for racer in racers.collect::<Vec<_>>() {
            match racer.await.expect("no panic") {
                ClaimReply::Claimed { attempt } => winners += attempt.get(),
                other => assert!(matches!(other, ClaimReply::InFlight { .. }), "{other:?}"),
            }
        }
        assert_eq!(winners, 1);
    }
}

/// 64 takers for each of 10 keys whose lease has ended, and 64 claims for each of 10 whose record
/// has expired.
pub async fn of_many_racers_for_what_has_ended_one_is_granted_it<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let (brief, mut rounds) = (Duration::from_millis(1), Vec::new());
    for (retention, attempt) in [(LONG, 2), (brief, 1)] {
        for _ in 0..10 {
            case.id = some_id(&mut case.rng);
            let owner = ClaimTerms { lease: brief, retention, ..case.terms() };
            case.claimed(&owner, 1).await;
            rounds.push((case.id.clone(), attempt));
        }
    }
    let terms: Vec<_> = (0..64).map(|_| case.taker()).collect();
    pass(GRACE).await;
    let store = Arc::new(case.store);
    for (id, attempt) in rounds {
        let racers = terms.iter().map(|terms| {
            let (store, id, terms) = (Arc::clone(&store), id.clone(), *terms);
            tokio::spawn(async move { Store::claim(&*store, &id, &terms).await.expect("claim") })
        });
        let mut granted_to = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            match racer.await.expect("no panic") {
                ClaimReply::Claimed { attempt } => granted_to.push(attempt.get()),
                other => assert!(matches!(other, ClaimReply::InFlight { .. }), "{other:?}"),
            }
        }
        assert_eq!(granted_to, [attempt]);
    }
}

/// What had expired when a purge looked, and was claimed when it came back to remove it.
pub async fn a_purge_takes_nothing_that_was_claimed_meanwhile<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let brief = Duration::from_millis(1);
    let expired = ClaimTerms { lease: brief, retention: brief, ..case.terms() };
    let ids: Vec<_> = (0..200).map(|_| some_id(&mut case.rng)).collect();
    for id in &ids {
        case.id = id.clone();
        case.claimed(&expired, 1).await;
    }
    let (owner, duplicate) = (case.terms(), case.terms());
    pass(GRACE).await;
    let store = Arc::new(case.store);
    let purge = || {
        let store = Arc::clone(&store);
        tokio::spawn(async move { Store::purge_expired(&*store, usize::MAX).await })
    };
    let mut purges = vec![purge(), purge()];
    tokio::task::yield_now().await;
    for (n, id) in ids.iter().enumerate() {
        let claimed = Store::claim(&*store, id, &owner).await;
        assert_eq!(claimed.expect("claim"), granted(1));
        if n % 50 == 0 {
            purges.push(purge());
        }
        tokio::task::yield_now().await;
    }
    for purge in purges {
        purge.await.expect("no panic").expect("purge");
    }
    for id in &ids {
        let meets = Store::claim(&*store, id, &duplicate).await.expect("claim");
        assert!(matches!(meets, ClaimReply::InFlight { .. }), "{meets:?}");
    }
}

/// An owner that is late completes, renews, releases or abandons, while another takes over: 20
/// times each.
pub async fn of_a_late_owner_and_a_taker_only_one_is_answered<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let mut rounds = Vec::new();
    for n in 0..80 {
        case.id = some_id(&mut case.rng);
        let owner = ClaimTerms { lease: Duration::from_millis(1), ..case.terms() };
        case.claimed(&owner, 1).await;
        rounds.push((n, case.id.clone(), owner, case.taker()));
    }
    pass(GRACE).await;
    let store = Arc::new(case.store);
    for (n, id, owner, taker) in rounds {
        let late = tokio::spawn(late(n, Arc::clone(&store), id.clone(), owner));
        let taken = tokio::spawn({
            let (store, id) = (Arc::clone(&store), id.clone());
            async move { Store::claim(&*store, &id, &taker).await.expect("claim") }
        });
        let (late, taken) = (late.await.expect("no panic"), taken.await.expect("no panic"));
        let is_sound = match (late, n % 4) {
            (Change::Lost, _) => taken == granted(2),
            (Change::Applied, 0) => taken == done("late"),
            (Change::Applied, 1) => matches!(taken, ClaimReply::InFlight { .. }),
            (Change::Applied, 2) => taken == granted(1),
            (Change::Applied, _) => taken == granted(2),
        };
        assert!(is_sound, "{late:?} for the owner, {taken:?} for the taker");
        // And what was answered is so.
        let completed = Store::complete(&*store, &id, taker.token, "taken".into(), LONG).await;
        let is_taken = matches!(taken, ClaimReply::Claimed { .. });
        assert_eq!(completed.expect("complete") == Change::Applied, is_taken, "{taken:?}");
    }
}

async fn late<S: Store>(n: u32, store: Arc<S>, id: RecordId, owner: ClaimTerms) -> Change {
    let change = match n % 4 {
        0 => Store::complete(&*store, &id, owner.token, "late".into(), LONG).await,
        1 => Store::renew(&*store, &id, owner.token, LONG, LONG).await,
        2 => Store::release(&*store, &id, owner.token).await,
        _ => Store::abandon(&*store, &id, owner.token, LONG).await,
    };
    change.expect("the owner's word")
}
