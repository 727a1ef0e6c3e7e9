//! Every mistake that was seen in another quorum, by name.

use steadfast_quorum::{
    Decision, Expr, Expression, Joint, NodeSet, Rule, RuleError, Tally, Threshold, ValueTally,
    Weighted,
};

fn set(nodes: impl IntoIterator<Item = usize>) -> NodeSet {
    NodeSet::of(nodes).unwrap()
}

#[test]
fn half_of_an_even_number_rounded_up_is_no_majority() {
    for count in 1..=64 {
        let rule = Threshold::majority_of(count).unwrap();
        assert!(2 * rule.needed() > count, "{} of {count}", rule.needed());
        assert_eq!(rule.intersects(&rule), Ok(()), "of {count}");
    }
    assert_eq!(Threshold::majority_of(4).unwrap().needed(), 3);
}

#[test]
fn a_joint_configuration_has_a_count_for_each_half() {
    let halves = [set([1, 2, 3]), set([3, 4, 5])].map(|half| Threshold::majority(half).unwrap());
    let joint = Joint::new(halves).unwrap();
    // Three of five, four with node 3 counted twice, and no majority of the second half.
    assert_eq!(joint.decide(set([1, 2, 3]), set([])), Decision::Pending);
    assert_eq!(joint.decide(set([1, 2, 3, 4]), set([])), Decision::Won);
    assert_eq!(joint.decide(set([]), set([1, 2])), Decision::Lost);
    assert_eq!(joint.decide(set([3, 4, 5]), set([1])), Decision::Pending);
    assert_eq!(joint.decide(set([3, 4, 5]), set([1, 2])), Decision::Lost);
}

#[test]
fn it_is_lost_when_it_cannot_be_won_and_not_when_all_have_failed() {
    let rule = Threshold::majority_of(5).unwrap();
    assert_eq!(rule.decide(set([]), set([0, 1])), Decision::Pending);
    assert_eq!(rule.decide(set([]), set([0, 1, 2])), Decision::Lost);
    assert_eq!(rule.decide(set([3, 4]), set([0, 1, 2])), Decision::Lost);
}

#[test]
fn byzantine_quorums_are_computed_from_n_and_f() {
    // At n = 3f + 1 a dissemination quorum is 2f + 1, and only there.
    for f in 1..=15 {
        let needed =
            |n: usize| Threshold::dissemination(NodeSet::first(n).unwrap(), f).unwrap().needed();
        assert_eq!(needed(3 * f + 1), 2 * f + 1);
        assert!(needed(3 * f + 3) > 2 * f + 1);
    }
    for n in 1..=64 {
        let members = NodeSet::first(n).unwrap();
        for f in 0..=n {
            // Two quorums overlap in at least 2q − n nodes; n − f nodes must hold one.
            if let Ok(rule) = Threshold::dissemination(members, f) {
                let q = rule.needed();
                assert!(
                    2 * q - n > f && q <= n - f && 2 * (q - 1) < n + f + 1,
                    "{q} of {n} with {f}"
                );
            } else {
                assert!(n < 3 * f + 1);
            }
            if let Ok(rule) = Threshold::masking(members, f) {
                let q = rule.needed();
                assert!(
                    2 * q - n > 2 * f && q <= n - f && 2 * (q - 1) < n + 2 * f + 1,
                    "{q} of {n} masking {f}"
                );
            } else {
                assert!(n < 4 * f + 1);
            }
        }
    }
}

#[test]
fn a_rule_over_nobody_is_refused_in_every_form() {
    assert_eq!(Threshold::majority(NodeSet::EMPTY), Err(RuleError::NoMembers));
    assert_eq!(Threshold::all(NodeSet::EMPTY), Err(RuleError::NoMembers));
    assert_eq!(Threshold::majority_of(0), Err(RuleError::NoMembers));
    assert_eq!(Weighted::new(1, []), Err(RuleError::NoMembers));
    assert_eq!(Expression::new(Expr::all(Vec::<usize>::new())), Err(RuleError::NoMembers));
    assert_eq!(Joint::<Threshold>::new([]), Err(RuleError::NoMembers));
}

