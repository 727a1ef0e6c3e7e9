//! Callers that leave, and the end of the program.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::poll;
use steadfast_core::Executed;
use steadfast_idempotency::{
    AsBytes, Claim, IdempotencyConfig, Outcome, Reason, Refused, ViewState,
};
use tokio::time::{Instant, sleep};

use crate::support::{Failed, Fault, Faulty, MS, Process, id, print, refused};

fn process(store: &Faulty) -> Process {
    Process::new(IdempotencyConfig::new(), store)
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_at_any_moment_strands_nothing_and_its_retry_gets_the_reply() {
    for polls in 1..12 {
        let store = Faulty::new();
        // Time passes in the claim and in the completion, so that there are moments within them.
        store.next("claim", Fault::Slow(3 * MS), 1);
        store.next("complete", Fault::Slow(3 * MS), 1);
        let process = process(&store);
        let mut call = Box::pin(process.pay_for(3 * MS, 1));
        for _ in 0..polls {
            if poll!(&mut call).is_ready() {
                break;
            }
            sleep(MS).await;
        }
        drop(call);
        assert_eq!(process.pay().await.unwrap(), "1", "left after {polls} polls");
        assert_eq!(process.runs(), 1, "left after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_polled_does_nothing() {
    let store = Faulty::new();
    let process = process(&store);
    drop(process.pay());
    sleep(Duration::from_secs(1)).await;
    assert_eq!((process.runs(), store.calls("claim")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_leaves_gives_its_seat_back() {
    let process = Process::new(IdempotencyConfig::new().most_waiting(1), &Faulty::new());
    let (first, again) = tokio::join!(process.pay(), async {
        for _ in 0..3 {
            let mut waits = Box::pin(process.pay());
            assert!(poll!(&mut waits).is_pending());
            assert_eq!(process.snapshot().waiting, 1);
        }
        assert_eq!(process.snapshot().waiting, 0);
        process.pay().await
    });
    assert_eq!((first.unwrap(), again.unwrap()), ("1".into(), "1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_full_handle_refuses_before_it_claims() {
    let store = Faulty::new();
    let most = std::num::NonZeroUsize::MIN;
    let process = Process::new(IdempotencyConfig::new().most_in_flight(most), &store);
    let other = |key: &'static str| {
        let id = steadfast_idempotency::RecordId::new("bob", key).unwrap();
        process.handle.run(id, print(1), AsBytes, |_| async { Ok::<_, Failed>(Bytes::new()) })
    };
    let (first, turned_away) = tokio::join!(process.pay(), other("a"));
    assert_eq!((first.unwrap(), refused(turned_away)), ("1".into(), Refused::full()));
    assert_eq!(store.calls("claim"), 1);
    assert!(other("a").await.is_ok(), "there is a place again");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_is_under_way_and_refuses_what_comes() {
    let process = process(&Faulty::new());
    let (first, late, ()) = tokio::join!(
        process.pay(),
        async {
            sleep(MS).await;
            let id = steadfast_idempotency::RecordId::new("bob", "late").unwrap();
            let run = |_| async { Ok::<_, Failed>(Bytes::new()) };
            process.handle.run(id, print(1), AsBytes, run).await
        },
        process.handle.shutdown(Duration::from_secs(10))
    );
    assert_eq!(first.unwrap(), "1");
    assert_eq!(refused(late), Refused::shut_down(Executed::No));
    assert!(process.snapshot().is_shut_down && process.snapshot().in_flight == 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_a_shutdown_an_operation_is_cancelled_and_its_key_abandoned() {
    let store = Faulty::new();
    let process = process(&store);
    let dropped = Arc::new(());
    let guard = Arc::clone(&dropped);
    let hangs = process.handle.execute(id(), print(1), |_: Claim| async move {
        let _guard = guard;
        pending::<((), Outcome)>().await
    });
    let began = Instant::now();
    let (hung, ()) = tokio::join!(hangs, process.handle.shutdown(100 * MS));
    assert_eq!(hung, Err(Refused::shut_down(Executed::Maybe)));
    assert!(Instant::now() - began <= 101 * MS);
    assert_eq!(Arc::strong_count(&dropped), 1);
    let view = process.handle.look(&id()).await.unwrap().unwrap();
    assert_eq!(view.state, ViewState::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_though_the_store_is_silent() {
    let store = Faulty::new();
    store.next("abandon", Fault::Silence, 100);
    let limit = Duration::from_secs(2);
    let process = Process::new(IdempotencyConfig::new().store_limit(limit), &store);
    let hangs = process.handle.execute(id(), print(1), |_: Claim| pending::<((), Outcome)>());
    let began = Instant::now();
    let (hung, ()) = tokio::join!(hangs, process.handle.shutdown(100 * MS));
    assert_eq!(hung.unwrap_err().reason, Reason::ShutDown);
    assert!(Instant::now() - began <= 100 * MS + limit * 2);
}

#[test]
fn a_task_that_ends_with_its_runtime_leaves_its_key_to_the_lease() {
    let store = Faulty::new();
    let process = process(&store);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    first.block_on(async {
        let mut call = Box::pin(process.pay_for(Duration::from_secs(60), 1));
        assert!(poll!(&mut call).is_pending());
        while store.calls("claim") == 0 {
            tokio::task::yield_now().await;
        }
    });
    drop(first);
    // Its flight has ended with it: the next asks the store, which knows of a claim.
    let process = Process { handle: process.handle, runs: process.runs };
    let reply = runtime()
        .block_on(async { tokio::time::timeout(20 * MS, process.pay()).await.map(refused) });
    assert!(reply.is_err() && process.runs.load(Ordering::Relaxed) == 0, "{reply:?}");
    assert!(store.calls("claim") > 1);
}
