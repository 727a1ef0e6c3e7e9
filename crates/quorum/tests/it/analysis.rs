//! What is found out of a rule, against looking at every set of nodes.

use proptest::prelude::*;
use steadfast_quorum::{
    AnalysisError, Expr, Expression, IntersectionError, Joint, NodeSet, Nodes, Rule, SEARCH_LIMIT,
    Threshold, Weighted,
};

use crate::rules::{Subject, all};

fn masks(subject: &Subject) -> impl Iterator<Item = u64> {
    0..1 << subject.nodes
}

/// The quorums that are none without any one of their nodes.
fn minimal(subject: &Subject) -> Vec<u64> {
    let is_minimal = |mask: u64| {
        let fewer =
            (0..subject.nodes).filter(|node| mask >> node & 1 == 1).map(|node| mask & !(1 << node));
        (subject.model)(mask) && fewer.into_iter().all(|mask| !(subject.model)(mask))
    };
    masks(subject).filter(|mask| is_minimal(*mask)).collect()
}

#[test]
fn the_minimal_quorums_are_all_there_are_and_each_once() {
    for subject in all(7) {
        let mut found = subject.rule.minimal_quorums(SEARCH_LIMIT).unwrap();
        found.sort();
        let found: Vec<u64> = found.into_iter().map(NodeSet::to_bits).collect();
        assert_eq!(found, minimal(&subject), "{}", subject.name);
    }
}

#[test]
fn so_many_may_fail_whichever_they_are_and_one_more_may_not() {
    for subject in all(7) {
        let blocked =
            masks(&subject).filter(|failed| !(subject.model)(!failed & ((1 << subject.nodes) - 1)));
        let fewest = blocked.map(u64::count_ones).min().unwrap() as usize;
        assert_eq!(subject.rule.resilience(), Ok(fewest - 1), "{}", subject.name);
    }
}

#[test]
fn two_rules_meet_or_are_shown_quorums_that_do_not() {
    let all = all(6);
    for one in &all {
        let quorums = minimal(one);
        for other in &all {
            let apart = quorums.iter().any(|quorum| (other.model)(!quorum & 127));
            match one.rule.intersects(&*other.rule) {
                Ok(()) => assert!(!apart, "{} and {}", one.name, other.name),
                Err(IntersectionError::Disjoint { first, second }) => {
                    assert!(
                        apart && first.is_disjoint(second),
                        "{} and {}: {first} {second}",
                        one.name,
                        other.name
                    );
                    assert!(one.rule.is_quorum(first) && other.rule.is_quorum(second));
                }
                Err(error) => panic!("{} and {}: {error}", one.name, other.name),
            }
        }
    }
}

#[test]
fn a_rule_and_its_dual_meet_and_the_dual_of_the_dual_is_the_rule() {
    for subject in all(7) {
        let dual = (&*subject.rule).dual();
        assert_eq!(subject.rule.intersects(&dual), Ok(()), "{}", subject.name);
        let twice = dual.dual();
        for mask in masks(&subject) {
            let nodes = NodeSet::from_bits(mask);
            assert_eq!(twice.is_quorum(nodes), subject.rule.is_quorum(nodes), "{}", subject.name);
        }
    }
}

#[test]
fn what_is_too_much_to_look_at_is_an_error_and_never_an_answer() {
    // A rule that says nothing of itself.
    let rule = Odd(|nodes| (nodes & NodeSet::from_bits((1 << 40) - 1)).len() > 20);
    let too_large = AnalysisError::TooLarge { limit: SEARCH_LIMIT };
    assert_eq!(rule.resilience(), Err(too_large));
    assert_eq!(rule.intersects(&rule), Err(too_large.into()));
    assert_eq!(rule.minimal_quorums(10), Err(AnalysisError::TooLarge { limit: 10 }));
    assert_eq!(
        Threshold::majority_of(5).unwrap().minimal_quorums(0),
        Err(AnalysisError::TooLarge { limit: 0 })
    );
    // A threshold is calculated, whatever its size.
    let rule = Threshold::majority(Nodes::<16>::ALL).unwrap();
    assert_eq!((rule.resilience(), rule.intersects(&rule)), (Ok(511), Ok(())));
}

