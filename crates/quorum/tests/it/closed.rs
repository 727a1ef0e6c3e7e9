//! What is calculated of rules that say what they are made of: against a search of the same rules
//! where they are small, and for hundreds of nodes.

use proptest::prelude::*;
use steadfast_quorum::{
    AnalysisError, Expr, Expression, IntersectionError, Joint, NodeSet, Nodes, ReadWrite, Rule,
    RuleError, SEARCH_LIMIT, Shape, Threshold, Weighted,
};

/// A rule of which nothing is known but its quorums: everything is searched for.
struct Unknown<'a>(&'a dyn Rule);

impl Rule for Unknown<'_> {
    fn is_quorum(&self, nodes: NodeSet) -> bool {
        self.0.is_quorum(nodes)
    }

    fn members(&self) -> NodeSet {
        self.0.members()
    }
}

trait Shown: Rule + std::fmt::Debug {}

impl<R: Rule + std::fmt::Debug> Shown for R {}

type AnyRule = Box<dyn Shown>;

const NODES: usize = 11;

fn thresholds() -> impl Strategy<Value = AnyRule> {
    (1..1_u64 << NODES, any::<prop::sample::Index>()).prop_map(|(members, needed)| {
        let members = NodeSet::from_bits(members);
        let needed = 1 + needed.index(members.len());
        Box::new(Threshold::new(needed, members).unwrap()) as AnyRule
    })
}

/// Weights that are small or large, or none; some of the nodes.
fn weights() -> impl Strategy<Value = AnyRule> {
    let weight = prop_oneof![Just(0), 1..5_u32, 1..5_000_u32, any::<u32>()];
    let nodes = prop::collection::btree_map(0..NODES, weight, 1..=NODES);
    (nodes, any::<prop::sample::Index>(), 0..5).prop_filter_map(
        "no weight",
        |(nodes, needed, edge)| {
            let all: u64 = nodes.values().copied().map(u64::from).sum();
            let needed = match edge {
                0 => 1,
                1 => all,
                2 => all / 2 + 1,
                _ => 1 + needed.index(usize::try_from(all).ok()?.max(1)) as u64,
            };
            Some(Box::new(Weighted::new(needed, nodes).ok()?) as AnyRule)
        },
    )
}

fn expr() -> impl Strategy<Value = Expr> {
    (0..NODES).prop_map(Expr::from).prop_recursive(3, 20, 5, |inside| {
        let list = prop::collection::vec(inside.clone(), 1..5);
        prop_oneof![
            (list, any::<prop::sample::Index>())
                .prop_map(|(of, needed)| Expr::choose(1 + needed.index(of.len()), of)),
            (inside.clone(), inside.clone()).prop_map(|(one, other)| one & other),
            (inside.clone(), inside).prop_map(|(one, other)| one | other),
        ]
    })
}

fn expressions() -> impl Strategy<Value = AnyRule> {
    let rule = |expr: Expr| Some(Box::new(Expression::new(expr).ok()?) as AnyRule);
    prop_oneof![
        4 => expr().prop_filter_map("a node twice", rule),
        1 => (1..4_usize, 1..4_usize)
            .prop_map(move |(rows, columns)| rule(Expr::grid(rows, columns)).unwrap()),
    ]
}

/// Rules of every kind, some of which say nothing of themselves.
fn rules() -> impl Strategy<Value = AnyRule> {
    #[derive(Debug)]
    struct Silent(AnyRule);
    impl Rule for Silent {
        fn is_quorum(&self, nodes: NodeSet) -> bool {
            self.0.is_quorum(nodes)
        }

        fn members(&self) -> NodeSet {
            self.0.members()
        }
    }
    let plain = prop_oneof![thresholds(), weights(), expressions()].boxed();
    let part = prop_oneof![
        6 => plain.clone(),
        1 => plain.clone().prop_map(|rule| Box::new(Silent(rule)) as AnyRule),
        1 => plain.clone().prop_map(|rule| Box::new(rule.dual()) as AnyRule),
    ];
    let joint = prop::collection::vec(part, 1..4)
        .prop_map(|parts| Box::new(Joint::new(parts).unwrap()) as AnyRule)
        .boxed();
    prop_oneof![
        3 => plain,
        2 => joint.clone(),
        1 => joint.prop_map(|rule| Box::new(rule.dual()) as AnyRule),
    ]
}

