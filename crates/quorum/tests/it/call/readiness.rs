//! A node that is not ready holds nobody up.

use std::task::Poll;

use steadfast_quorum::{CallError, Plan, QuorumCall, Threshold};
use steadfast_testkit::{Probe, Readiness, Reply};
use tokio_test::task::spawn;
use tower::{Service, ServiceExt, limit::ConcurrencyLimit};

use super::{MS, call_over, calls, majority_of, script, set, timed};

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_a_quorum_is_and_wakes_whoever_waits_for_that() {
    let (nodes, mut call) = call_over(majority_of(3), Plan::all_at_once());
    nodes[0].always_ready(Readiness::Pending);
    nodes[1].always_ready(Readiness::Pending);
    let mut task = spawn(());
    assert!(task.enter(|cx, _| call.poll_ready(cx)).is_pending());
    nodes[1].release_readiness();
    assert!(task.is_woken());
    assert!(task.enter(|cx, _| call.poll_ready(cx)).is_ready());
    let answers = call.call(7).await.unwrap();
    assert_eq!((answers.yes(), answers.out()), (set([1, 2]), set([0])));
    assert_eq!(calls(&nodes), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_those_who_are_ready_is_called_first() {
    let (nodes, mut call) = call_over(majority_of(5), Plan::quorum_first());
    nodes[0].always_ready(Readiness::Pending);
    nodes[2].always_ready(Readiness::Pending);
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((answers.yes(), calls(&nodes)), (set([1, 3, 4]), vec![0, 1, 0, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gets_ready_inside_the_call_is_called_then() {
    let (nodes, mut call) = call_over(majority_of(3), Plan::all_at_once());
    nodes[2].always_ready(Readiness::Pending);
    script(&nodes, [Reply::echo(), Reply::error(), Reply::echo()]);
    let mut task = spawn(call.ready().await.unwrap().call(7));
    assert!(task.poll().is_pending());
    nodes[2].release_readiness();
    assert!(task.is_woken());
    let Poll::Ready(Ok(answers)) = task.poll() else { panic!("it is decided") };
    assert_eq!(answers.yes(), set([0, 2]));
    assert_eq!(nodes[2].counts().unready_calls, 0);
}

#[tokio::test]
async fn who_fails_readiness_has_voted_no_and_was_not_executed() {
    let (nodes, mut call) = call_over(majority_of(3), Plan::all_at_once());
    nodes[0].always_ready(Readiness::Error);
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((answers.yes(), answers.no()), (set([1, 2]), set([0])));
    nodes.iter().for_each(|node| node.always_ready(Readiness::Error));
    let Err(CallError::Lost { answers, grounds }) = call.ready().await.map(drop) else { panic!("no quorum is left") };
    assert_eq!((answers.errors().count(), grounds.may_have_executed), (3, false));
    // They are asked again.
    nodes.iter().for_each(|node| node.always_ready(Readiness::Ready));
    assert!(call.ready().await.unwrap().call(7).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_instance_that_waits_in_line_is_the_one_that_is_called() {
    let one_at_a_time = |_| ConcurrencyLimit::new(Probe::new(), 1);
    let services: Vec<_> = (0..3).map(one_at_a_time).collect();
    let nodes: Vec<_> = services.iter().map(|service| service.get_ref().control()).collect();
    let mut call =
        QuorumCall::new(Threshold::of(3, 3).unwrap(), services.clone().into_iter().enumerate(), Plan::all_at_once());
    let call = call.as_mut().unwrap();
    // Another has the one permit of node 2, and a call waits for it in line.
    let mut other = services[2].clone();
    nodes[2].script([Reply::echo().after(5 * MS)]);
    let busy = tokio::spawn(other.ready().await.unwrap().call(1));
    let (outcome, took) = timed(call).await;
    assert_eq!((outcome.unwrap().yes(), took), (set([0, 1, 2]), 5 * MS));
    busy.await.unwrap().unwrap();
    let counts = nodes[2].counts();
    assert_eq!((counts.calls, counts.unready_calls), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_in_line_does_not_keep_the_place_it_gave_to_a_call() {
    // A quorum of two is ready, the third waits for its permit inside the call; when that is over, nobody must hold the permit.
    let services: Vec<_> = (0..3).map(|_| ConcurrencyLimit::new(Probe::new(), 1)).collect();
    let nodes: Vec<_> = services.iter().map(|service| service.get_ref().control()).collect();
    let plan = Plan::all_at_once();
    let mut call = QuorumCall::new(majority_of(3), services.clone().into_iter().enumerate(), plan).unwrap();
    let mut other = services[2].clone();
    nodes[2].script([Reply::echo().after(5 * MS)]);
    let busy = tokio::spawn(other.ready().await.unwrap().call(1));
    assert!(timed(&mut call).await.0.is_ok());
    busy.await.unwrap().unwrap();
    let free = tokio::time::timeout(MS, services[2].clone().oneshot(2)).await;
    assert!(free.is_ok(), "the permit of node 2 is held by somebody who does not use it");
}

#[tokio::test]
async fn a_call_without_asking_for_readiness_asks_for_it_itself() {
    let (nodes, mut call) = call_over(majority_of(3), Plan::all_at_once());
    assert!(call.call(7).await.is_ok());
    assert!(nodes.iter().all(|node| node.counts().unready_calls == 0));
}

#[test]
fn nobody_is_woken_for_nothing() {
    let (nodes, mut call) = call_over(majority_of(3), Plan::all_at_once());
    nodes.iter().for_each(|node| node.always_ready(Readiness::Pending));
    let mut task = spawn(());
    (0..3).for_each(|_| assert!(task.enter(|cx, _| call.poll_ready(cx)).is_pending()));
    assert!(!task.is_woken());
}