#[test]
fn what_is_a_threshold_in_another_form_is_calculated_as_one() {
    let equal = Weighted::majority((0..40).map(|node| (node, 3))).unwrap();
    assert_eq!((equal.resilience(), equal.intersects(&equal)), (Ok(19), Ok(())));
    let plain = Expression::new(Expr::majority(0..41)).unwrap();
    assert_eq!((plain.resilience(), plain.intersects(&plain)), (Ok(20), Ok(())));
    let alone = Joint::new([Threshold::majority_of(51).unwrap()]).unwrap();
    assert_eq!(alone.intersects(&alone), Ok(()));
}

#[test]
fn rules_with_many_quorums_meet_others_that_have_few_and_joint_ones_by_any_of_their_parts() {
    let many = Weighted::majority((0..40).map(|node| (node, 1000 + node as u32))).unwrap();
    let few = Threshold::all(NodeSet::first(40).unwrap()).unwrap();
    assert_eq!((many.intersects(&few), few.intersects(&many)), (Ok(()), Ok(())));
    let halves =
        [0..15, 12..27].map(|half| Threshold::majority(NodeSet::of(half).unwrap()).unwrap());
    let joint = Joint::new(halves).unwrap();
    assert_eq!(joint.intersects(&joint), Ok(()));
}

#[test]
fn a_part_that_nobody_wins_already_blocks_no_joint_rule() {
    let vacuous = Odd(|_| true);
    let joint =
        Joint::new([Box::new(vacuous) as Box<dyn Rule>, Box::new(Threshold::of(2, 5).unwrap())])
            .unwrap();
    assert_eq!(joint.resilience(), Ok(3));
}

#[test]
fn a_rule_that_counts_whatever_it_is_given_is_asked_about_its_members_only() {
    struct Three;
    impl Rule for Three {
        fn is_quorum(&self, nodes: NodeSet) -> bool {
            nodes.len() >= 3
        }

        fn members(&self) -> NodeSet {
            NodeSet::from_bits(0b1_1111)
        }
    }
    let set = |nodes: &[usize]| NodeSet::of(nodes.iter().copied()).unwrap();
    assert_eq!(Three.decide(NodeSet::EMPTY, set(&[0, 1, 2])), steadfast_quorum::Decision::Lost);
    assert_eq!(
        Three.decide(set(&[0, 7, 8, 9]), NodeSet::EMPTY),
        steadfast_quorum::Decision::Pending
    );
    assert_eq!(Three.committed_index(&[9, 1, 5, 0, 0, 9, 9]), Some(1));
    assert!((&Three).dual().is_quorum(set(&[0, 1, 2])) && !(&Three).dual().is_quorum(set(&[0, 1])));
}

struct Odd(fn(NodeSet) -> bool);

impl Rule for Odd {
    fn is_quorum(&self, nodes: NodeSet) -> bool {
        (self.0)(nodes)
    }
}

#[test]
fn rules_that_are_always_or_never_met_have_answers_too() {
    let never = Odd(|_| false);
    assert_eq!(never.decide(NodeSet::ALL, NodeSet::EMPTY), steadfast_quorum::Decision::Lost);
    assert_eq!(never.resilience(), Err(AnalysisError::NoQuorum));
    assert_eq!(never.minimal_quorums(9), Ok(vec![]));
    assert_eq!(never.committed_index(&[3, 4]), None);
    let always = Odd(|_| true);
    assert_eq!(always.resilience(), Ok(64));
    assert_eq!(always.minimal_quorums(9), Ok(vec![NodeSet::EMPTY]));
    let apart = IntersectionError::Disjoint { first: NodeSet::EMPTY, second: NodeSet::EMPTY };
    assert_eq!(always.intersects(&always), Err(apart));
}

#[test]
fn a_rule_of_the_users_over_few_of_64_nodes_is_searched_as_fast_as_one_over_those_few() {
    let rule = Odd(|nodes| (nodes & NodeSet::from_bits(0b10_0110_0001)).len() >= 3);
    assert_eq!(rule.minimal_quorums(100).unwrap().len(), 4);
    assert_eq!(rule.resilience(), Ok(1));
}