fn check(one: &dyn Rule, other: &dyn Rule) -> Result<(), TestCaseError> {
    let searched = Unknown(one).intersects(&Unknown(other));
    match one.intersects(other) {
        Ok(()) => prop_assert_eq!(searched, Ok(())),
        Err(IntersectionError::Disjoint { first, second }) => {
            prop_assert!(searched.is_err(), "{} and {}", first, second);
            prop_assert!(first.is_disjoint(second));
            for (rule, quorum) in [(one, first), (other, second)] {
                prop_assert!(rule.is_quorum(quorum));
                for node in quorum {
                    let fewer = quorum - NodeSet::of([node]).unwrap();
                    prop_assert!(!rule.is_quorum(fewer), "{} is minimal", quorum);
                }
            }
        }
        Err(error) => prop_assert!(false, "{}", error),
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_calculated_is_what_is_found_by_a_search(one in rules(), other in rules()) {
        prop_assert_eq!(one.resilience(), Unknown(&one).resilience());
        check(&one, &other)?;
        check(&one, &one)?;
        let dual = (&one).dual();
        prop_assert_eq!(dual.resilience(), Unknown(&dual).resilience());
        prop_assert_eq!(one.intersects(&dual), Ok(()));
        check(&dual, &other)?;
        prop_assert_eq!(ReadWrite::new(&one, &other).is_ok(), one.intersects(&other).is_ok());
    }

    #[test]
    fn two_needs_of_the_same_weights_are_compared_as_a_search_does(
        weights in prop::collection::vec(prop_oneof![Just(0), 1..4_u32, 1..100_u32], 0..10),
        one in 1..4_u32,
        read in any::<prop::sample::Index>(),
        write in any::<prop::sample::Index>(),
    ) {
        let weights: Vec<u32> = weights.into_iter().chain([one]).collect();
        let all: u32 = weights.iter().sum();
        let rule = |needed: prop::sample::Index| {
            let needed = 1 + needed.index(all as usize) as u64;
            Weighted::new(needed, weights.iter().copied().enumerate()).unwrap()
        };
        let (read, write) = (rule(read), rule(write));
        check(&read, &write)?;
        prop_assert_eq!(read.resilience(), Unknown(&read).resilience());
        // Above the weight of all they meet. Below, they may too: no sum fills the gap.
        if read.needed() + write.needed() > u64::from(all) {
            prop_assert_eq!(read.intersects(&write), Ok(()));
        }
    }

    #[test]
    fn grids_of_any_shape_are_what_a_search_finds(rows in 1..5_usize, columns in 1..4_usize) {
        let grid = Expression::new(Expr::grid(rows, columns)).unwrap();
        check(&grid, &grid)?;
        check(&grid, &(&grid).dual())?;
        prop_assert_eq!(grid.resilience(), Unknown(&grid).resilience());
        prop_assert_eq!(grid.resilience(), Ok(rows.min(columns) - 1));
    }
}

#[test]
fn weights_may_meet_by_the_gaps_between_their_sums() {
    // Half of it is 7, and no nodes weigh 7 together: 3 + 3 is too little, and 8 too much.
    let rule = Weighted::new(7, [(0, 8), (1, 3), (2, 3)]).unwrap();
    assert_eq!(rule.intersects(&rule), Ok(()), "7 and 7 of 14");
    let rule = Weighted::new(7, [(0, 7), (1, 4), (2, 3)]).unwrap();
    assert!(matches!(rule.intersects(&rule), Err(IntersectionError::Disjoint { .. })));
}

fn set<const WORDS: usize>(nodes: impl IntoIterator<Item = usize>) -> Nodes<WORDS> {
    Nodes::of(nodes).unwrap()
}

/// Numbers that look random.
fn scattered(count: usize) -> impl Iterator<Item = u32> {
    let next = |number: &u64| Some(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99));
    std::iter::successors(Some(1), next).skip(1).take(count).map(|number| (number >> 32) as u32)
}

#[test]
fn weights_of_a_thousand_nodes_are_summed_and_sorted() {
    let weights: Vec<u32> = scattered(1000).collect();
    let all: u64 = weights.iter().copied().map(u64::from).sum();
    let rule = |needed| Weighted::<16>::wide(needed, weights.iter().copied().enumerate()).unwrap();
    let majority = rule(all / 2 + 1);
    assert_eq!(majority.intersects(&majority), Ok(()));
    // The heaviest first: so many that the rest is less than half.
    let mut heaviest = weights.clone();
    heaviest.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = all;
    let block = heaviest.iter().take_while(|weight| {
        let is_quorum = left > all / 2;
        left -= u64::from(**weight);
        is_quorum
    });
    assert_eq!(majority.resilience(), Ok(block.count() - 1));
    // A third to read, two thirds to write.
    let (read, write) = (rule(all / 3), rule(all - all / 3 + 1));
    assert!(ReadWrite::new(read.clone(), write).is_ok());
    let refused = ReadWrite::new(read.clone(), rule(all - all / 2)).unwrap_err();
    let IntersectionError::Disjoint { first, second } = refused else { panic!("{refused}") };
    assert!(first.is_disjoint(second) && read.is_quorum(first));
    let dual = rule(all / 3).dual();
    assert_eq!((read.intersects(&dual), dual.intersects(&read)), (Ok(()), Ok(())));
}

