//! At the earliest moment at which it is certain, and not one node more than it takes.

use std::time::Duration;

use steadfast_core::{Classify, DefaultClassifier, Executed, Grounds, RefusalKind, Verdict, cause};
use steadfast_quorum::{
    CallConfig, CallError, Hedge, Joint, NodeSet, QuorumCall, SetupError, Threshold,
};
use steadfast_testkit::{BoxError, Probe, Reply};
use tower::{Service, ServiceExt};

use super::{MS, call_over, calls, live_futures, majority_of, script, set, timed};

fn after(ms: u32) -> Reply {
    Reply::echo().after(ms * MS)
}

#[tokio::test(start_paused = true)]
async fn three_errors_of_five_lose_it_at_the_third() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::all_at_once());
    script(
        &nodes,
        [
            Reply::error().after(MS),
            Reply::error().after(2 * MS),
            Reply::error().after(3 * MS),
            after(50),
            after(60),
        ],
    );
    let (outcome, took) = timed(&mut call).await;
    let Err(CallError::Lost { answers, grounds }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((took, answers.elapsed()), (3 * MS, 3 * MS));
    assert_eq!(
        (answers.no(), answers.yes(), answers.out()),
        (set([0, 1, 2]), set([]), set([3, 4]))
    );
    assert_eq!(answers.errors().count(), 3);
    assert!(grounds.executed == Executed::Maybe && grounds.kind == RefusalKind::Unavailable);
    assert_eq!(live_futures(&nodes), 0, "the others are not awaited");
}

#[tokio::test(start_paused = true)]
async fn all_at_once_takes_the_fastest_quorum_q_first_the_slowest_of_one_staggered_in_between() {
    let configs = [
        (CallConfig::all_at_once(), 7),
        (CallConfig::quorum_first(), 50),
        (CallConfig::staggered(10 * MS), 17),
    ];
    for (config, ms) in configs {
        let (nodes, mut call) = call_over(Threshold::of(2, 3).unwrap(), config);
        script(&nodes, [after(5), after(50), after(7)]);
        let (outcome, took) = timed(&mut call).await;
        let answers = outcome.unwrap();
        assert_eq!(took, ms * MS);
        assert_eq!(answers.all().last().unwrap().after, took);
        assert_eq!(live_futures(&nodes), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn joint_sets_lose_at_two_errors_of_one_half_and_their_common_node_is_called_once() {
    let halves = [set([1, 2, 3]), set([3, 4, 5])].map(|half| Threshold::majority(half).unwrap());
    let (nodes, mut call) = call_over(Joint::new(halves).unwrap(), CallConfig::all_at_once());
    script(
        &nodes,
        [Reply::error().after(MS), Reply::error().after(2 * MS), after(9), after(9), after(9)],
    );
    let (outcome, took) = timed(&mut call).await;
    let lost = outcome.unwrap_err();
    assert!(matches!(lost, CallError::Lost { .. }));
    assert_eq!((took, lost.answers().no()), (2 * MS, set([1, 2])));
    assert_eq!(calls(&nodes), [1; 5]);
}

#[tokio::test(start_paused = true)]
async fn one_more_is_called_at_once_on_each_error_and_no_other() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::quorum_first());
    script(&nodes, [after(5), Reply::error().after(2 * MS), after(9), after(4), after(1)]);
    let (outcome, took) = timed(&mut call).await;
    let answers = outcome.unwrap();
    assert_eq!((took, calls(&nodes)), (9 * MS, vec![1, 1, 1, 1, 0]));
    assert_eq!((answers.yes(), answers.uncalled()), (set([0, 2, 3]), set([4])));
    let whens: Vec<(usize, Duration)> =
        answers.all().iter().map(|answer| (answer.node, answer.after)).collect();
    assert_eq!(whens, [(1, 2 * MS), (0, 5 * MS), (3, 6 * MS), (2, 9 * MS)]);
}

#[tokio::test(start_paused = true)]
async fn errors_that_come_at_once_are_made_up_for_at_once() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::quorum_first());
    script(&nodes, [Reply::error(), Reply::error(), after(3), after(3), after(3)]);
    let (outcome, took) = timed(&mut call).await;
    assert_eq!((outcome.unwrap().yes(), took), (set([2, 3, 4]), 3 * MS));
    script(&nodes, [Reply::error(), Reply::error(), after(3), Reply::error(), after(3)]);
    let (outcome, took) = timed(&mut call).await;
    assert!(matches!(outcome, Err(CallError::Lost { .. })) && took.is_zero());
}

