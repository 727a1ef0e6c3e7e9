//! One leader of many.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use steadfast_core::Deadline;
use steadfast_lease::{
    AcquireError, Election, HolderName, LeaseClient, LeaseLost, Loss, RenewReply, Status,
};
use tokio::time::{Instant, sleep};

use crate::support::{Fault, Faulty, SEC, TTL, config, is_free, name, settle};

#[derive(Debug)]
enum Failed {
    NotElected(AcquireError),
    Deposed(LeaseLost),
}

impl From<AcquireError> for Failed {
    fn from(error: AcquireError) -> Self {
        Self::NotElected(error)
    }
}

impl From<LeaseLost> for Failed {
    fn from(lost: LeaseLost) -> Self {
        Self::Deposed(lost)
    }
}

fn election(store: &Faulty, holder: &str) -> Election {
    let config = config().holder(HolderName::new(holder).unwrap());
    Election::new(LeaseClient::new(config, store.clone()).unwrap(), name())
}

#[tokio::test(start_paused = true)]
async fn all_campaign_and_one_leads_at_a_time() {
    let (store, leading) = (Faulty::new(), Arc::new(AtomicU32::new(0)));
    let all = (0..10).map(|n| {
        let (election, leading) = (election(&store, &n.to_string()), Arc::clone(&leading));
        tokio::spawn(async move {
            let work = async |leader: steadfast_lease::Leadership| {
                assert_eq!(leading.fetch_add(1, Ordering::Relaxed), 0);
                sleep(3 * TTL).await;
                assert!(leader.is_valid());
                leading.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, Failed>(leader.token())
            };
            election.lead(work).await.unwrap()
        })
    });
    let mut tokens = vec![];
    for one in all.collect::<Vec<_>>() {
        tokens.push(one.await.unwrap());
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 10);
    assert!(is_free(&store, &name()).await);
}

#[tokio::test(start_paused = true)]
async fn an_observer_follows_the_leaders() {
    let store = Faulty::new();
    let (first, second) = (election(&store, "first"), election(&store, "second"));
    let mut leaders = second.observe();
    assert_eq!(leaders.next().await.unwrap(), None);
    let leads = first.campaign(None).await.unwrap();
    let leader = leaders.next().await.unwrap().unwrap();
    assert_eq!((leader.holder.as_str(), leader.token), ("first", Some(leads.token())));
    assert_eq!(second.leader().await.unwrap(), Some(leader));
    let waits = tokio::spawn(async move { second.campaign(None).await.unwrap() });
    settle().await;
    assert!(leads.resign().await.unwrap());
    let next = waits.await.unwrap();
    // The time without a leader may be missed.
    let mut leader = leaders.next().await.unwrap();
    if leader.is_none() {
        leader = leaders.next().await.unwrap();
    }
    assert_eq!(leader.unwrap().token, Some(next.token()));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_deposed_is_dropped_at_once_and_may_campaign_again() {
    let store = Faulty::new();
    let election = election(&store, "me");
    store.next("renew", Fault::Renewed(RenewReply::Gone), 1);
    let deposed = election.lead(|_| pending::<Result<(), Failed>>()).await;
    match deposed.unwrap_err() {
        Failed::Deposed(lost) => assert_eq!(lost.status, Status::Lost(Loss::Revoked)),
        Failed::NotElected(error) => panic!("{error}"),
    }
    settle().await;
    assert!(election.lead(async |_| Ok::<_, Failed>(())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_observer_whose_watch_dies_in_silence_sees_the_change_within_a_ttl() {
    let store = Faulty::new();
    let election = election(&store, "first");
    let mut leaders = election.observe();
    assert_eq!(leaders.next().await.unwrap(), None);
    store.next("observe", Fault::Silence, 1);
    let start = Instant::now();
    let (leader, _leads) = tokio::join!(leaders.next(), election.campaign(None));
    assert!(leader.unwrap().is_some() && Instant::now() - start <= TTL);
    // Nothing is heard at all: that is an error, and not silence without end.
    store.silence(&name());
    let start = Instant::now();
    assert!(leaders.next().await.is_err());
    assert_eq!(Instant::now() - start, TTL + TTL / 6);
}

#[tokio::test(start_paused = true)]
async fn a_campaign_ends_at_its_deadline() {
    let store = Faulty::new();
    let _leads = election(&store, "first").campaign(None).await.unwrap();
    let deadline = Deadline::after(Instant::now().into_std(), SEC);
    let error = election(&store, "second").campaign(deadline).await.unwrap_err();
    assert!(matches!(error, AcquireError::TimedOut), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_leadership_whose_last_clone_is_dropped_resigns() {
    let store = Faulty::new();
    let leads = election(&store, "first").campaign(None).await.unwrap();
    let clone = leads.clone();
    drop(leads);
    settle().await;
    assert!(clone.is_valid() && !is_free(&store, &name()).await);
    drop(clone);
    settle().await;
    assert!(is_free(&store, &name()).await);
}