#[test]
fn joint_rules_on_both_sides_meet_by_their_parts_or_by_what_they_leave_over() {
    let half = |nodes: std::ops::Range<usize>| Threshold::majority(set::<8>(nodes)).unwrap();
    // From 300 nodes to another 300, half of which stay.
    let change = Joint::new([half(0..300), half(150..450)]).unwrap();
    assert_eq!((change.intersects(&change), change.resilience()), (Ok(()), Ok(149)));
    // The next change begins where this one ends.
    let next = Joint::new([half(150..450), half(300..512)]).unwrap();
    assert_eq!(change.intersects(&next), Ok(()));
    // No part of these meets a part of those, and they do not meet.
    let (one, other) =
        (Joint::new([half(0..99), half(99..200)]), Joint::new([half(200..311), half(311..512)]));
    let (one, other) = (one.unwrap(), other.unwrap());
    let apart = one.intersects(&other).unwrap_err();
    let IntersectionError::Disjoint { first, second } = apart else { panic!("{apart}") };
    assert!((first | second).len() > 200 && one.is_quorum(first) && other.is_quorum(second));
    // No part meets a part, but both together leave too little over: 4 and 3 of the first six nodes
    // or of the others, and the second takes four of all.
    let six = |needed, nodes: std::ops::Range<usize>| Threshold::new(needed, set(nodes)).unwrap();
    let both: Joint<Threshold> = Joint::new([six(4, 0..6), six(5, 6..12)]).unwrap();
    let four = six(4, 0..12);
    assert!(both.rules().iter().all(|part| part.intersects(&four).is_err()));
    assert_eq!((both.intersects(&four), four.intersects(&both)), (Ok(()), Ok(())));
    // Weights too, old and new, of hundreds of nodes.
    let weighted = |from: usize, scale: u32| {
        let weights = scattered(400).map(move |weight| weight / scale + 1);
        let weights: Vec<(usize, u32)> = (from..).zip(weights).collect();
        let all: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        Weighted::<8>::wide(all / 2 + 1, weights).unwrap()
    };
    let change = Joint::new([weighted(0, 1), weighted(100, 7)]).unwrap();
    assert_eq!(change.intersects(&change), Ok(()));
    assert!(change.resilience().is_ok());
}

#[test]
fn grids_and_hierarchies_of_hundreds_of_nodes_are_known() {
    for (rows, columns) in [(16, 16), (3, 200), (200, 3), (30, 30)] {
        let grid = Expression::<15>::wide(Expr::grid(rows, columns)).unwrap();
        assert_eq!(grid.intersects(&grid), Ok(()), "{rows} × {columns}");
        assert_eq!(grid.resilience(), Ok(rows.min(columns) - 1), "{rows} × {columns}");
        let dual = (&grid).dual();
        assert_eq!((grid.intersects(&dual), dual.intersects(&grid)), (Ok(()), Ok(())));
        // Rows alone do not meet, and meet what takes one of each; and every column.
        let row = |row: usize| row * columns..(row + 1) * columns;
        let column = |column: usize| (0..rows).map(move |row| row * columns + column);
        let lines = |lines: Vec<Expr>| Expression::<15>::wide(Expr::any(lines)).unwrap();
        let whole_rows = lines((0..rows).map(|number| Expr::all(row(number))).collect());
        let whole_columns = lines((0..columns).map(|number| Expr::all(column(number))).collect());
        assert!(whole_rows.intersects(&whole_rows).is_err());
        let pair = ReadWrite::of_reads(whole_rows.clone());
        assert_eq!(pair.read().intersects(pair.write()), Ok(()));
        assert_eq!(whole_rows.intersects(&whole_columns), Ok(()));
        assert_eq!(pair.write().resilience(), Ok(columns - 1));
        assert_eq!(whole_rows.resilience(), Ok(rows - 1));
    }
    // A majority of 21 regions, by a majority of 7 sites of each, by 2 of 3 nodes of each.
    let region = |region: usize| {
        let site = move |site: usize| (region * 7 + site) * 3;
        Expr::majority((0..7).map(move |number| Expr::choose(2, site(number)..site(number) + 3)))
    };
    let world = Expression::<7>::wide(Expr::majority((0..21).map(region))).unwrap();
    assert_eq!((world.intersects(&world), world.resilience()), (Ok(()), Ok(11 * 4 * 2 - 1)));
    // The same regions in another order.
    let turned = Expression::<7>::wide(Expr::majority((0..21).rev().map(region))).unwrap();
    assert_eq!(world.intersects(&turned), Ok(()));
    let ten = Expression::<7>::wide(Expr::choose(10, (0..21).map(region))).unwrap();
    let apart = ten.intersects(&world).unwrap_err();
    assert!(matches!(apart, IntersectionError::Disjoint { .. }), "{apart}");
    let eleven = Expression::<7>::wide(Expr::choose(11, (0..21).map(region))).unwrap();
    assert_eq!(eleven.intersects(&world), Ok(()));
}

