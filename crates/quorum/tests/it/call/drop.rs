//! Calls that are dropped at every point leave nothing behind, unless they were told to.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

use steadfast_quorum::{CallConfig, Threshold};
use steadfast_testkit::{Control, Readiness, Reply};
use tokio_test::task::spawn;
use tower::{Service, ServiceExt};

use super::{MS, call_over, live_futures, majority_of};

fn handles(nodes: &[Control]) -> u64 {
    nodes.iter().map(|node| node.counts().live_handles).sum()
}

/// Lets held answers of five nodes go one by one, and drops the call after `steps` of them.
async fn dropped_after(steps: usize, config: CallConfig) {
    let (nodes, mut call) = call_over(majority_of(5), config);
    nodes.iter().for_each(|node| node.always(Reply::echo().held()));
    let before = handles(&nodes);
    let future = call.ready().await.unwrap().call(7);
    let mut task = spawn(future);
    for node in nodes.iter().take(steps) {
        let _ = task.poll();
        node.release_all();
    }
    if steps > 0 {
        let _ = task.poll();
    }
    drop(task);
    assert_eq!(live_futures(&nodes), 0, "after {steps} answers");
    assert_eq!(handles(&nodes), before, "after {steps} answers");
}

#[tokio::test(start_paused = true)]
async fn dropped_before_its_first_poll_or_after_any_answer_it_cancels_its_nodes() {
    for steps in 0..=3 {
        dropped_after(steps, CallConfig::all_at_once()).await;
        dropped_after(steps, CallConfig::quorum_first()).await;
        dropped_after(steps, CallConfig::staggered(10 * MS)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_while_a_node_is_not_ready_it_leaves_no_place_in_line() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes[0].always_ready(Readiness::Pending);
    nodes[1].always(Reply::echo().held());
    let before = handles(&nodes);
    let mut task = spawn(call.ready().await.unwrap().call(7));
    assert!(task.poll().is_pending());
    drop(task);
    assert_eq!((live_futures(&nodes), handles(&nodes)), (0, before));
}

#[tokio::test(start_paused = true)]
async fn losers_are_let_go_with_the_decision_and_not_with_the_future() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes[2].always(Reply::echo().held());
    let mut future = Box::pin(call.ready().await.unwrap().call(7));
    assert!((&mut future).await.is_ok());
    assert_eq!(live_futures(&nodes), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_held_for_nodes_that_are_not_called_is_let_go_with_the_decision() {
    let (nodes, mut call) = call_over(Threshold::of(1, 3).unwrap(), CallConfig::quorum_first());
    let before = handles(&nodes);
    let mut future: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(call.ready().await.unwrap().call(7));
    assert!((&mut future).await.is_ok());
    // The future is still there, as it is while its output is looked at.
    assert_eq!((live_futures(&nodes), handles(&nodes)), (0, before));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_one_node_comes_out_and_cancels_the_others() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes[0].always(Reply::echo().held());
    nodes[1].always(Reply::panic());
    nodes[2].always(Reply::echo().held());
    let future = call.ready().await.unwrap().call(7);
    let panicked = tokio::spawn(future).await.unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!(live_futures(&nodes), 0);
    nodes.iter().for_each(|node| node.always(Reply::echo()));
    assert!(call.ready().await.unwrap().call(7).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn polled_again_after_a_panic_it_goes_on_with_the_other_nodes() {
    // All five are in one allocation. The one that panicked is not polled again, and keeps nothing.
    for panics in 0..5 {
        let (nodes, mut call) = call_over(majority_of(5), CallConfig::all_at_once());
        nodes.iter().for_each(|node| node.always(Reply::echo().held()));
        nodes[panics].always(Reply::panic());
        let before = handles(&nodes);
        let mut task = spawn(call.ready().await.unwrap().call(7));
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(task.poll())));
        assert!(panicked.is_err(), "node {panics}");
        assert!(task.poll().is_pending(), "node {panics}");
        nodes.iter().for_each(|node| node.release_all());
        let Poll::Ready(Ok(answers)) = task.poll() else {
            panic!("a quorum is left without node {panics}")
        };
        assert!(!answers.yes().contains(panics) && answers.out().contains(panics));
        assert_eq!((live_futures(&nodes), handles(&nodes)), (0, before), "node {panics}");
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it had ended")]
async fn polled_again_after_its_end_it_is_not_won_again_without_an_answer() {
    let (_, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    let mut future = Box::pin(call.ready().await.unwrap().call(7));
    assert!((&mut future).await.is_ok());
    let _ = future.await;
}