#[test]
fn rules_over_more_nodes_than_a_word_holds_work_the_same() {
    let site = |number: usize| Expr::majority(number * 70..number * 70 + 3);
    let rule = Expression::<4>::wide(Expr::majority((0..3).map(site))).unwrap();
    assert_eq!(rule.resilience(), Ok(3));
    assert_eq!(rule.minimal_quorums(SEARCH_LIMIT).unwrap().len(), 27);
    assert!(rule.is_quorum(Nodes::of([0, 1, 140, 142]).unwrap()));
    let joint = Joint::new([rule.clone(), rule]).unwrap();
    assert_eq!(joint.members().len(), 9);
}

/// Any monotone rule: a list of sets, each of which is a quorum.
#[derive(Clone, Debug)]
struct AnyOf {
    quorums: Vec<u64>,
    nodes: usize,
}

impl Rule for AnyOf {
    fn is_quorum(&self, nodes: NodeSet) -> bool {
        self.quorums.iter().any(|quorum| nodes.to_bits() & quorum == *quorum)
    }

    fn members(&self) -> NodeSet {
        NodeSet::first(self.nodes).unwrap()
    }
}

impl AnyOf {
    /// Those that contain no other, each once.
    fn minimal(&self) -> Vec<u64> {
        let contains_another = |quorum: u64| {
            self.quorums.iter().any(|other| *other != quorum && quorum & other == *other)
        };
        let mut minimal: Vec<u64> =
            self.quorums.iter().copied().filter(|quorum| !contains_another(*quorum)).collect();
        minimal.sort_unstable();
        minimal.dedup();
        minimal
    }
}

fn any_rule() -> impl Strategy<Value = AnyOf> {
    (1..8_usize)
        .prop_flat_map(|nodes| (prop::collection::vec(0..1_u64 << nodes, 0..9), Just(nodes)))
        .prop_map(|(quorums, nodes)| AnyOf { quorums, nodes })
}

/// A joint rule of which nothing is known but its quorums.
struct Unknown<'a>(&'a Joint<AnyOf>);

impl Rule for Unknown<'_> {
    fn is_quorum(&self, nodes: NodeSet) -> bool {
        self.0.is_quorum(nodes)
    }

    fn members(&self) -> NodeSet {
        self.0.members()
    }
}

proptest! {
    #[test]
    fn any_monotone_rule_is_searched_through(rule in any_rule(), other in any_rule(), limit in 0..40_usize) {
        let mut found: Vec<u64> =
            rule.minimal_quorums(SEARCH_LIMIT).unwrap().into_iter().map(NodeSet::to_bits).collect();
        found.sort_unstable();
        prop_assert_eq!(&found, &rule.minimal());
        let apart = rule.minimal().iter().any(|one| other.minimal().iter().any(|another| one & another == 0));
        prop_assert_eq!(rule.intersects(&other).is_err(), apart);
        prop_assert_eq!(rule.intersects(&(&rule).dual()), Ok(()));
        let joint = Joint::new([rule.clone(), other]).unwrap();
        prop_assert_eq!(joint.resilience(), Unknown(&joint).resilience());
        match rule.minimal_quorums(limit) {
            Ok(quorums) => prop_assert_eq!(quorums.len(), found.len()),
            Err(error) => prop_assert_eq!(error, AnalysisError::TooLarge { limit }),
        }
    }

    #[test]
    fn the_committed_index_is_the_highest_a_quorum_has_reached(
        which in any::<prop::sample::Index>(),
        acknowledged in prop::collection::vec(0..9_u64, 0..8),
    ) {
        let all = all(7);
        let subject = &all[which.index(all.len())];
        let reached = |index: u64| {
            let nodes = acknowledged.iter().enumerate().filter(|(_, reached)| **reached >= index);
            nodes.fold(0, |mask, (node, _)| mask | 1 << node)
        };
        let highest = (0..9).rev().find(|index| (subject.model)(reached(*index)));
        prop_assert_eq!(subject.rule.committed_index(&acknowledged), highest, "{}", subject.name);
    }
}
