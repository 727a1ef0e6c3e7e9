//! What duplicates meet: in one process, and in two that share a store.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::future::join_all;
use steadfast_idempotency::{Answer, IdempotencyConfig, OnAbandoned, Outcome, Reason, Refused};
use tokio::time::{Instant, advance, sleep};

use crate::support::{Faulty, LEASE, MS, Process, refused};

fn config() -> IdempotencyConfig {
    IdempotencyConfig::new()
}

#[tokio::test(start_paused = true)]
async fn many_at_once_run_once_and_get_one_reply_with_one_question_to_the_store() {
    let store = Faulty::new();
    let process = Process::new(config(), &store);
    let replies = join_all((0..64).map(|_| process.pay())).await;
    assert!(replies.into_iter().all(|reply| reply.unwrap() == "1"));
    assert_eq!((process.runs(), store.calls("claim")), (1, 1));
    let snapshot = process.snapshot();
    assert_eq!((snapshot.ran, snapshot.stored, snapshot.replayed), (1, 1, 63));
    assert_eq!((snapshot.in_flight, snapshot.waiting, snapshot.refused), (0, 0, 0));
    // And once more, out of the store.
    assert_eq!(process.pay().await.unwrap(), "1");
    assert_eq!((process.runs(), store.calls("claim")), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_racers_in_two_processes_run_once_in_each_of_two_hundred_rounds() {
    for round in 0..200 {
        let store = Faulty::new();
        let processes = [Process::new(config(), &store), Process::new(config(), &store)];
        let racers = (0..64).map(|n| {
            let process = processes[n % 2].clone();
            tokio::spawn(async move { process.pay_for(Duration::ZERO, 1).await.unwrap() })
        });
        for reply in join_all(racers.collect::<Vec<_>>()).await {
            assert_eq!(reply.unwrap(), "1");
        }
        assert_eq!(processes[0].runs() + processes[1].runs(), 1, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_in_another_process_waits_and_replays() {
    let store = Faulty::new();
    let (here, there) = (Process::new(config(), &store), Process::new(config(), &store));
    let began = Instant::now();
    let (first, others) = tokio::join!(here.pay(), async {
        sleep(10 * MS).await;
        join_all((0..10).map(|_| there.pay())).await
    });
    assert_eq!((first.unwrap(), there.runs()), ("1".into(), 0));
    assert!(others.into_iter().all(|reply| reply.unwrap() == "1"));
    // One asks for all of them, at growing intervals.
    assert!(store.calls("claim") < 8, "{}", store.calls("claim"));
    assert!(Instant::now() - began < 400 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_waits_in_vain_is_told_when_to_come_back() {
    let store = Faulty::new();
    let config = config().wait(50 * MS).retry_after(7 * MS);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    let vain = async |process: &Process| {
        sleep(MS).await;
        let began = Instant::now();
        assert_eq!(refused(process.pay().await), Refused::in_flight(7 * MS));
        let waited = Instant::now() - began;
        assert!((50 * MS..53 * MS).contains(&waited), "{waited:?}");
    };
    let (first, (), ()) = tokio::join!(here.pay(), vain(&here), vain(&there));
    assert_eq!(first.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_a_duplicate_is_refused_at_once() {
    let store = Faulty::new();
    let config = config().wait(Duration::ZERO);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    let (first, again, elsewhere) = tokio::join!(here.pay(), here.pay(), async {
        sleep(MS).await;
        there.pay().await
    });
    assert_eq!(first.unwrap(), "1");
    for reply in [again, elsewhere] {
        assert_eq!(refused(reply), Refused::in_flight(Duration::from_secs(1)));
    }
    assert_eq!((here.snapshot().refused, there.snapshot().refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn another_payload_is_refused_while_the_first_runs_and_afterwards_here_and_elsewhere() {
    let store = Faulty::new();
    let (here, there) = (Process::new(config(), &store), Process::new(config(), &store));
    let (first, other, elsewhere) = tokio::join!(here.pay(), here.pay_for(MS, 2), async {
        sleep(MS).await;
        there.pay_for(MS, 2).await
    });
    assert_eq!(first.unwrap(), "1");
    for reply in [other, elsewhere, here.pay_for(MS, 2).await, there.pay_for(MS, 2).await] {
        assert_eq!(refused(reply), Refused::mismatch());
    }
    assert_eq!((here.runs(), there.runs()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn duplicates_that_wait_are_bounded() {
    let process = Process::new(config().most_waiting(3), &Faulty::new());
    let replies = join_all((0..10).map(|_| process.pay())).await;
    let (replayed, turned_away): (Vec<_>, _) = replies.into_iter().partition(Result::is_ok);
    assert_eq!((replayed.len(), turned_away.len()), (4, 6));
    assert!(turned_away.into_iter().all(|reply| refused(reply).reason == Reason::InFlight));
}

#[tokio::test(start_paused = true)]
async fn what_was_released_is_run_by_one_that_waited() {
    let process = Process::new(config(), &Faulty::new());
    let (first, second) = tokio::join!(process.end(Outcome::Release), process.pay());
    assert_eq!((first, second.unwrap()), (Ok(Answer::Executed(1)), "2".into()));
}

#[tokio::test(start_paused = true)]
async fn duplicates_of_what_was_abandoned_are_refused_for_good_with_one_question_to_the_store() {
    let store = Faulty::new();
    let process = Process::new(config(), &store);
    let (first, others) =
        tokio::join!(process.end(Outcome::Abandon), join_all((0..10).map(|_| process.pay())));
    assert_eq!(first, Ok(Answer::Executed(1)));
    assert!(others.into_iter().all(|reply| refused(reply) == Refused::abandoned()));
    assert_eq!((process.runs(), store.calls("claim")), (1, 1));
    advance(LEASE).await;
    assert_eq!(refused(process.pay().await), Refused::abandoned(), "after its lease too");
}

#[tokio::test(start_paused = true)]
async fn a_takeover_waits_for_the_lease_and_its_operation_can_tell() {
    let store = Faulty::new();
    let config = config().on_abandoned(OnAbandoned::Takeover).wait(MS);
    let process = Process::new(config, &store);
    assert_eq!(process.end(Outcome::Abandon).await, Ok(Answer::Executed(1)));
    assert_eq!(refused(process.pay().await).reason, Reason::InFlight);
    advance(LEASE).await;
    let attempt = process.handle.execute(
        crate::support::id(),
        crate::support::print(1),
        |claim| async move { (claim.attempt().get(), Outcome::Release) },
    );
    assert_eq!(attempt.await, Ok(Answer::Executed(2)));
    // That it was not executed says nothing of the first.
    let view = process.handle.look(&crate::support::id()).await.unwrap().unwrap();
    assert_eq!(view.attempt.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_forgotten_runs_again() {
    let process = Process::new(config(), &Faulty::new());
    assert_eq!(process.end(Outcome::Abandon).await, Ok(Answer::Executed(1)));
    assert!(process.handle.forget(&crate::support::id()).await.unwrap());
    assert_eq!(process.pay().await.unwrap(), "2");
}

type Met = Result<Answer<u32>, Refused>;

/// A caller that sends a duplicate at once where it is told.
struct Eager {
    process: Process,
    /// What the duplicate has met at its first poll.
    met: Mutex<Option<Poll<Met>>>,
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        let mut call = Box::pin(self.process.end(Outcome::Release));
        let met = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        *self.met.lock().unwrap() = Some(met);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_was_told_finds_nothing_under_way_any_more() {
    for before in [None, Some(Outcome::Abandon), Some(Outcome::Store("1".into()))] {
        for end in [Outcome::Store("1".into()), Outcome::Release, Outcome::Abandon] {
            let process = Process::new(config().wait(Duration::ZERO), &Faulty::new());
            if let Some(before) = before.clone() {
                assert!(process.end(before).await.is_ok());
            }
            let eager = Arc::new(Eager { process: process.clone(), met: Mutex::default() });
            let mut call = Box::pin(process.end_after(MS, end.clone()));
            let waker = Waker::from(Arc::clone(&eager));
            assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            sleep(2 * MS).await;
            // It has begun to ask for itself.
            let met = eager.met.lock().unwrap().take();
            assert_eq!(met, Some(Poll::Pending), "{before:?}, {end:?}");
        }
    }
}