#[test]
fn a_rule_of_the_users_takes_part_by_its_shape() {
    /// A rule that wraps another, and one that adds a leader.
    struct Led<R>(R);
    impl<R: Rule<8>> Rule<8> for Led<R> {
        fn is_quorum(&self, nodes: Nodes<8>) -> bool {
            nodes.contains(511) && self.0.is_quorum(nodes)
        }

        fn members(&self) -> Nodes<8> {
            self.0.members() | set([511])
        }

        fn shape(&self) -> Option<Shape<'_, 8>> {
            Some(Shape::choose(2, [Shape::node(511), Shape::of(&self.0)]))
        }
    }
    let half = Led(Threshold::new(150, set::<8>(0..300)).unwrap());
    assert_eq!((half.intersects(&half), half.resilience()), (Ok(()), Ok(0)));
    // A pointer to it, a part of another and its dual are no strangers either.
    let joint = Joint::new([Box::new(half) as Box<dyn Rule<8>>]).unwrap();
    assert_eq!(joint.intersects(&(&joint).dual()), Ok(()));
    assert!((&joint).dual().resilience().is_ok());
    // Of a rule that says nothing the same object is known, wherever it stands.
    struct Silent;
    impl Rule<8> for Silent {
        fn is_quorum(&self, nodes: Nodes<8>) -> bool {
            nodes.len() >= 20
        }

        fn members(&self) -> Nodes<8> {
            set(0..41)
        }
    }
    let joint = Joint::new([Led(Silent)]).unwrap();
    assert_eq!(joint.intersects(&(&joint).dual()), Ok(()));
}

#[test]
fn a_shape_that_says_what_the_rule_does_not_shows_no_quorums_that_are_none() {
    /// Says any of them, and takes two.
    struct Liar;
    impl Rule for Liar {
        fn is_quorum(&self, nodes: NodeSet) -> bool {
            nodes.len() >= 2
        }

        fn members(&self) -> NodeSet {
            set(0..3)
        }

        fn shape(&self) -> Option<Shape<'_>> {
            Some(Shape::threshold(1, set(0..3)))
        }
    }
    assert_eq!(Liar.intersects(&Liar), Ok(()), "two of three meet, whatever it says");
}

/// What remains: the search gives up, and says so.
#[test]
fn what_is_neither_calculated_nor_swept_nor_searched_is_too_large() {
    let too_large = AnalysisError::TooLarge { limit: SEARCH_LIMIT };
    // Weights so large and different that half of them are as many sums as there are sets, and
    // needs that leave room for one sum only.
    let weights: Vec<(usize, u32)> = scattered(33).map(|weight| weight | 1).enumerate().collect();
    let all: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    assert_eq!(all % 2, 1);
    let rule = |needed| Weighted::new(needed, weights.iter().copied()).unwrap();
    let (less, more) = (rule(all / 2), rule(all - all / 2));
    assert_eq!(less.intersects(&more), Err(too_large.into()));
    assert_eq!(rule(all / 2 + 1).intersects(&more), Ok(()), "one more, and they meet");
    // Parts that have nodes in common all over the place.
    let numbers: Vec<usize> = scattered(180).map(|number| number as usize % 40).collect();
    let triples = numbers.chunks(3).filter_map(|nodes| NodeSet::of(nodes.iter().copied()).ok());
    let parts: Vec<Threshold> = triples.map(|nodes| Threshold::any(nodes).unwrap()).collect();
    let tangle = Joint::new(parts).unwrap().dual();
    assert_eq!(tangle.resilience(), Err(too_large));
    assert!(matches!(Expression::new(Expr::grid(9, 9)), Err(RuleError::NodeTooLarge { .. })));
}