#[test]
fn a_vote_that_comes_twice_counts_once() {
    let mut tally = Tally::new(Threshold::majority_of(3).unwrap());
    let _ = (tally.vote(0, true), tally.vote(0, true), tally.vote(0, true));
    assert_eq!(tally.decide(), Decision::Pending);
    let mut tally = ValueTally::new(Threshold::of(2, 3).unwrap());
    let _ = (tally.vote(0, 'a'), tally.vote(0, 'a'));
    assert_eq!(tally.chosen(), None);
}

#[test]
fn any_monotone_rule_is_lost_as_soon_as_the_rest_could_not_win_it() {
    // Three of five nodes would be left, and not the one it takes.
    struct NodeZeroAndAnother;
    impl Rule for NodeZeroAndAnother {
        fn is_quorum(&self, nodes: NodeSet) -> bool {
            nodes.contains(0) && nodes.len() >= 2
        }
    }
    assert_eq!(NodeZeroAndAnother.decide(set([1]), set([0])), Decision::Lost);
    assert_eq!(NodeZeroAndAnother.decide(set([1, 2, 3]), set([])), Decision::Pending);
}

#[cfg(feature = "detach")]
mod of_calls {
    use std::time::Duration;

    use steadfast_core::{Detach, DetachConfig};
    use steadfast_quorum::{CallConfig, CallError, QuorumCall, Threshold};
    use steadfast_testkit::{Control, Probe, Reply};
    use tower::{Service, ServiceExt};

    const MS: Duration = Duration::from_millis(1);

    fn probes() -> (Vec<Control>, Vec<(usize, Probe)>) {
        let probes: Vec<(usize, Probe)> = (0..5).map(|node| (node, Probe::new())).collect();
        (probes.iter().map(|(_, probe)| probe.control()).collect(), probes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_not_called_is_no_success() {
        let (nodes, probes) = probes();
        let mut call =
            QuorumCall::new(Threshold::of(2, 5).unwrap(), probes, CallConfig::quorum_first())
                .unwrap();
        nodes.iter().for_each(|node| node.always(Reply::error()));
        nodes[0].always(Reply::echo());
        let lost = call.ready().await.unwrap().call(7).await.unwrap_err();
        assert_eq!(lost.answers().yes().len(), 1, "one success and four failures");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_won_any_more_waits_for_no_further_error() {
        let (nodes, probes) = probes();
        let mut call =
            QuorumCall::new(Threshold::of(4, 5).unwrap(), probes, CallConfig::all_at_once())
                .unwrap();
        nodes.iter().for_each(|node| node.always(Reply::echo().held()));
        nodes[1].always(Reply::error().after(MS));
        nodes[3].always(Reply::error().after(2 * MS));
        let lost = tokio::time::timeout(3 * MS, call.ready().await.unwrap().call(7)).await.unwrap();
        assert!(matches!(lost, Err(CallError::Lost { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_not_cancelled_at_success_and_a_read_is() {
        let detach = Detach::new(DetachConfig::new().limit(100 * MS)).unwrap();
        for is_write in [true, false] {
            let (nodes, probes) = probes();
            nodes.iter().for_each(|node| node.always(Reply::echo()));
            nodes[4].always(Reply::echo().after(50 * MS));
            let rule = Threshold::majority_of(5).unwrap();
            if is_write {
                let mut call = QuorumCall::new(rule, probes, CallConfig::all_at_once())
                    .unwrap()
                    .on_decided(detach.clone());
                call.ready().await.unwrap().call(7).await.unwrap();
                detach.idle().await;
            } else {
                let mut call = QuorumCall::new(rule, probes, CallConfig::all_at_once()).unwrap();
                call.ready().await.unwrap().call(7).await.unwrap();
            }
            assert_eq!(nodes[4].counts().completed == 1, is_write);
            assert_eq!(nodes[4].counts().live_futures, 0);
        }
    }
}
