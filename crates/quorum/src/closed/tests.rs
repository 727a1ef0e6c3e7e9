//! Each way to an answer, against looking at every set of nodes.

use proptest::prelude::*;

use super::*;
use crate::NodeSet;

/// A shape as it is written down.
#[derive(Clone, Debug)]
enum Written {
    Node(usize),
    Choose(usize, Vec<Written>),
    Weights(u64, Vec<(usize, u32)>),
    Dual(Box<Written>),
}

impl Written {
    fn shape(&self) -> Shape<'static> {
        match self {
            Self::Node(node) => Shape::node(*node),
            Self::Choose(needed, of) => Shape::choose(*needed, of.iter().map(Self::shape)),
            Self::Weights(needed, weights) => Shape::weights(*needed, weights.iter().copied()),
            Self::Dual(of) => of.shape().dual(),
        }
    }

    /// By the definition.
    fn holds(&self, nodes: NodeSet) -> bool {
        match self {
            Self::Node(node) => nodes.contains(*node),
            Self::Choose(needed, of) => {
                of.iter().filter(|part| part.holds(nodes)).count() >= *needed
            }
            Self::Weights(needed, weights) => {
                let mine = weights.iter().filter(|(node, _)| nodes.contains(*node));
                mine.map(|(_, weight)| u64::from(*weight)).sum::<u64>() >= *needed
            }
            Self::Dual(of) => !of.holds(!nodes),
        }
    }
}

const NODES: usize = 8;

fn sets() -> impl Iterator<Item = NodeSet> {
    (0..1 << NODES).map(NodeSet::from_bits)
}

fn weights(nodes: usize, most: u32) -> impl Strategy<Value = Written> {
    let node = (0..nodes, prop_oneof![Just(0), 1..=most]);
    prop::collection::vec(node, 1..=nodes + 1).prop_flat_map(|weights| {
        let all: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        (0..=all + 1).prop_map(move |needed| Written::Weights(needed, weights.clone()))
    })
}

fn written() -> impl Strategy<Value = Written> {
    let leaf = prop_oneof![
        2 => (0..NODES).prop_map(Written::Node),
        1 => weights(NODES, 4),
        1 => weights(NODES, 1),
    ];
    leaf.prop_recursive(3, 24, 5, |inside| {
        let gate = prop::collection::vec(inside.clone(), 1..5).prop_flat_map(|of| {
            let all = of.len();
            // Mostly all of them, or any.
            prop_oneof![Just(1), Just(all), 0..=all + 1]
                .prop_map(move |needed| Written::Choose(needed, of.clone()))
        });
        prop_oneof![4 => gate, 1 => inside.prop_map(|of| Written::Dual(Box::new(of)))]
    })
}

/// So many of some parts, and so many of the same or of their duals.
fn same_parts() -> impl Strategy<Value = (Written, Written)> {
    let parts = prop::collection::vec(written(), 3..6);
    (parts, any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
        |(parts, are_duals, needed, other)| {
            let dual = |part: &Written| Written::Dual(Box::new(part.clone()));
            let others = if are_duals { parts.iter().map(dual).collect() } else { parts.clone() };
            let needed = [needed, other].map(|needed| 1 + needed.index(parts.len()));
            (Written::Choose(needed[0], parts), Written::Choose(needed[1], others))
        },
    )
}

/// Two of them: at random, one and its dual, or one twice.
fn two() -> impl Strategy<Value = (Written, Written)> {
    prop_oneof![
        3 => (written(), written()),
        1 => written().prop_map(|one| (one.clone(), Written::Dual(Box::new(one)))),
        1 => written().prop_map(|one| (one.clone(), one)),
        3 => same_parts(),
    ]
}

