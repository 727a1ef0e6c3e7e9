//! A store that does not answer, or whose answers are lost.

use std::time::Duration;

use steadfast_idempotency::{Answer, IdempotencyConfig, Outcome, Refused};
use tokio::time::{Instant, sleep};

use crate::support::{Fault, Faulty, LEASE, MS, Process, id, refused};

const LIMIT: Duration = Duration::from_secs(5);

fn process(store: &Faulty) -> Process {
    Process::new(IdempotencyConfig::new(), store)
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_does_not_get_through_is_refused_and_nothing_runs() {
    let store = Faulty::new();
    store.next("claim", Fault::Unreached, 1);
    let process = process(&store);
    assert_eq!(refused(process.pay().await), Refused::store());
    assert_eq!((process.runs(), store.calls("release")), (0, 0));
    assert_eq!(process.pay().await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_claimed_again_by_its_token() {
    let store = Faulty::new();
    store.next("claim", Fault::AnswerLost, 1);
    let process = process(&store);
    assert_eq!(process.pay().await.unwrap(), "1");
    assert_eq!((process.runs(), store.calls("claim")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answers_are_lost_for_good_is_freed_again() {
    for fault in [Fault::AnswerLost, Fault::Silence] {
        let store = Faulty::new();
        store.next("claim", Fault::AnswerLost, 1);
        store.next("claim", fault, 1);
        // Nor does the first release get through.
        store.next("release", Fault::Unreached, 1);
        let process = process(&store);
        let began = Instant::now();
        assert_eq!(refused(process.pay().await), Refused::store());
        assert!(Instant::now() - began <= LIMIT + MS);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(process.pay().await.unwrap(), "1", "the key is not stranded");
    }
}

#[tokio::test(start_paused = true)]
async fn a_completion_whose_answer_was_lost_is_completed_again() {
    let store = Faulty::new();
    store.next("complete", Fault::AnswerLost, 2);
    let process = process(&store);
    assert_eq!(process.pay().await.unwrap(), "1");
    assert_eq!((process.pay().await.unwrap(), process.runs()), ("1".into(), 1));
    assert_eq!((store.calls("complete"), process.snapshot().lost), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_recorded_before_its_caller_sees_it_unless_the_store_is_down() {
    let store = Faulty::new();
    store.next("complete", Fault::Slow(50 * MS), 1);
    let process = process(&store);
    assert_eq!(process.pay().await.unwrap(), "1");
    assert_eq!(process.snapshot().stored, 1);
    assert!(process.handle.forget(&id()).await.unwrap());

    store.next("complete", Fault::Silence, 2);
    let began = Instant::now();
    assert_eq!(process.pay().await.unwrap(), "2");
    assert!((LIMIT..LIMIT + Duration::from_secs(1)).contains(&(Instant::now() - began)));
    assert_eq!(process.snapshot().stored, 1, "not yet");
    // And then it is recorded all the same.
    sleep(2 * LIMIT).await;
    assert_eq!((process.snapshot().stored, process.pay().await.unwrap()), (2, "2".into()));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_told_for_a_lease_leaves_the_key_abandoned() {
    let store = Faulty::new();
    store.next("complete", Fault::Unreached, 10_000);
    let process = process(&store);
    assert_eq!(process.pay().await.unwrap(), "1");
    sleep(LEASE + Duration::from_secs(1)).await;
    let snapshot = process.snapshot();
    assert_eq!((snapshot.unsettled, snapshot.in_flight), (1, 0));
    // It was renewed until then.
    sleep(LEASE).await;
    assert_eq!(refused(process.pay().await), Refused::abandoned());
}

#[tokio::test(start_paused = true)]
async fn duplicates_share_the_refusal_of_a_store_that_is_down() {
    let store = Faulty::new();
    store.next("claim", Fault::Unreached, 1);
    let process = process(&store);
    let (one, other) = tokio::join!(process.pay(), process.pay());
    assert_eq!((refused(one), refused(other)), (Refused::store(), Refused::store()));
    assert_eq!(store.calls("claim"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_release_or_abandonment_whose_answer_was_lost_is_said_again() {
    let store = Faulty::new();
    store.next("release", Fault::AnswerLost, 1);
    store.next("abandon", Fault::AnswerLost, 1);
    let process = process(&store);
    assert_eq!(process.end(Outcome::Release).await, Ok(Answer::Executed(1)));
    assert_eq!(process.end(Outcome::Abandon).await, Ok(Answer::Executed(2)));
    let snapshot = process.snapshot();
    assert_eq!((snapshot.released, snapshot.abandoned, snapshot.lost), (1, 1, 0));
    assert_eq!(process.end(Outcome::Release).await, Err(Refused::abandoned()));
}
