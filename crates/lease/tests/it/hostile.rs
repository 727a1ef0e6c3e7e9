//! Futures that are dropped at any point, work that panics, and ends that come at a bad moment.

use std::{task::Poll, time::Duration};

use futures::poll;
use steadfast_core::Executed;
use steadfast_lease::{
    AcquireError, AcquireReply, Election, HolderName, LeaseClient, LeaseClientConfig, LeaseLost,
    LeaseRequest, Loss, MemoryConfig, MemoryStore, RenewReply, Status, StoreErrorKind,
};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::{
    Fault, Faulty, MS, SEC, TTL, VALID, client, config, is_free, name, numbered, settle, tasks,
};

/// Polls a future so many times, with some time between, and drops it. `Some` if it was ready.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Poll::Ready(result) = poll!(&mut future) {
            return Some(result);
        }
        sleep(3 * MS).await;
    }
    None
}

#[derive(Debug)]
struct Failed;

impl From<AcquireError> for Failed {
    fn from(_: AcquireError) -> Self {
        Self
    }
}

impl From<LeaseLost> for Failed {
    fn from(_: LeaseLost) -> Self {
        Self
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_dropped_at_any_point_leaves_no_grant_and_no_task() {
    for polls in 0..100 {
        let store = Faulty::new();
        let (first, second) = (client(&store), client(&store));
        let lease = first.try_acquire(&name()).await.unwrap();
        tokio::spawn(async move {
            sleep(20 * MS).await;
            drop(lease);
        });
        let is_granted = polled(polls, second.acquire(&name(), None)).await.is_some();
        sleep(SEC).await;
        assert!(is_free(&store, &name()).await, "after {polls} polls");
        assert_eq!((tasks(), second.snapshot().held), (0, 0), "after {polls} polls");
        if is_granted {
            return;
        }
    }
    panic!("no wait was ever granted the lease");
}

#[tokio::test(start_paused = true)]
async fn a_leadership_dropped_at_any_point_is_given_up() {
    for polls in 0..100 {
        let store = Faulty::new();
        let election = Election::new(client(&store), name());
        let work = async |_| {
            sleep(20 * MS).await;
            Ok::<_, Failed>(())
        };
        let has_led = polled(polls, election.lead(work)).await.is_some();
        sleep(SEC).await;
        assert!(is_free(&store, &name()).await, "after {polls} polls");
        assert_eq!(tasks(), 0, "after {polls} polls");
        if has_led {
            return;
        }
    }
    panic!("none has led to the end");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_by_hand_dropped_at_any_point_leaves_the_lease_as_it_was_or_renewed() {
    for polls in 0..10 {
        let store = Faulty::new();
        let client = client(&store);
        let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
        sleep(5 * SEC).await;
        let left = lease.remaining();
        let renewed = polled(polls, lease.renew()).await;
        assert!(lease.is_valid() && lease.remaining() + SEC > left, "after {polls} polls");
        if let Some(renewed) = renewed {
            assert!(renewed.unwrap().unwrap() > left);
            return;
        }
        assert!(lease.remaining() <= left, "what it was not told does not count");
    }
    panic!("no renewal was ever answered");
}

#[tokio::test(start_paused = true)]
async fn an_observer_dropped_at_any_point_returns_what_it_has_not_by_its_next_call() {
    for polls in 0..100 {
        let store = Faulty::new();
        let client = client(&store);
        let mut observer = client.observe(name());
        assert!(observer.next().await.unwrap().held.is_none());
        let holder = client.clone();
        let holds = tokio::spawn(async move {
            sleep(10 * MS).await;
            holder.try_acquire(&name()).await.unwrap()
        });
        let seen = polled(polls, observer.next()).await;
        let _lease = holds.await.unwrap();
        let is_seen = seen.is_some();
        let view = match seen {
            Some(view) => view,
            None => observer.next().await,
        };
        assert!(view.unwrap().held.is_some(), "after {polls} polls");
        if is_seen {
            return;
        }
    }
    panic!("nothing was ever seen");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_dropped_at_any_point_goes_on() {
    for polls in 1..100 {
        let store = Faulty::new();
        let client = client(&store);
        let mut leases = vec![];
        for n in 0..3 {
            leases.push(client.try_acquire(&numbered(n)).await.unwrap());
        }
        store.next("release", Fault::SlowThere(10 * MS), 3);
        let is_done = polled(polls, client.shutdown(SEC)).await.is_some();
        assert!(leases.iter().all(|lease| lease.status() == Status::Released));
        sleep(SEC).await;
        for n in 0..3 {
            assert!(is_free(&store, &numbered(n)).await, "after {polls} polls");
        }
        assert_eq!(tasks(), 0, "after {polls} polls");
        if is_done {
            return;
        }
    }
    panic!("no shutdown came to its end");
}

/// The store has granted the lease, and its answer is on the way.
#[tokio::test(start_paused = true)]
async fn a_shutdown_during_an_acquisition_waits_until_it_is_undone() {
    let store = Faulty::new();
    let client = client(&store);
    store.next("acquire", Fault::SlowBack(SEC), 1);
    let asks = tokio::spawn({
        let client = client.clone();
        async move { client.try_acquire(&name()).await }
    });
    settle().await;
    assert!(client.shutdown(5 * SEC).await);
    assert!(is_free(&store, &name()).await);
    let error = asks.await.unwrap().unwrap_err();
    assert!(matches!(error, AcquireError::ShutDown), "{error}");
    assert_eq!((tasks(), client.snapshot().granted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_gives_its_leadership_up_and_harms_no_other_lease() {
    let store = Faulty::new();
    let client = client(&store);
    let other = client.try_acquire(&numbered(1)).await.unwrap();
    let election = Election::new(client.clone(), name());
    let leads = tokio::spawn(async move {
        election
            .lead(async |_| {
                sleep(MS).await;
                panic!("in the work");
                #[expect(unreachable_code, reason = "it says what the type is")]
                Ok::<(), Failed>(())
            })
            .await
    });
    assert!(leads.await.unwrap_err().is_panic());
    settle().await;
    assert!(is_free(&store, &name()).await);
    // A panic under a lease that outlives it leaves that as it was.
    let run = other.run(async {
        panic!("in the work");
        #[expect(unreachable_code, reason = "it says what the type is")]
        Ok::<(), LeaseLost>(())
    });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    sleep(3 * TTL).await;
    assert!(other.is_valid() && !is_free(&store, &numbered(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_by_hand_counts_from_its_own_send() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    sleep(5 * SEC).await;
    store.next("renew", Fault::SlowBack(SEC), 1);
    assert_eq!(lease.renew().await.unwrap(), Ok(VALID - SEC));
    assert_eq!(lease.remaining(), VALID - SEC);
}

#[tokio::test(start_paused = true)]
async fn the_stores_word_to_a_renewal_by_hand_is_final_and_garbage_changes_nothing() {
    for (reply, loss) in [(RenewReply::Taken, Loss::Taken), (RenewReply::Gone, Loss::Revoked)] {
        let store = Faulty::new();
        let client = client(&store);
        let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
        store.next("renew", Fault::Renewed(reply), 1);
        let lost = lease.renew().await.unwrap().unwrap_err();
        assert_eq!((lost.status, lost.grounds.executed), (Status::Lost(loss), Executed::No));
        assert!(!lease.is_valid());
        sleep(2 * TTL).await;
        assert_eq!((store.calls("release"), client.snapshot().lost), (0, 1));
    }
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    for ttl in [Duration::ZERO, Duration::MAX] {
        store.next("renew", Fault::Renewed(RenewReply::Renewed { ttl }), 1);
        let garbage = lease.renew().await.unwrap_err();
        assert_eq!(garbage.kind(), StoreErrorKind::Corrupt);
        assert_eq!(lease.remaining(), VALID);
    }
}

#[tokio::test(start_paused = true)]
async fn the_grace_is_a_sixth_of_the_ttl_unless_it_is_given() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    let start = Instant::now();
    let run = lease.run(std::future::pending::<Result<(), LeaseLost>>());
    assert!(run.await.is_err());
    assert_eq!(Instant::now() - start, VALID - TTL / 6);
}

/// The runtime of the task has ended, and the wait is in another, where no task has begun.
#[test]
fn a_wait_for_the_loss_is_ready_at_the_deadline_without_any_task() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let config = LeaseClientConfig::new().ttl(300 * MS);
    let client = LeaseClient::new(config, store).unwrap();
    let lease = runtime().block_on(client.try_acquire(&name())).unwrap();
    let (lost, waited) = runtime().block_on(async {
        let start = Instant::now();
        (timeout(20 * SEC, lease.lost()).await, Instant::now() - start)
    });
    assert_eq!(lost, Ok(Some(Loss::Unanswered)));
    assert!(waited < 10 * SEC, "{waited:?}");
}

/// The first runtime's task has taken everything in that was new to it.
#[test]
fn a_lease_whose_task_went_with_its_runtime_is_renewed_by_the_next() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let client = LeaseClient::new(LeaseClientConfig::new().ttl(2 * SEC), store).unwrap();
    let lease = runtime().block_on(async {
        let lease = client.try_acquire(&name()).await.unwrap();
        settle().await;
        lease
    });
    runtime().block_on(async {
        let _other = client.try_acquire(&numbered(1)).await.unwrap();
        sleep(4 * SEC).await;
        assert!(lease.is_valid());
    });
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_the_task_counts_from_its_own_send() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::SlowThere(SEC), 1);
    while client.snapshot().renewed == 0 {
        sleep(MS).await;
    }
    let left = lease.remaining();
    assert!(left <= VALID - SEC && left >= VALID - SEC - 10 * MS, "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_begins_late_is_seen_in_the_snapshot() {
    let client = client(&Faulty::new());
    let _lease = client.try_acquire(&name()).await.unwrap();
    settle().await;
    // The runtime does something else meanwhile. It was due between 3.6 and 4 s.
    advance(5 * SEC).await;
    settle().await;
    let lateness = client.snapshot().lateness;
    assert!(lateness >= SEC && lateness <= 1500 * MS, "{lateness:?}");
}

#[tokio::test(start_paused = true)]
async fn work_ends_in_the_moment_in_which_its_lease_is_taken_or_released() {
    let store = Faulty::new();
    let client = client(&store);
    let start = Instant::now();
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::Renewed(RenewReply::Taken), 1);
    assert!(lease.run(std::future::pending::<Result<(), LeaseLost>>()).await.is_err());
    assert!(Instant::now() - start <= TTL / 3);
    let lease = client.try_acquire(&numbered(1)).await.unwrap();
    let run = tokio::spawn(lease.run(std::future::pending::<Result<(), LeaseLost>>()));
    settle().await;
    let start = Instant::now();
    assert!(lease.release().await.unwrap());
    assert!(run.await.unwrap().is_err());
    assert_eq!(Instant::now(), start);
}

/// Its holder is woken by a timer of its own, and may be quicker than the task.
#[tokio::test(start_paused = true)]
async fn a_loss_is_counted_once_though_the_lease_is_dropped_at_once_or_late() {
    for is_kept in [false, true] {
        let store = Faulty::new();
        let client = client(&store);
        let lease = client.try_acquire(&name()).await.unwrap();
        store.silence(&name());
        assert_eq!(lease.lost().await, Some(Loss::Unanswered));
        if is_kept {
            sleep(3 * TTL).await;
        }
        let releases = store.calls("release");
        drop(lease);
        sleep(3 * TTL).await;
        assert_eq!((client.snapshot().lost, tasks()), (1, 0), "{is_kept}");
        assert_eq!(is_kept, store.calls("release") == releases, "given back by the one or other");
    }
}

/// A renewal of the task is out while one by hand is told that the lease is another's.
#[tokio::test(start_paused = true)]
async fn a_loss_is_counted_once_though_a_renewal_is_out_when_the_lease_is_dropped() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::Silence, 1);
    store.next("renew", Fault::Renewed(RenewReply::Taken), 1);
    sleep(TTL / 3 + MS).await;
    assert!(lease.renew().await.unwrap().is_err());
    drop(lease);
    sleep(2 * TTL).await;
    assert_eq!((client.snapshot().lost, tasks()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_by_hand_that_runs_out_is_counted_and_given_back_by_the_task() {
    let store = Faulty::new();
    let client = client(&store);
    let _lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    settle().await;
    sleep(2 * TTL).await;
    let snapshot = client.snapshot();
    assert_eq!((snapshot.held, snapshot.lost, tasks()), (0, 1, 0));
    assert_eq!(store.calls("release"), 1);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_held_counts_as_given_back() {
    let store = Faulty::new();
    let client = client(&store);
    store.next("acquire", Fault::SlowThere(SEC), 1);
    assert!(timeout(100 * MS, client.try_acquire(&name())).await.is_err());
    settle().await;
    assert_eq!((store.calls("release"), client.snapshot().released), (1, 0));
}

/// The first call was granted, and its answer lost; the second is told that another holds it.
#[tokio::test(start_paused = true)]
async fn a_doubt_about_an_earlier_call_stays_whatever_a_later_one_is_told() {
    let store = Faulty::new();
    let client = client(&store);
    let held = AcquireReply::Held { left: TTL, holder: HolderName::new("another").unwrap() };
    store.next("acquire", Fault::AnswerLost, 1);
    store.next("acquire", Fault::Acquired(held), 1);
    let error = client.try_acquire(&name()).await.unwrap_err();
    assert!(matches!(error, AcquireError::Held { .. }), "{error}");
    settle().await;
    assert!(is_free(&store, &name()).await && tasks() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_at_once_that_all_was_given_back_or_in_the_end_that_it_was_not() {
    let store = Faulty::new();
    let client = client(&store);
    let _lease = client.try_acquire(&name()).await.unwrap();
    let start = Instant::now();
    assert!(client.shutdown(60 * SEC).await);
    assert!(Instant::now() - start <= 10 * MS);
    let client = self::client(&store);
    let _lease = client.try_acquire(&name()).await.unwrap();
    store.next("release", Fault::Unreached, 1000);
    assert!(!client.shutdown(60 * SEC).await, "it gave up before the limit");
    assert!(Instant::now() - start <= TTL + 2 * SEC);
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_not_told_the_same_twice() {
    let store = Faulty::new();
    let client = client(&store);
    let _lease = client.try_acquire(&name()).await.unwrap();
    let mut observer = client.observe(name());
    assert!(observer.next().await.unwrap().held.is_some());
    // A watch that has died: the look behind it finds what was seen.
    store.next("observe", Fault::Silence, 1);
    assert!(timeout(3 * TTL, observer.next()).await.is_err());
}

#[test]
fn a_grace_of_half_of_the_ttl_is_too_long() {
    let store = || MemoryStore::new(MemoryConfig::new()).unwrap();
    let error = LeaseClient::new(config().grace(TTL / 2), store()).unwrap_err();
    assert_eq!(error.field, "grace");
    assert!(LeaseClient::new(config().grace(TTL / 2 - MS), store()).is_ok());
}
