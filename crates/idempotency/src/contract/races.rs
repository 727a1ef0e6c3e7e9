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

/// An owner that is late completes, renews or releases, while another takes over: 20 times each.
pub async fn of_a_late_owner_and_a_taker_only_one_is_answered<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let mut rounds = Vec::new();
    for n in 0..60 {
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
        let is_sound = match (late, n % 3) {
            (Change::Lost, _) => taken == granted(2),
            (Change::Applied, 0) => taken == done("late"),
            (Change::Applied, 1) => matches!(taken, ClaimReply::InFlight { .. }),
            (Change::Applied, _) => taken == granted(1),
        };
        assert!(is_sound, "{late:?} for the owner, {taken:?} for the taker");
        // And what was answered is so.
        let completed = Store::complete(&*store, &id, taker.token, "taken".into(), LONG).await;
        let is_taken = matches!(taken, ClaimReply::Claimed { .. });
        assert_eq!(completed.expect("complete") == Change::Applied, is_taken, "{taken:?}");
    }
}

async fn late<S: Store>(n: u32, store: Arc<S>, id: RecordId, owner: ClaimTerms) -> Change {
    let change = match n % 3 {
        0 => Store::complete(&*store, &id, owner.token, "late".into(), LONG).await,
        1 => Store::renew(&*store, &id, owner.token, LONG, LONG).await,
        _ => Store::release(&*store, &id, owner.token).await,
    };
    change.expect("the owner's word")
}