fn check_two(one: &Written, other: &Written) -> Result<(), TestCaseError> {
    let (a, b) = (one.shape(), other.shape());
    let apart = sets().any(|set| one.holds(set) && other.holds(!set));
    let check = |way: &str, found: Option<Meets<1>>| {
        match found {
            Some(Meets::Always) => prop_assert!(!apart, "{}: {:?} and {:?}", way, a, b),
            Some(Meets::Not { first }) => prop_assert!(
                one.holds(first) && other.holds(!first),
                "{}: {:?} and {:?}: {}",
                way,
                a,
                b,
                first
            ),
            None => {}
        }
        Ok(())
    };
    let swept = Sweep::meets(&a, &b, &mut { MOST_WORK });
    prop_assert!(swept.is_some(), "few nodes are never too many");
    check("sweep", swept)?;
    if let Some(pair) = Pair::of(&a, &b) {
        let answer = pair.answer(&mut { MOST_WORK });
        prop_assert!(answer.is_some(), "nor are few weights");
        check("pair", answer)?;
    }
    let proven = Proof::new().is_proven(&a, &b);
    check("proof", proven.then_some(Meets::Always))
}

fn check_least(one: &Written) -> Result<(), TestCaseError> {
    let fewest = sets().filter(|set| one.holds(*set)).map(|set| set.len()).min();
    let shape = one.shape();
    prop_assert_eq!(least(&shape), Ok(fewest), "{:?}", &shape);
    if !shape.is_always() && !shape.is_never() {
        prop_assert_eq!(Sweep::least(&shape, &mut { MOST_WORK }), Some(fewest), "{:?}", &shape);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_shape_in_normal_form_is_what_was_written(one in written()) {
        let (shape, dual) = (one.shape(), one.shape().dual());
        for set in sets() {
            prop_assert_eq!(shape.holds(set), one.holds(set), "{:?} and {}", &shape, set);
            prop_assert_eq!(dual.holds(set), !one.holds(!set), "{:?} and {}", &dual, set);
        }
        prop_assert_eq!(shape.clone().dual().dual().holds(NodeSet::ALL), shape.holds(NodeSet::ALL));
        check_least(&one)?;
        check_least(&Written::Dual(Box::new(one)))?;
    }

    #[test]
    fn two_shapes_meet_by_each_way_that_knows_exactly_when_they_do((one, other) in two()) {
        check_two(&one, &other)?;
    }

    #[test]
    fn two_sums_of_weights_meet_exactly_when_they_do(one in weights(7, 9), other in weights(7, 9)) {
        check_two(&one, &other)?;
        check_two(&one, &one)?;
    }
}

/// Every weighted rule over three nodes with weights up to three, against every other; and every
/// one over four with each other need of the same weights.
#[test]
fn all_small_sums_of_weights_meet_exactly_when_they_do() {
    let all = |nodes: u32, weights: u32| {
        (0..weights.pow(nodes)).map(move |number| {
            let weight = |node: u32| (node as usize, number / weights.pow(node) % weights);
            let weights: Vec<(usize, u32)> = (0..nodes).map(weight).collect();
            let of: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
            (weights, of)
        })
    };
    let rules = |(weights, of): (Vec<(usize, u32)>, u64)| {
        (1..=of).map(move |needed| Shape::<1>::weights(needed, weights.clone()))
    };
    let check = |a: &Shape<'_, 1>, b: &Shape<'_, 1>| {
        let apart = (0..16).map(NodeSet::from_bits).find(|set| a.holds(*set) && b.holds(!*set));
        match Pair::of(a, b).unwrap().answer(&mut { MOST_WORK }).unwrap() {
            Meets::Always => assert_eq!(apart, None, "{a:?} and {b:?}"),
            Meets::Not { first } => assert!(a.holds(first) && b.holds(!first), "{a:?} and {b:?}"),
        }
    };
    let three: Vec<_> = all(3, 4).flat_map(rules).collect();
    for a in &three {
        three.iter().for_each(|b| check(a, b));
    }
    for same in all(4, 4) {
        let rules: Vec<_> = rules(same).collect();
        for a in &rules {
            rules.iter().for_each(|b| check(a, b));
        }
    }
}