#[tokio::test(start_paused = true)]
async fn one_more_is_called_after_each_delay_until_all_are() {
    let (nodes, mut call) = call_over(Threshold::of(1, 4).unwrap(), CallConfig::staggered(10 * MS));
    script(&nodes, [after(100), after(100), after(100), after(100)]);
    let start = tokio::time::Instant::now();
    let future = call.ready().await.unwrap().call(7);
    let mut future = std::pin::pin!(future);
    for (at, expected) in [(0, 1), (9, 1), (10, 2), (20, 3), (30, 4), (60, 4)] {
        let at = start + at * MS;
        let _ = tokio::time::timeout_at(at, &mut future).await;
        assert_eq!(calls(&nodes).iter().sum::<u64>(), expected, "{:?}", at - start);
    }
    let answers = future.await.unwrap();
    assert_eq!((answers.yes(), answers.elapsed()), (set([0]), 100 * MS));
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_learned_from_the_latencies_seen() {
    let hedge = Hedge::new(MS, 200 * MS).quantile(0.9).minimum_samples(20);
    let (nodes, mut call) = call_over(Threshold::of(1, 2).unwrap(), CallConfig::hedged(hedge));
    script(&nodes, [after(10), after(10)]);
    for _ in 0..20 {
        timed(&mut call).await.0.unwrap();
    }
    assert_eq!(calls(&nodes), [20, 0], "no node was slow");
    nodes[0].always(after(1000));
    let (outcome, took) = timed(&mut call).await;
    assert_eq!(outcome.unwrap().yes(), set([1]));
    assert!(
        took >= 20 * MS && took <= 22 * MS,
        "{took:?}: the delay is 10 ms to a bucket and a tick of the timer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_calls_one_more_and_not_all_when_it_goes_on() {
    let (nodes, mut call) = call_over(Threshold::of(1, 5).unwrap(), CallConfig::staggered(10 * MS));
    nodes.iter().for_each(|node| node.always(after(500)));
    let future = call.ready().await.unwrap().call(7);
    let mut task = tokio_test::task::spawn(future);
    assert!(task.poll().is_pending());
    tokio::time::advance(100 * MS).await;
    assert!(task.poll().is_pending());
    assert_eq!(calls(&nodes).iter().sum::<u64>(), 2);
}

#[tokio::test]
async fn only_a_success_is_a_yes_and_the_classifier_says_what_that_is() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    script(&nodes, [Reply::value(404), Reply::value(404), Reply::value(503)]);
    assert_eq!(call.ready().await.unwrap().call(7).await.unwrap().yes(), set([0, 1]));
    let judge = |outcome: Result<&u32, &BoxError>| match outcome {
        Ok(404) => Verdict::Permanent,
        Ok(503) | Err(_) => Verdict::transient(Executed::No),
        Ok(_) => Verdict::Success,
    };
    let (nodes, call) = call_over(majority_of(3), CallConfig::all_at_once());
    let mut call = call.classify(judge);
    script(&nodes, [Reply::value(404), Reply::echo(), Reply::value(503)]);
    let error = call.ready().await.unwrap().call(7).await.unwrap_err();
    assert_eq!(error.answers().no(), set([0, 2]));
    assert!(error.answers().replies().eq([(1, &7)]) && error.answers().errors().count() == 0);
}

#[tokio::test]
async fn layers_further_out_read_the_facts_from_the_source_chain() {
    let refuse = || Reply::error_from(|| Grounds::not_executed(RefusalKind::TooMany).into());
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    script(&nodes, [Reply::echo().held(), refuse(), refuse()]);
    let error = call.ready().await.unwrap().call(7).await.unwrap_err();
    assert_eq!(error.grounds().executed, Executed::Maybe, "node 0 was called and had not answered");
    let (nodes, mut q_first) = call_over(majority_of(3), CallConfig::quorum_first());
    script(&nodes, [refuse(), refuse(), refuse()]);
    let error: BoxError = q_first.ready().await.unwrap().call(7).await.unwrap_err().into();
    assert_eq!(cause::<Grounds>(&*error), Some(&Grounds::not_executed(RefusalKind::TooMany)));
    assert_eq!(DefaultClassifier.classify(Err::<&(), _>(&error)), Verdict::throttled());
    let said = error.to_string();
    assert!(
        said.starts_with("no quorum is possible any more: {0, 1} failed, {2} still out, after "),
        "{said}"
    );
}

#[tokio::test]
async fn a_loss_is_the_callers_fault_or_too_much_if_every_no_was() {
    let retry_after = Some(Duration::from_secs(9));
    let throttled = Verdict::Throttled { executed: Executed::No, pushback: retry_after.into() };
    let failed = Verdict::transient(Executed::Maybe);
    for (verdicts, kind, retry_after) in [
        ([Verdict::Permanent; 2], RefusalKind::Unacceptable, None),
        ([throttled; 2], RefusalKind::TooMany, retry_after),
        ([throttled, failed], RefusalKind::Unavailable, retry_after),
        ([Verdict::Permanent, failed], RefusalKind::Unavailable, None),
    ] {
        let judge = move |outcome: Result<&u32, &BoxError>| match outcome {
            Ok(0) => Verdict::Success,
            Ok(node) => verdicts[*node as usize - 1],
            Err(_) => failed,
        };
        let (nodes, call) = call_over(majority_of(3), CallConfig::all_at_once());
        let mut call = call.classify(judge);
        script(&nodes, [Reply::value(0), Reply::value(1), Reply::value(2)]);
        let grounds = call.ready().await.unwrap().call(7).await.unwrap_err().grounds();
        assert_eq!((grounds.kind, grounds.retry_after), (kind, retry_after), "{verdicts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_costs_each_call_the_usual_delay_and_never_more() {
    let hedge = Hedge::new(MS, Duration::from_secs(2));
    let (nodes, mut call) = call_over(Threshold::of(2, 3).unwrap(), CallConfig::hedged(hedge));
    script(&nodes, [after(10), after(10), after(10)]);
    for _ in 0..50 {
        timed(&mut call).await.0.unwrap();
    }
    nodes[0].always(Reply::echo().held());
    for _ in 0..1500 {
        let (outcome, took) = timed(&mut call).await;
        assert!(outcome.is_ok() && took <= 22 * MS, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn latencies_are_learned_from_when_a_node_is_called_and_from_calls_that_are_dropped() {
    // Node 0 is dead, node 1 takes 10 ms from when it is called.
    let hedge = Hedge::new(MS, 40 * MS).minimum_samples(20);
    let (nodes, mut call) = call_over(Threshold::of(1, 2).unwrap(), CallConfig::hedged(hedge));
    script(&nodes, [Reply::echo().held(), after(10)]);
    for _ in 0..20 {
        assert_eq!(timed(&mut call).await.1, 50 * MS, "the ceiling and 10 ms");
    }
    let took = timed(&mut call).await.1;
    assert!(took <= 22 * MS, "{took:?}");
    // A call given up from outside tells that its nodes take no less: 3 ms would be learned from
    // the others alone.
    script(&nodes, [after(3), after(3)]);
    for _ in 0..400 {
        timed(&mut call).await.0.unwrap();
        nodes[0].script([Reply::echo().held()]);
        nodes[1].script([Reply::echo().held()]);
        let given_up = tokio::time::timeout(30 * MS, call.ready().await.unwrap().call(7)).await;
        assert!(given_up.is_err());
    }
    nodes[0].always(Reply::echo().held());
    assert!(timed(&mut call).await.1 >= 9 * MS);
}

#[tokio::test]
async fn the_request_is_copied_once_less_than_it_is_sent() {
    #[derive(Debug)]
    struct Request(std::sync::Arc<std::sync::atomic::AtomicUsize>);
    impl Clone for Request {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Self(std::sync::Arc::clone(&self.0))
        }
    }
    for (config, copies) in [(CallConfig::all_at_once(), 2), (CallConfig::quorum_first(), 2)] {
        let copied = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let node = tower::service_fn(|_: Request| async { Err::<(), _>(BoxError::from("down")) });
        let nodes = (0..3).map(|number| (number, node));
        let mut call = QuorumCall::new(Threshold::of(1, 3).unwrap(), nodes, config).unwrap();
        let request = Request(std::sync::Arc::clone(&copied));
        call.ready().await.unwrap().call(request).await.unwrap_err();
        assert_eq!(copied.load(std::sync::atomic::Ordering::Relaxed), copies);
    }
}

#[tokio::test]
async fn responses_that_cannot_be_shared_are_left_out_of_a_box_error() {
    let node = |number: u32| {
        tower::service_fn(move |_: ()| async move {
            if number > 0 { Err(BoxError::from("down")) } else { Ok(std::cell::Cell::new(7)) }
        })
    };
    let nodes = (0..3).map(|number| (number as usize, node(number)));
    let call = QuorumCall::new(majority_of(3), nodes, CallConfig::all_at_once()).unwrap();
    let error = call.oneshot(()).await.unwrap_err().without_results();
    assert_eq!((error.answers().no(), error.answers().all().len()), (set([1, 2]), 0));
    let error = BoxError::from(error);
    assert!(cause::<Grounds>(&*error).is_some());
}

#[test]
fn nodes_that_do_not_fit_the_rule_are_refused_by_number() {
    let refused = |nodes: &[usize]| {
        let nodes = nodes.iter().map(|node| (*node, Probe::new()));
        QuorumCall::new(majority_of(3), nodes, CallConfig::all_at_once()).unwrap_err()
    };
    assert_eq!(refused(&[0, 1, 2, 1]), SetupError::NodeTwice { node: 1 });
    assert_eq!(refused(&[0, 1, 3]), SetupError::Stranger { node: 3 });
    assert_eq!(refused(&[1]), SetupError::Missing { nodes: set([0, 2]) });
    struct NoMember;
    impl steadfast_quorum::Rule for NoMember {
        fn is_quorum(&self, _: steadfast_quorum::NodeSet) -> bool {
            true
        }

        fn members(&self) -> steadfast_quorum::NodeSet {
            set([])
        }
    }
    let call = QuorumCall::<Probe>::new(NoMember, [], CallConfig::all_at_once());
    assert_eq!(call.unwrap_err(), SetupError::NoMembers);
}

/// Node 0 and one of nodes 1 and 2, and no word on who the members are.
#[derive(Clone, Copy)]
struct LeaderAndOne;

impl steadfast_quorum::Rule for LeaderAndOne {
    fn is_quorum(&self, nodes: NodeSet) -> bool {
        nodes.contains(0) && (nodes.contains(1) || nodes.contains(2))
    }
}

#[test]
fn a_rule_that_does_not_say_its_members_is_refused_with_that_as_the_reason() {
    let nodes = (0..3).map(|node| (node, Probe::new()));
    let refused = QuorumCall::new(LeaderAndOne, nodes, CallConfig::all_at_once()).unwrap_err();
    assert_eq!(refused, SetupError::MembersUnsaid { nodes: set(3..64) });
    let told = refused.to_string();
    assert!(
        told.starts_with("each of the 64 nodes there can be is a member of the rule"),
        "{told}"
    );
    assert!(told.ends_with("has the rule no `members` of its own?"), "{told}");
    // With a service for each there is nothing to refuse, nor where the rule says them.
    let all = (0..64).map(|node| (node, Probe::new()));
    assert!(QuorumCall::new(LeaderAndOne, all, CallConfig::all_at_once()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_the_users_that_says_its_members_is_called() {
    struct Said;
    impl steadfast_quorum::Rule for Said {
        fn is_quorum(&self, nodes: NodeSet) -> bool {
            LeaderAndOne.is_quorum(nodes)
        }

        fn members(&self) -> NodeSet {
            set(0..3)
        }
    }
    let (nodes, mut call) = call_over(Said, CallConfig::all_at_once());
    script(&nodes, [after(5), Reply::error(), after(9)]);
    assert_eq!(timed(&mut call).await.0.unwrap().yes(), set([0, 2]));
}

#[test]
fn a_config_that_cannot_work_is_refused_by_field() {
    let refused = |config| {
        let nodes = (0..3).map(|node| (node, Probe::new()));
        let Err(SetupError::Config(error)) = QuorumCall::new(majority_of(3), nodes, config) else {
            panic!("refused")
        };
        error.field
    };
    assert_eq!(refused(CallConfig::staggered(Duration::ZERO)), "delay");
    assert_eq!(refused(CallConfig::hedged(Hedge::new(2 * MS, MS))), "floor");
}

#[tokio::test(start_paused = true)]
async fn more_nodes_than_a_word_holds_can_be_called() {
    use steadfast_quorum::Nodes;
    let rule = Threshold::majority(Nodes::<2>::first(100).unwrap()).unwrap();
    let probes: Vec<(usize, Probe)> = (0..100).map(|node| (node, Probe::new())).collect();
    let controls: Vec<_> = probes.iter().map(|(_, probe)| probe.control()).collect();
    controls.iter().enumerate().for_each(|(node, control)| control.always(after(node as u32)));
    let mut call = QuorumCall::new(rule, probes, CallConfig::all_at_once()).unwrap();
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!((answers.elapsed(), answers.replies().count()), (50 * MS, 51));
}

#[tokio::test(start_paused = true)]
async fn a_delay_without_end_is_for_ever() {
    let (nodes, mut call) =
        call_over(Threshold::of(1, 2).unwrap(), CallConfig::staggered(Duration::MAX));
    script(&nodes, [after(3_600_000), after(1)]);
    let (outcome, took) = timed(&mut call).await;
    assert_eq!((outcome.unwrap().yes(), took), (set([0]), 3_600_000 * MS));
}

#[tokio::test(start_paused = true)]
async fn calls_that_rotate_give_each_node_its_share_and_go_on_in_turn() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::quorum_first().rotate());
    for _ in 0..10 {
        // Clones take turns too.
        call.clone().ready().await.unwrap().call(7).await.unwrap();
    }
    assert_eq!(calls(&nodes), [6; 5]);
    // The eleventh prefers nodes 0, 1 and 2; the twelfth 1, 2 and 3, and when 3 fails then 4.
    call.ready().await.unwrap().call(7).await.unwrap();
    nodes[3].always(Reply::error());
    assert_eq!(call.ready().await.unwrap().call(7).await.unwrap().yes(), set([1, 2, 4]));
}
