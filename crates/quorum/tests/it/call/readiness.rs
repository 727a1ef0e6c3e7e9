//! A node that is not ready does not hold up the others.

use std::{task::Poll, time::Duration};

use steadfast_core::{Deadline, Executed, Verdict};
use steadfast_quorum::{CallConfig, CallError, Expr, Expression, QuorumCall, Rule, Threshold};
use steadfast_testkit::{Control, Probe, Readiness, Reply};
use tokio_test::task::spawn;
use tower::{Service, ServiceExt, limit::ConcurrencyLimit};

use super::{MS, call_over, calls, majority_of, script, set, timed};

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_a_node_is_and_wakes_whoever_waits_for_that() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes.iter().for_each(|node| node.always_ready(Readiness::Pending));
    let mut task = spawn(());
    assert!(task.enter(|cx, _| call.poll_ready(cx)).is_pending());
    nodes[1].release_readiness();
    assert!(task.is_woken());
    assert!(task.enter(|cx, _| call.poll_ready(cx)).is_ready());
    let mut task = spawn(call.call(7));
    assert!(task.poll().is_pending());
    assert_eq!(calls(&nodes), [0, 1, 0]);
    nodes[2].release_readiness();
    assert!(task.is_woken());
    let Poll::Ready(Ok(answers)) = task.poll() else { panic!("it is decided") };
    assert_eq!(
        (answers.yes(), answers.out(), calls(&nodes)),
        (set([1, 2]), set([0]), vec![0, 1, 1])
    );
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_the_nodes_that_are_ready_is_called_first() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::quorum_first());
    nodes[0].always_ready(Readiness::Pending);
    nodes[2].always_ready(Readiness::Pending);
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((answers.yes(), calls(&nodes)), (set([1, 3, 4]), vec![0, 1, 0, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gets_ready_inside_the_call_is_called_then() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
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
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes[0].always_ready(Readiness::Error);
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((answers.yes(), answers.no()), (set([1, 2]), set([0])));
    nodes.iter().for_each(|node| node.always_ready(Readiness::Error));
    let Err(CallError::Lost { answers, grounds }) = call.ready().await.map(drop) else {
        panic!("no quorum is left")
    };
    assert_eq!((answers.errors().count(), grounds.executed), (3, Executed::No));
    // They are asked again.
    nodes.iter().for_each(|node| node.always_ready(Readiness::Ready));
    assert!(call.ready().await.unwrap().call(7).await.is_ok());
}

/// Probes that take one call at a time.
fn one_at_a_time(count: usize) -> (Vec<Control>, Vec<ConcurrencyLimit<Probe>>) {
    let services: Vec<_> = (0..count).map(|_| ConcurrencyLimit::new(Probe::new(), 1)).collect();
    (services.iter().map(|service| service.get_ref().control()).collect(), services)
}

fn limited(
    rule: impl Rule + Send + Sync + 'static,
    services: &[ConcurrencyLimit<Probe>],
    config: CallConfig,
) -> QuorumCall<ConcurrencyLimit<Probe>> {
    QuorumCall::new(rule, services.iter().cloned().enumerate(), config).unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_node_that_is_asked_and_not_called_is_given_back() {
    let (nodes, services) = one_at_a_time(3);
    let mut call = limited(majority_of(3), &services, CallConfig::quorum_first());
    nodes[0].script([Reply::echo().after(5 * MS)]);
    let busy = tokio::spawn(services[0].clone().ready().await.unwrap().call(1));
    assert!(timed(&mut call).await.0.is_ok());
    busy.await.unwrap().unwrap();
    let free = tokio::time::timeout(MS, services[0].clone().oneshot(2)).await;
    assert!(free.is_ok(), "an idle handle stands in line for node 0, and got its permit");
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_a_permit_that_its_own_handle_holds() {
    // Node 0 is busy, and asked in vain; it is free again by the time node 1 has failed.
    let (nodes, services) = one_at_a_time(3);
    let mut call = limited(majority_of(3), &services, CallConfig::quorum_first());
    nodes[0].script([Reply::echo().after(5 * MS)]);
    let busy = tokio::spawn(services[0].clone().ready().await.unwrap().call(1));
    nodes[1].always(Reply::error().after(MS));
    let (outcome, took) = tokio::time::timeout(HOUR, timed(&mut call)).await.unwrap();
    assert_eq!((outcome.unwrap().yes(), took), (set([0, 2]), 5 * MS));
    busy.await.unwrap().unwrap();
    // Nodes 1 and 2 are asked, for they come before node 3, and not called: it takes node 3 and one
    // of them.
    let (nodes, services) = one_at_a_time(4);
    let rule = Expression::new(Expr::from(3) & Expr::any([0, 1, 2])).unwrap();
    let mut call = limited(rule, &services, CallConfig::quorum_first());
    nodes[0].always(Reply::error());
    let (outcome, _) = tokio::time::timeout(HOUR, timed(&mut call)).await.unwrap();
    assert_eq!(outcome.unwrap().yes(), set([1, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_too_late_holds_nothing() {
    let (_, services) = one_at_a_time(3);
    let past = Deadline::at(tokio::time::Instant::now().into_std());
    let mut call = limited(majority_of(3), &services, CallConfig::all_at_once())
        .context(move |_: &u32| Some(past));
    call.ready().await.unwrap().call(7).await.unwrap_err();
    for service in services {
        assert!(tokio::time::timeout(MS, service.oneshot(2)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_want_the_same_nodes_never_wait_for_each_other_in_a_circle() {
    for config in
        [CallConfig::all_at_once(), CallConfig::quorum_first().rotate(), CallConfig::staggered(MS)]
    {
        for needed in [2, 3] {
            let (nodes, services) = one_at_a_time(3);
            // Some fail, so that others are turned to; all give way, so that calls meet at every
            // point.
            let replies = (0..2400)
                .map(|n| if n % 5 == 0 { Reply::error() } else { Reply::echo() }.after(n % 3 * MS));
            nodes.iter().for_each(|node| node.script(replies.clone()));
            let call = limited(Threshold::of(needed, 3).unwrap(), &services, config.clone());
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..8 {
                let mut call = call.clone();
                tasks.spawn(async move {
                    for _ in 0..100 {
                        let _ = call.ready().await.unwrap().call(n).await;
                    }
                });
            }
            let done = tokio::time::timeout(HOUR, tasks.join_all()).await;
            assert!(done.is_ok(), "{needed} of 3 by {config:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handles_that_wait_for_the_same_nodes_get_them_in_turn() {
    let (_, services) = one_at_a_time(2);
    let mut first = limited(Threshold::of(2, 2).unwrap(), &services, CallConfig::all_at_once());
    let mut second = first.clone();
    // Both nodes are taken while the first handle asks; node 1 comes free for it, node 0 for the
    // second.
    let mut busy = [services[0].clone(), services[1].clone()];
    busy[0].ready().await.unwrap();
    busy[1].ready().await.unwrap();
    let (mut one, mut two) = (spawn(()), spawn(()));
    assert!(one.enter(|cx, _| first.poll_ready(cx)).is_pending());
    assert!(two.enter(|cx, _| second.poll_ready(cx)).is_pending());
    drop(busy);
    let both = tokio::time::timeout(HOUR, async {
        let first = async { first.ready().await.unwrap().call(1).await.unwrap() };
        let second = async { second.ready().await.unwrap().call(2).await.unwrap() };
        futures::join!(first, second);
    });
    assert!(both.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_ready_is_stood_in_for_by_the_next() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::quorum_first());
    nodes[0].always(Reply::error());
    nodes[3].always_ready(Readiness::Pending);
    let (outcome, took) = tokio::time::timeout(HOUR, timed(&mut call)).await.unwrap();
    assert_eq!((outcome.unwrap().yes(), took), (set([1, 2, 4]), Duration::ZERO));
    // The same when it is called because of a delay, and without anybody having asked for
    // readiness.
    let (nodes, mut call) = call_over(Threshold::of(1, 3).unwrap(), CallConfig::staggered(10 * MS));
    nodes[0].always(Reply::echo().held());
    nodes[1].always_ready(Readiness::Pending);
    assert_eq!(timed(&mut call).await.1, 10 * MS);
    nodes[0].always_ready(Readiness::Pending);
    assert_eq!(call.call(7).await.unwrap().yes(), set([2]));
}

#[tokio::test(start_paused = true)]
async fn two_failures_at_once_are_made_up_for_by_two_and_no_more() {
    let (nodes, mut call) = call_over(Threshold::of(4, 8).unwrap(), CallConfig::quorum_first());
    script(&nodes, [Reply::error(), Reply::error()]);
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((answers.yes(), answers.uncalled()), (set([2, 3, 4, 5]), set([6, 7])));
}

#[tokio::test]
async fn a_node_that_fails_its_readiness_inside_the_call_has_not_executed_it() {
    let (nodes, mut call) = call_over(Threshold::of(1, 1).unwrap(), CallConfig::all_at_once());
    nodes[0].always_ready(Readiness::Error);
    assert_eq!(call.call(7).await.unwrap_err().grounds().executed, Executed::No);
}

#[tokio::test]
async fn an_instance_that_failed_its_readiness_is_not_asked_again() {
    let (nodes, mut call) = call_over(Threshold::of(1, 1).unwrap(), CallConfig::all_at_once());
    nodes[0].script_readiness([Readiness::Error]);
    let clones = nodes[0].counts().clones;
    assert!(call.ready().await.is_err());
    assert_eq!(nodes[0].counts().clones, clones + 1);
}

#[tokio::test(start_paused = true)]
async fn the_instance_that_waits_in_line_is_the_one_that_is_called() {
    let (nodes, services) = one_at_a_time(3);
    let mut call = limited(Threshold::of(2, 3).unwrap(), &services, CallConfig::all_at_once());
    nodes[0].always(Reply::error());
    let call = &mut call;
    // Another has the one permit of node 2, and a call waits for it in line.
    let mut other = services[2].clone();
    nodes[2].script([Reply::echo().after(5 * MS)]);
    let busy = tokio::spawn(other.ready().await.unwrap().call(1));
    let (outcome, took) = timed(call).await;
    assert_eq!((outcome.unwrap().yes(), took), (set([1, 2]), 5 * MS));
    busy.await.unwrap().unwrap();
    let counts = nodes[2].counts();
    assert_eq!((counts.calls, counts.unready_calls), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_in_line_does_not_keep_the_place_it_gave_to_a_call() {
    // A quorum of two is ready, the third waits for its permit inside the call; when that is over,
    // no handle must hold the permit.
    let (nodes, services) = one_at_a_time(3);
    let mut call = limited(majority_of(3), &services, CallConfig::all_at_once());
    let mut other = services[2].clone();
    nodes[2].script([Reply::echo().after(5 * MS)]);
    let busy = tokio::spawn(other.ready().await.unwrap().call(1));
    assert!(timed(&mut call).await.0.is_ok());
    busy.await.unwrap().unwrap();
    let free = tokio::time::timeout(MS, services[2].clone().oneshot(2)).await;
    assert!(free.is_ok(), "the permit of node 2 is held by a handle that does not use it");
}

#[tokio::test]
async fn a_call_without_asking_for_readiness_asks_for_it_itself() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    assert!(call.call(7).await.is_ok());
    assert!(nodes.iter().all(|node| node.counts().unready_calls == 0));
}

#[test]
fn nobody_is_woken_for_nothing() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes.iter().for_each(|node| node.always_ready(Readiness::Pending));
    let mut task = spawn(());
    (0..3).for_each(|_| assert!(task.enter(|cx, _| call.poll_ready(cx)).is_pending()));
    assert!(!task.is_woken());
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_failure_is_a_success_leave_no_call_waiting_without_a_waker() {
    for config in [CallConfig::all_at_once(), CallConfig::quorum_first()] {
        let (nodes, call) = call_over(majority_of(3), config);
        let mut call = call.classify(|_: Result<&u32, &_>| Verdict::Success);
        nodes.iter().for_each(|node| node.always_ready(Readiness::Error));
        let ready =
            tokio::time::timeout(HOUR, call.ready()).await.expect("no node is left to wait for");
        let answers = ready.unwrap().call(7).await.unwrap();
        assert_eq!(
            (answers.yes().len(), answers.errors().count(), calls(&nodes)),
            (2, 2, vec![0; 3])
        );
    }
}
