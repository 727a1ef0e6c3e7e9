//! Every mistake that was seen in another quorum, by name.

use steadfast_quorum::{Decision, Expr, Expression, Joint, NodeSet, Rule, RuleError, Threshold, Weighted};

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
        let needed = |n: usize| Threshold::dissemination(NodeSet::first(n).unwrap(), f).unwrap().needed();
        assert_eq!(needed(3 * f + 1), 2 * f + 1);
        assert!(needed(3 * f + 3) > 2 * f + 1);
    }
    for n in 1..=64 {
        let members = NodeSet::first(n).unwrap();
        for f in 0..=n {
            // Two quorums overlap in at least 2q − n nodes; n − f nodes must hold one.
            if let Ok(rule) = Threshold::dissemination(members, f) {
                let q = rule.needed();
                assert!(2 * q - n > f && q <= n - f && 2 * (q - 1) < n + f + 1, "{q} of {n} with {f}");
            } else {
                assert!(n < 3 * f + 1);
            }
            if let Ok(rule) = Threshold::masking(members, f) {
                let q = rule.needed();
                assert!(2 * q - n > 2 * f && q <= n - f && 2 * (q - 1) < n + 2 * f + 1, "{q} of {n} masking {f}");
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
