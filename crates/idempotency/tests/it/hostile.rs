//! Stores that panic or keep silent, processes that stand still, and callers that panic.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, poll};
use steadfast_core::Executed;
use steadfast_idempotency::{
    Answer, AsBytes, Claim, IdempotencyConfig, OnAbandoned, Outcome, Reason, Refused, ViewState,
};
use tokio::time::{Instant, sleep};

use crate::support::{Failed, Fault, Faulty, LEASE, MS, Process, id, print, refused, stand_still};

const SECOND: Duration = Duration::from_secs(1);

fn process(store: &Faulty) -> Process {
    Process::new(IdempotencyConfig::new(), store)
}

fn takeover() -> IdempotencyConfig {
    IdempotencyConfig::new().on_abandoned(OnAbandoned::Takeover)
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_has_failed_and_strands_no_key() {
    for fault in [Fault::Panics, Fault::PanicsAfter] {
        let store = Faulty::new();
        for operation in ["claim", "renew", "complete"] {
            store.next(operation, fault, 1);
        }
        let process = process(&store);
        assert_eq!(process.pay_for(LEASE * 2, 1).await.unwrap(), "1", "{fault:?}");
        assert_eq!((process.pay().await.unwrap(), process.runs()), ("1".into(), 1));
        assert_eq!((store.calls("claim"), store.calls("complete")), (3, 2));

        // And where it goes on panicking.
        assert!(process.handle.forget(&id()).await.unwrap());
        store.next("claim", fault, 2);
        store.next("release", fault, 1);
        assert_eq!(refused(process.pay().await), Refused::store());
        sleep(SECOND).await;
        assert_eq!(process.pay().await.unwrap(), "2");
        store.next("look", fault, 1);
        assert!(process.handle.look(&id()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_store_cannot_read_is_refused_for_good() {
    let store = Faulty::new();
    store.next("claim", Fault::Corrupt, 1);
    let process = process(&store);
    // An earlier copy may have been executed.
    assert_eq!(refused(process.pay().await), Refused::unreadable());
    assert_eq!((process.runs(), store.calls("claim"), store.calls("release")), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn another_payload_is_told_so_by_what_the_store_knows_and_not_by_who_came_first() {
    let store = Faulty::new();
    let process = process(&store);
    assert_eq!(process.pay().await.unwrap(), "1");
    // The one with the wrong payload asks first, and the right one comes while it does.
    store.next("claim", Fault::Slow(SECOND), 1);
    let (wrong, right) = tokio::join!(process.pay_for(MS, 2), process.pay());
    assert_eq!(refused(wrong), Refused::mismatch());
    assert_eq!(right.unwrap(), "1");

    // Nor does a claim that fails bind the key to its payload.
    assert!(process.handle.forget(&id()).await.unwrap());
    store.next("claim", Fault::Unreached, 1);
    let (down, other) = tokio::join!(process.pay(), process.pay_for(MS, 2));
    assert_eq!((refused(down), other.unwrap()), (Refused::store(), "2".into()));
}

#[tokio::test(start_paused = true)]
async fn another_payload_does_not_wait_for_the_end_of_an_operation() {
    let process = process(&Faulty::new());
    let (first, elapsed) = tokio::join!(process.pay_for(LEASE, 1), async {
        let began = Instant::now();
        assert_eq!(refused(process.pay_for(MS, 2).await), Refused::mismatch());
        Instant::now() - began
    });
    assert_eq!((first.unwrap(), elapsed), ("1".into(), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_does_not_hide_the_end_of_the_lease() {
    let store = Faulty::new();
    store.next("renew", Fault::Silence, 1);
    let process = Process::new(takeover().store_limit(LEASE), &store);
    let began = Instant::now();
    let told = process.handle.execute(id(), print(1), |claim: Claim| async move {
        claim.lost().await;
        (Instant::now(), Outcome::Release)
    });
    let Ok(Answer::Executed(told)) = told.await else { panic!("it was executed") };
    assert_eq!(told - began, LEASE);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_just_before_the_end_of_the_lease_is_no_reason_to_be_told_later() {
    let store = Faulty::new();
    // At 20 s, and then each twelfth of a lease: the last one 1 ms before the end.
    store.next("claim", Fault::SlowAnswer(LEASE / 12 - MS), 1);
    store.next("renew", Fault::Unreached, 100);
    let process = Process::new(takeover().store_limit(LEASE), &store);
    let began = Instant::now();
    let told = process.handle.execute(id(), print(1), |claim: Claim| async move {
        claim.lost().await;
        (Instant::now(), Outcome::Release)
    });
    let Ok(Answer::Executed(told)) = told.await else { panic!("it was executed") };
    assert!(told - began < LEASE + 2 * MS, "{:?}", told - began);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_was_refused_is_not_asked_for_again() {
    let store = Faulty::new();
    let process = Process::new(takeover(), &store);
    let (first, ()) = tokio::join!(process.pay_for(LEASE * 9, 1), async {
        sleep(MS).await;
        assert!(process.handle.forget(&id()).await.unwrap());
    });
    assert_eq!(refused(first).reason, Reason::Lost);
    assert_eq!((store.calls("renew"), process.snapshot().lost), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_counted_from_the_claim_that_was_granted_and_not_from_the_first_question() {
    let store = Faulty::new();
    let config = takeover().wait(LEASE * 9);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    let (_, waited) = tokio::join!(here.end_after(LEASE * 4, Outcome::Release), async {
        sleep(MS).await;
        let is_lost = there.handle.execute(id(), print(1), {
            let store = store.clone();
            move |claim: Claim| async move {
                // The first renewal after the long wait does not get through.
                store.next("renew", Fault::Unreached, 1);
                sleep(LEASE / 2).await;
                (claim.is_lost(), Outcome::Release)
            }
        });
        is_lost.await
    });
    assert_eq!(waited, Ok(Answer::Executed(false)));
    assert_eq!(there.snapshot().lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_answered_late_is_renewed_before_its_lease_ends() {
    let store = Faulty::new();
    let config = takeover().store_limit(LEASE).wait(MS);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    store.next("claim", Fault::SlowAnswer(LEASE - MS), 1);
    let (first, ()) = tokio::join!(here.pay_for(LEASE, 1), async {
        sleep(LEASE + MS).await;
        assert_eq!(refused(there.pay().await).reason, Reason::InFlight);
    });
    assert_eq!((first.unwrap(), there.runs()), ("1".into(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_before_its_operation_claims_again() {
    let store = Faulty::new();
    store.next("claim", Fault::StandsStill(LEASE * 2), 1);
    let process = Process::new(takeover(), &store);
    let run = process
        .handle
        .execute(id(), print(1), |claim: Claim| async move { (claim.is_lost(), Outcome::Release) });
    assert_eq!(run.await, Ok(Answer::Executed(false)));
    assert_eq!(store.calls("claim"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_a_process_that_stood_still_knows_it_before_any_timer() {
    let process = Process::new(takeover(), &Faulty::new());
    let run = process.handle.execute(id(), print(1), |claim: Claim| async move {
        let before = claim.is_lost();
        stand_still(LEASE);
        ((before, claim.is_lost()), Outcome::Release)
    });
    assert_eq!(run.await, Ok(Answer::Executed((false, true))));
}

#[tokio::test(start_paused = true)]
async fn an_operation_does_not_begin_once_a_shutdown_waits_no_longer() {
    let store = Faulty::new();
    store.next("claim", Fault::Slow(SECOND), 1);
    let process = process(&store);
    let (late, ()) = tokio::join!(process.pay(), process.handle.shutdown(10 * MS));
    assert_eq!(refused(late), Refused::shut_down(Executed::No));
    assert_eq!((process.runs(), process.snapshot().ran), (0, 0));
    assert_eq!(process.handle.look(&id()).await.unwrap(), None, "the key is free");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_it_was_given_up_and_released_strands_no_key() {
    let store = Faulty::new();
    let limit = IdempotencyConfig::new().store_limit(SECOND);
    let process = Process::new(limit, &store);
    // Two claims are not answered, within 2 s; the release is; and then one of them arrives.
    store.next("claim", Fault::Late(SECOND * 5 / 2), 1);
    store.next("claim", Fault::Silence, 1);
    assert_eq!(refused(process.pay().await), Refused::store());
    sleep(MS).await;
    assert_eq!((store.calls("release"), process.handle.look(&id()).await.unwrap()), (1, None));
    sleep(SECOND * 3 / 4).await;
    let view = process.handle.look(&id()).await.unwrap().unwrap();
    assert!(matches!(view.state, ViewState::InFlight { .. }), "it has arrived");
    sleep(SECOND).await;
    assert_eq!((store.calls("release"), process.handle.look(&id()).await.unwrap()), (2, None));
    assert_eq!((process.pay().await.unwrap(), process.snapshot().in_flight), ("1".into(), 0));

    // A retry does not wait for that, and is not disturbed by it.
    assert!(process.handle.forget(&id()).await.unwrap());
    store.next("claim", Fault::Silence, 2);
    assert_eq!(refused(process.pay().await), Refused::store());
    let began = Instant::now();
    assert_eq!(process.pay_for(SECOND * 3, 1).await.unwrap(), "2");
    assert_eq!((Instant::now() - began, store.calls("release")), (SECOND * 3, 4));
    assert_eq!(process.pay().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_its_operation_was_released_strands_no_key() {
    let store = Faulty::new();
    let process = Process::new(IdempotencyConfig::new().store_limit(SECOND), &store);
    // The first is silent for 1 s and arrives 750 ms later; the second is granted.
    store.next("claim", Fault::Late(SECOND * 7 / 4), 1);
    let run =
        |n| process.handle.execute(id(), print(1), async move |_: Claim| (n, Outcome::Release));
    let began = Instant::now();
    assert_eq!(run(1).await, Ok(Answer::Executed(1)));
    assert_eq!((Instant::now() - began, store.calls("release")), (SECOND, 1), "its caller is told");
    sleep(SECOND / 2).await;
    // One that comes meanwhile is not disturbed.
    assert_eq!(run(2).await, Ok(Answer::Executed(2)));
    sleep(SECOND * 2).await;
    assert_eq!((store.calls("release"), process.handle.look(&id()).await.unwrap()), (3, None));
    assert_eq!(process.snapshot().in_flight, 0);

    // What was stored or abandoned is not freed by that.
    for outcome in [Outcome::Store("ok".into()), Outcome::Abandon] {
        store.next("claim", Fault::Late(SECOND * 7 / 4), 1);
        let ended = outcome.clone();
        let answer = process.handle.execute(id(), print(1), async move |_: Claim| (3, ended)).await;
        assert_eq!(answer, Ok(Answer::Executed(3)));
        sleep(SECOND * 3).await;
        let view = process.handle.look(&id()).await.unwrap().unwrap();
        assert_eq!(matches!(view.state, ViewState::Abandoned), outcome == Outcome::Abandon);
        assert_eq!((view.attempt.get(), store.calls("release")), (1, 3));
        assert!(process.handle.forget(&id()).await.unwrap());
    }
}

/// Another has the key, and frees it before the claim arrives.
#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_it_was_refused_strands_no_key() {
    let store = Faulty::new();
    let config = IdempotencyConfig::new().store_limit(SECOND).wait(Duration::ZERO);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    let owner = there.handle.execute(id(), print(1), async |_: Claim| {
        sleep(SECOND * 3 / 2).await;
        ((), Outcome::Release)
    });
    let late = async {
        sleep(MS).await;
        store.next("claim", Fault::Late(SECOND * 7 / 4), 1);
        here.pay().await
    };
    let (owned, refused_late) = tokio::join!(owner, late);
    assert_eq!((owned, refused(refused_late).reason), (Ok(Answer::Executed(())), Reason::InFlight));
    sleep(SECOND * 3).await;
    assert_eq!(here.handle.look(&id()).await.unwrap(), None);
    assert_eq!((here.pay().await.unwrap(), here.snapshot().in_flight), ("1".into(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_does_not_get_through_is_a_tombstone_at_last_and_no_second_run() {
    let store = Faulty::new();
    let config = takeover().wait(LEASE * 3);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    // Renewals get through, and a short frame, but nothing that is long.
    store.next("complete", Fault::SilenceIfLong(100), 100);
    let run = here.handle.execute(id(), print(1), |_: Claim| async {
        sleep(LEASE).await;
        (1, Outcome::Store(vec![0; 1000].into()))
    });
    let (first, again) = tokio::join!(run, async {
        sleep(MS).await;
        there.pay().await
    });
    assert_eq!(first, Ok(Answer::Executed(1)));
    assert_eq!((refused(again), there.runs()), (Refused::not_kept(), 0));
    let snapshot = here.snapshot();
    assert_eq!((snapshot.not_kept, snapshot.unsettled, snapshot.lost), (1, 0, 0));
}

/// A result that panics where it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_panics_at_its_drop_after_its_caller_has_left_is_stored_all_the_same() {
    for silences in [0, 3] {
        let store = Faulty::new();
        let process = process(&store);
        // The second time its caller is told, and has gone, before the store answers.
        store.next("complete", Fault::Silence, silences);
        let run = process.handle.execute(id(), print(1), |_: Claim| async {
            sleep(MS).await;
            (Fragile, Outcome::Store("1".into()))
        });
        let mut run = Box::pin(run);
        assert!(poll!(&mut run).is_pending());
        drop(run);
        sleep(SECOND * 20).await;
        assert_eq!((process.snapshot().stored, process.snapshot().in_flight), (1, 0));
        assert_eq!(process.pay().await.unwrap(), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_zombies_result_that_panics_at_its_drop_is_refused_like_any_other() {
    let process = process(&Faulty::new());
    let run = process.handle.execute(id(), print(1), |_: Claim| async {
        sleep(MS * 2).await;
        (Fragile, Outcome::Store("1".into()))
    });
    let (run, ()) = tokio::join!(run, async {
        sleep(MS).await;
        assert!(process.handle.forget(&id()).await.unwrap());
    });
    assert_eq!(run.map(|_| ()), Err(Refused::lost(SECOND)));
    assert_eq!(process.snapshot().lost, 1);
}

/// A waker that panics.
struct Rude(AtomicU32);

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("at the wake");
    }
}

#[tokio::test(start_paused = true)]
async fn wakers_that_panic_cost_nothing_but_their_own_wake() {
    let store = Faulty::new();
    let process = process(&store);
    let rude = Arc::new(Rude(AtomicU32::new(0)));
    let waker = Waker::from(Arc::clone(&rude));
    let mut cx = Context::from_waker(&waker);
    // The leader's caller and a follower, both with such a waker; and a follower that waits well.
    let (mut first, mut second) = (Box::pin(process.pay()), Box::pin(process.pay()));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(process.pay().await.unwrap(), "1");
    assert!(rude.0.load(Ordering::Relaxed) >= 2);
    for mut call in [first, second] {
        let Poll::Ready(reply) = call.as_mut().poll(&mut cx) else { panic!("it has ended") };
        assert_eq!(reply.unwrap(), "1");
    }
    let snapshot = process.snapshot();
    assert_eq!((snapshot.stored, snapshot.in_flight, snapshot.waiting), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_where_a_claim_is_lost_leaves_its_operation_running() {
    let store = Faulty::new();
    let process = Process::new(takeover(), &store);
    let rude = Waker::from(Arc::new(Rude(AtomicU32::new(0))));
    let run = process.handle.execute(id(), print(1), move |claim: Claim| async move {
        let mut lost = Box::pin(claim.lost());
        assert!(lost.as_mut().poll(&mut Context::from_waker(&rude)).is_pending());
        sleep(LEASE).await;
        (claim.is_lost(), Outcome::Release)
    });
    let (run, ()) = tokio::join!(run, async {
        sleep(MS).await;
        assert!(process.handle.forget(&id()).await.unwrap());
    });
    assert_eq!(run, Ok(Answer::Executed(true)));
}

#[test]
fn without_a_timer_a_caller_is_told_by_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let process = process(&Faulty::new());
        let panic = AssertUnwindSafe(process.pay()).catch_unwind().await;
        assert!(panic.is_err(), "{panic:?}");
        assert_eq!(process.runs(), 0);
    });
}

#[tokio::test(start_paused = true)]
async fn an_operation_may_use_its_own_handle_and_its_own_key() {
    let process = Process::new(IdempotencyConfig::new().wait(10 * MS), &Faulty::new());
    let handle = process.handle.clone();
    let run = process.handle.run(id(), print(1), AsBytes, move |_: Claim| async move {
        // A duplicate of itself waits in vain.
        let again = handle.run(id(), print(1), AsBytes, |_: Claim| async { Ok(Bytes::new()) });
        assert_eq!(refused(again.await), Refused::in_flight(SECOND));
        let view = handle.look(&id()).await.unwrap().unwrap();
        assert!(matches!(view.state, ViewState::InFlight { .. }));
        Ok::<_, Failed>(Bytes::from("outer"))
    });
    assert_eq!(run.await.unwrap(), "outer");
}
