//! A handle that runs operations also while its store is down.

use std::time::Duration;

use bytes::Bytes;
use futures::poll;
use steadfast_core::Executed;
use steadfast_idempotency::{
    Answer, AsBytes, Claim, Idempotency, IdempotencyConfig, OnStoreDown, Outcome, Refused,
    StoreError, ViewState,
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Failed, Fault, Faulty, LEASE, MS, Process, id, print, refused};

const LIMIT: Duration = Duration::from_secs(5);
const LONG_DOWN: usize = 10_000;

fn config() -> IdempotencyConfig {
    IdempotencyConfig::new().on_store_down(OnStoreDown::Run)
}

fn process(store: &Faulty) -> Process {
    Process::new(config(), store)
}

fn down(store: &Faulty, fault: Fault, times: usize) {
    for operation in ["claim", "renew", "complete", "release", "abandon"] {
        store.next(operation, fault, times);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_an_operation_runs_and_its_caller_does_not_wait_for_the_end() {
    for (fault, claim) in [(Fault::Unreached, Duration::ZERO), (Fault::Silence, LIMIT)] {
        let store = Faulty::new();
        down(&store, fault, 10_000);
        let (process, began) = (process(&store), Instant::now());
        assert_eq!(process.pay().await.unwrap(), "1");
        let took = Instant::now() - began;
        assert!((claim + 100 * MS..claim + 101 * MS + MS).contains(&took), "{fault:?}: {took:?}");
        let snapshot = process.snapshot();
        assert_eq!((snapshot.ran, snapshot.unclaimed, snapshot.refused), (1, 1, 0));
        sleep(3 * LIMIT).await;
        let snapshot = process.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.unsettled), (0, 1), "it takes up no place");
        assert_eq!(process.pay().await.unwrap(), "2", "as the choice is documented");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ran_without_a_claim_is_recorded_when_the_store_is_back() {
    let store = Faulty::new();
    // By the second question after the operation's end.
    store.next("claim", Fault::Unreached, 2);
    let process = process(&store);
    assert_eq!(process.pay().await.unwrap(), "1");
    sleep(LIMIT).await;
    let snapshot = process.snapshot();
    assert_eq!((snapshot.unclaimed, snapshot.stored, snapshot.unsettled), (1, 1, 0));
    assert_eq!((process.pay().await.unwrap(), process.runs()), ("1".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_granted_and_whose_answers_were_lost_is_completed_or_freed() {
    for outcome in [Outcome::Store("ok".into()), Outcome::Release, Outcome::Abandon] {
        let store = Faulty::new();
        store.next("claim", Fault::AnswerLost, 2);
        let process = process(&store);
        assert_eq!(process.end(outcome.clone()).await, Ok(Answer::Executed(1)));
        sleep(LIMIT).await;
        let snapshot = process.snapshot();
        let told = (snapshot.stored, snapshot.released, snapshot.abandoned, snapshot.unsettled);
        let view = process.handle.look(&id()).await.unwrap().map(|view| view.state);
        match outcome {
            Outcome::Release => assert!(view.is_none() && told == (0, 1, 0, 0), "{told:?}"),
            Outcome::Abandon => {
                assert!(view == Some(ViewState::Abandoned) && told == (0, 0, 1, 0), "{told:?}");
            }
            _ => {
                let is_done = matches!(view, Some(ViewState::Done { .. }));
                assert!(is_done && told == (1, 0, 0, 0), "{told:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_operation_gets_its_claim_when_the_store_is_back_and_holds_it_from_then_on() {
    let store = Faulty::new();
    store.next("claim", Fault::Unreached, 2);
    let (one, other) = (process(&store), Process::new(IdempotencyConfig::new(), &store));
    let operation = |claim: Claim| async move {
        assert!(!claim.is_granted() && !claim.is_lost() && claim.attempt().get() == 1);
        sleep(LEASE / 4).await;
        assert!(claim.is_granted(), "it is asked for again each twelfth of a lease");
        sleep(2 * LEASE).await;
        assert!(claim.is_granted() && !claim.is_lost());
        Ok::<_, Failed>(Bytes::from("ok"))
    };
    let run = one.handle.run(id(), print(1), AsBytes, operation);
    let rival = async {
        sleep(LEASE + LEASE / 2).await;
        assert!(refused(other.pay().await).grounds.retry_after.is_some(), "it is in flight");
    };
    let (run, ()) = tokio::join!(run, rival);
    assert_eq!(run.unwrap(), "ok");
    assert_eq!((other.pay().await.unwrap(), other.runs()), ("ok".into(), 0));
    assert_eq!((one.snapshot().unclaimed, one.snapshot().lost), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_another_has_overtaken_is_told_so_and_its_caller_gets_its_reply_all_the_same() {
    let store = Faulty::new();
    let (one, other) = (process(&store), Process::new(IdempotencyConfig::new(), &store));
    store.next("claim", Fault::Unreached, 1);
    let operation = |claim: Claim| async move {
        timeout(LEASE, claim.lost()).await.expect("it hears of it");
        Ok::<_, Failed>(Bytes::from("mine"))
    };
    let mut run = Box::pin(one.handle.run(id(), print(1), AsBytes, operation));
    assert!(poll!(&mut run).is_pending());
    // The claim of the one fails at its task's first turn.
    sleep(MS).await;
    assert_eq!(other.pay().await.unwrap(), "1");
    assert_eq!(run.await.unwrap(), "mine");
    assert_eq!((one.snapshot().lost, one.snapshot().stored), (1, 0));
    assert_eq!(one.pay().await.unwrap(), "1", "what is recorded counts for duplicates");
}

#[tokio::test(start_paused = true)]
async fn a_short_run_finds_at_its_end_that_there_was_another() {
    let store = Faulty::new();
    let (one, other) = (process(&store), Process::new(IdempotencyConfig::new(), &store));
    assert_eq!(other.pay().await.unwrap(), "1");
    store.next("claim", Fault::Unreached, 1);
    assert_eq!(one.end(Outcome::Store("mine".into())).await, Ok(Answer::Executed(1)));
    sleep(MS).await;
    assert_eq!((one.snapshot().lost, one.snapshot().stored), (1, 0));
    assert_eq!((one.pay().await.unwrap(), one.runs()), ("1".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn duplicates_of_this_process_get_the_reply_that_the_store_never_heard_of() {
    let config = config().wait(LEASE);
    let store = Faulty::new();
    down(&store, Fault::Unreached, LONG_DOWN);
    let process = Process::new(config, &store);
    let (one, other) = tokio::join!(process.pay(), process.pay());
    assert_eq!((one.unwrap(), other.unwrap(), process.runs()), ("1".into(), "1".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_answered_is_not_down() {
    let (full, misconfigured) = (StoreError::full, StoreError::misconfigured);
    for (fault, refusal) in [
        (Fault::Fails(full), Refused::store()),
        (Fault::Fails(misconfigured), Refused::store()),
        (Fault::Corrupt, Refused::unreadable()),
    ] {
        let store = Faulty::new();
        store.next("claim", fault, 1);
        let process = process(&store);
        assert_eq!(refused(process.pay().await), refusal);
        assert_eq!((process.runs(), process.snapshot().unclaimed), (0, 0), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_store_up_nothing_is_another_and_a_claim_is_asked_for_again_where_that_may_help() {
    let store = Faulty::new();
    store.next("claim", Fault::AnswerLost, 1);
    let process = process(&store);
    for _ in 0..2 {
        assert_eq!(process.pay().await.unwrap(), "1");
    }
    let snapshot = process.snapshot();
    assert_eq!((snapshot.ran, snapshot.unclaimed, snapshot.replayed), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_run_without_a_claim_like_any_other() {
    let store = Faulty::new();
    down(&store, Fault::Unreached, LONG_DOWN);
    let process = process(&store);
    let mut call = Box::pin(process.pay_for(LEASE, 1));
    assert!(poll!(&mut call).is_pending());
    sleep(MS).await;
    process.handle.shutdown(MS).await;
    assert_eq!(refused(call.await), Refused::shut_down(Executed::Maybe));
    assert_eq!(process.snapshot().in_flight, 0);
}

#[test]
fn a_transactional_handle_cannot_run_without_its_store() {
    let config = config().transactional();
    assert_eq!(Idempotency::new(config, Faulty::new()).unwrap_err().field, "on_store_down");
}
