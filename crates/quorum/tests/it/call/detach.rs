//! Losers that finish in the background, and when they do not.

use std::{num::NonZeroUsize, time::Duration};

use steadfast_core::{
    DefaultClassifier, Detach, DetachConfig, Executed, Grounds, NoContext, RefusalKind,
};
use steadfast_quorum::{CallConfig, Cancel, OnDecided, QuorumCall};
use steadfast_testkit::{Control, Probe, Readiness, Reply};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

use super::{MS, call_over, live_futures, majority_of, script, since};

type Detaching = QuorumCall<Probe, DefaultClassifier, NoContext, Detach>;

fn within(limit: Duration) -> Detach {
    Detach::new(DetachConfig::new().limit(limit)).unwrap()
}

fn detaching(detach: &Detach) -> (Vec<Control>, Detaching) {
    let (nodes, call) = call_over(majority_of(5), CallConfig::all_at_once());
    (nodes, call.on_decided(detach.clone()))
}

fn completed(nodes: &[Control]) -> u64 {
    nodes.iter().map(|node| node.counts().completed).sum()
}

#[tokio::test(start_paused = true)]
async fn a_write_reaches_every_node_though_a_quorum_was_enough() {
    let detach = within(1000 * MS);
    let (nodes, mut call) = detaching(&detach);
    script(&nodes, [1, 2, 3, 40, 50].map(|ms| Reply::echo().after(ms * MS)));
    let start = Instant::now();
    call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((since(start), live_futures(&nodes), detach.snapshot().in_flight), (3 * MS, 2, 1));
    detach.idle().await;
    assert_eq!((since(start), completed(&nodes), live_futures(&nodes)), (50 * MS, 5, 0));
    assert_eq!(detach.snapshot().finished, 1);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_point_a_write_goes_on() {
    for polled in [false, true] {
        let detach = within(1000 * MS);
        let (nodes, mut call) = detaching(&detach);
        nodes.iter().for_each(|node| node.always(Reply::echo().after(5 * MS)));
        let mut task = tokio_test::task::spawn(call.ready().await.unwrap().call(7));
        if polled {
            assert!(task.poll().is_pending());
        }
        drop(task);
        assert_eq!(live_futures(&nodes), 5);
        detach.idle().await;
        assert_eq!((completed(&nodes), live_futures(&nodes)), (5, 0), "polled: {polled}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_lost_goes_on_too() {
    let detach = within(1000 * MS);
    let (nodes, mut call) = detaching(&detach);
    script(
        &nodes,
        [
            Reply::error(),
            Reply::error(),
            Reply::error(),
            Reply::echo().after(MS),
            Reply::echo().after(MS),
        ],
    );
    call.ready().await.unwrap().call(7).await.unwrap_err();
    detach.idle().await;
    assert_eq!(completed(&nodes), 5);
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_limit_is_cancelled() {
    let detach = within(30 * MS);
    let (nodes, mut call) = detaching(&detach);
    script(&nodes, [1, 2, 3, 10, 50].map(|ms| Reply::echo().after(ms * MS)));
    call.ready().await.unwrap().call(7).await.unwrap();
    detach.idle().await;
    assert_eq!((completed(&nodes), live_futures(&nodes)), (4, 0));
    assert_eq!((detach.snapshot().timed_out, detach.snapshot().finished), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_would_be_too_many_is_cancelled() {
    let detach =
        Detach::new(DetachConfig::new().limit(1000 * MS).most(NonZeroUsize::new(2).unwrap()))
            .unwrap();
    let (nodes, mut call) = detaching(&detach);
    script(&nodes, [0, 0, 0, 40, 50].map(|ms| Reply::echo().after(ms * MS)));
    for _ in 0..3 {
        call.ready().await.unwrap().call(7).await.unwrap();
    }
    assert_eq!(
        (detach.snapshot().in_flight, detach.snapshot().refused, live_futures(&nodes)),
        (2, 1, 4)
    );
    assert_eq!(Detach::new(DetachConfig::new().limit(Duration::ZERO)).unwrap_err().field, "limit");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_all_and_lets_nobody_in() {
    let detach = within(1000 * MS);
    let (nodes, mut call) = detaching(&detach);
    script(&nodes, [0, 0, 0, 40, 50].map(|ms| Reply::echo().after(ms * MS)));
    call.ready().await.unwrap().call(7).await.unwrap();
    let start = Instant::now();
    detach.shutdown().await;
    assert_eq!((since(start), completed(&nodes)), (50 * MS, 5));
    call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!(
        (detach.snapshot().refused, live_futures(&nodes)),
        (1, 0),
        "cancelled, as no task can run"
    );
    detach.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_background_is_counted_and_holds_up_no_shutdown() {
    let detach = within(1000 * MS);
    let (nodes, mut call) = detaching(&detach);
    nodes.iter().for_each(|node| node.always(Reply::echo()));
    nodes[4].always(Reply::panic().after(MS));
    call.ready().await.unwrap().call(7).await.unwrap();
    sleep(2 * MS).await;
    detach.shutdown().await;
    assert_eq!((detach.snapshot().broken, detach.snapshot().in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_one_node_leaves_the_writes_of_the_others_alone() {
    let detach = within(1000 * MS);
    let (nodes, mut call) = detaching(&detach);
    let soon = |ms: u32| Reply::echo().after(ms * MS);
    // In the background …
    script(
        &nodes,
        [Reply::echo(), Reply::echo(), Reply::echo(), Reply::panic().after(MS), soon(5)],
    );
    call.ready().await.unwrap().call(7).await.unwrap();
    detach.idle().await;
    assert_eq!((nodes[4].counts().completed, detach.snapshot().broken), (1, 1));
    // … and before it is decided.
    script(&nodes, [Reply::panic().after(MS), soon(5), soon(5), soon(5), soon(5)]);
    let panicked = tokio::spawn(call.ready().await.unwrap().call(7)).await.unwrap_err();
    assert!(panicked.is_panic());
    detach.idle().await;
    assert_eq!((nodes[4].counts().completed, detach.snapshot().finished), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_ready_may_yet_execute_what_is_detached() {
    for goes_on in [true, false] {
        let detach = within(1000 * MS);
        if !goes_on {
            detach.shutdown().await;
        }
        let (nodes, mut call) = detaching(&detach);
        let refuse = || Grounds::not_executed(RefusalKind::TooMany).into();
        nodes.iter().for_each(|node| node.always(Reply::error_from(refuse)));
        nodes[0].always_ready(Readiness::Pending);
        nodes[4].always_ready(Readiness::Pending);
        let lost = call.ready().await.unwrap().call(7).await.unwrap_err();
        assert_eq!(lost.grounds().executed == Executed::Maybe, goes_on);
    }
}

#[test]
fn outside_of_a_runtime_it_is_cancelled() {
    let detach = within(MS);
    detach.let_go(std::future::pending());
    let snapshot = detach.snapshot();
    assert_eq!((snapshot.refused, snapshot.broken, snapshot.in_flight), (1, 0, 0));
    Cancel.let_go(());
}
