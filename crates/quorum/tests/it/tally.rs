//! Votes that come twice, late, from strangers, and for different things.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use steadfast_quorum::{
    Cast, Decision, Election, Expr, Expression, IntersectionError, NewestTally, NodeSet, Nodes,
    Suspicion, SuspicionTally, Tally, Threshold, ValueTally,
};

const SECOND: Duration = Duration::from_secs(1);

fn set(nodes: impl IntoIterator<Item = usize>) -> NodeSet {
    NodeSet::of(nodes).unwrap()
}

fn majority_of(count: usize) -> Threshold {
    Threshold::majority_of(count).unwrap()
}

#[test]
fn a_second_vote_and_a_strangers_vote_change_nothing_and_are_seen() {
    let mut tally = Tally::new(majority_of(3));
    assert_eq!(tally.vote(1, false), Cast::Counted);
    assert_eq!([tally.vote(1, true), tally.vote(1, false)], [Cast::Repeated; 2]);
    assert_eq!(
        [tally.vote(3, true), tally.vote(64, true), tally.vote(usize::MAX, true)],
        [Cast::Stranger; 3]
    );
    assert_eq!((tally.yes(), tally.no(), tally.roll().open()), (set([]), set([1]), set([0, 2])));
    assert_eq!((tally.roll().repeated(), tally.roll().strangers()), (2, 3));
    assert_eq!(tally.decide(), Decision::Pending);
    let _ = tally.vote(0, false);
    assert_eq!(tally.decide(), Decision::Lost);
}

#[test]
fn a_vote_among_hundreds_counts() {
    let mut tally = Tally::new(Threshold::majority(Nodes::<4>::first(200).unwrap()).unwrap());
    (0..101).for_each(|node| assert_eq!(tally.vote(199 - node, true), Cast::Counted));
    assert_eq!((tally.decide(), tally.vote(200, true)), (Decision::Won, Cast::Stranger));
}

#[test]
fn a_value_is_lost_as_soon_as_none_can_be_chosen() {
    // Two equal answers of three, all different: only the last can tell, and does.
    let mut tally = ValueTally::new(majority_of(3));
    let _ = (tally.vote(0, 'a'), tally.vote(1, 'b'));
    assert_eq!(tally.decide(), Decision::Pending);
    let _ = tally.vote(2, 'c');
    assert_eq!((tally.decide(), tally.chosen()), (Decision::Lost, None));
    // Four of five needed: two different answers and a failure leave three at most.
    let mut tally = ValueTally::new(Threshold::of(4, 5).unwrap());
    let _ = (tally.vote(0, 'a'), tally.vote(1, 'b'));
    assert_eq!(tally.decide(), Decision::Pending);
    let _ = tally.fail(2);
    assert_eq!(tally.decide(), Decision::Lost);
}

#[test]
fn the_first_value_that_is_chosen_stays_so() {
    let mut tally = ValueTally::new(Threshold::of(2, 5).unwrap());
    let _ = (tally.vote(0, "a"), tally.vote(1, "b"), tally.vote(2, "b"), tally.vote(3, "a"));
    assert_eq!((tally.chosen(), tally.decide()), (Some(&"b"), Decision::Won));
    assert!(tally.values().eq([(&"a", set([0, 3])), (&"b", set([1, 2]))]));
}

#[test]
fn nodes_that_hold_nothing_reply_too_and_are_repaired() {
    let mut tally = NewestTally::new(majority_of(5));
    let _ = (tally.reply(0, None, ""), tally.reply(1, Some(3), "x"), tally.fail(2));
    assert_eq!(tally.decide(), Decision::Pending);
    let _ = tally.reply(3, Some(3), "x");
    assert_eq!((tally.decide(), tally.newest()), (Decision::Won, Some((&Some(3), &"x"))));
    assert_eq!(
        (tally.current(), tally.stale(), tally.roll().open()),
        (set([1, 3]), set([0]), set([4]))
    );
    // A straggler brings a newer one: a write that was under way.
    let _ = tally.reply(4, Some(9), "y");
    assert_eq!((tally.newest(), tally.stale()), (Some((&Some(9), &"y")), set([0, 1, 3])));
    assert_eq!(tally.reply(4, Some(11), "z"), Cast::Repeated);
}

#[test]
fn a_rule_that_could_elect_two_is_refused_with_both_their_voters() {
    let refused = Election::<&str, _>::new(1, Threshold::of(2, 4).unwrap()).unwrap_err();
    assert_eq!(refused, IntersectionError::Disjoint { first: set([0, 1]), second: set([2, 3]) });
    let rows = Expression::new(Expr::any([Expr::all([0, 1]), Expr::all([2, 3])])).unwrap();
    assert!(Election::<&str, _>::new(1, rows).is_err());
    assert!(Election::<&str, _>::new(1, Expression::new(Expr::grid(3, 3)).unwrap()).is_ok());
}

#[test]
fn a_leader_is_elected_by_votes_of_this_term_alone_and_each_node_votes_once() {
    let mut election = Election::new(7, majority_of(3)).unwrap();
    assert_eq!([election.vote(0, 6, 1), election.vote(1, 8, 1)], [Cast::OtherTerm; 2]);
    assert_eq!(
        (election.tally().roll().open(), election.decide()),
        (set([0, 1, 2]), Decision::Pending)
    );
    assert_eq!(
        election.vote(0, 7, 1),
        Cast::Counted,
        "a late vote of another term has not used up the node's own"
    );
    assert_eq!(election.vote(0, 7, 2), Cast::Repeated, "a node votes once in a term");
    assert_eq!(election.fail(1), Cast::Counted);
    assert_eq!(election.leader(), None);
    assert_eq!(election.vote(2, 7, 1), Cast::Counted);
    assert_eq!(
        (election.leader(), election.decide(), election.term()),
        (Some(&1), Decision::Won, 7)
    );
}

fn report(observer: usize, suspect: usize, suspected: bool, sequence: u64) -> Suspicion {
    Suspicion { observer, suspect, suspected, sequence }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn any_instant() -> Instant {
    Instant::now()
}

#[test]
fn a_node_cannot_judge_itself_and_late_reports_do_not_stand_for_newer_ones() {
    let now = any_instant();
    let mut tally = SuspicionTally::new(majority_of(3), 5 * SECOND).unwrap();
    assert_eq!(tally.report(report(2, 2, false, 1), now), Cast::OfItself);
    assert_eq!(tally.report(report(3, 2, true, 1), now), Cast::Stranger);
    assert_eq!(tally.report(report(0, 9, true, 1), now), Cast::Stranger);
    assert_eq!(tally.report(report(0, 2, true, 5), now), Cast::Counted);
    assert_eq!(tally.report(report(0, 2, false, 4), now), Cast::Repeated);
    assert_eq!(tally.decide(2, now), Decision::Pending);
    assert_eq!(tally.report(report(1, 2, true, 1), now), Cast::Counted);
    assert_eq!((tally.decide(2, now), tally.dead(now)), (Decision::Won, set([2])));
    // It is seen again.
    assert_eq!(tally.report(report(0, 2, false, 6), now), Cast::Counted);
    assert_eq!((tally.decide(2, now), tally.dead(now)), (Decision::Lost, set([])));
    assert_eq!(tally.observers(2, now, true), set([1]));
}

#[test]
fn whoever_does_not_report_has_no_say_and_may_begin_anew() {
    let start = any_instant();
    let mut tally = SuspicionTally::new(majority_of(3), 5 * SECOND).unwrap();
    let _ = (
        tally.report(report(0, 2, true, 100), start),
        tally.report(report(1, 2, true, 100), start + SECOND),
    );
    assert_eq!(tally.decide(2, start + 5 * SECOND), Decision::Won);
    let later = start + 5 * SECOND + Duration::from_nanos(1);
    assert_eq!(tally.decide(2, later), Decision::Pending);
    // What was held up in the network for as long does not stand for what was said since.
    assert_eq!(tally.report(report(0, 2, true, 99), later), Cast::Repeated);
    // Observer 0 was restarted and counts from the beginning.
    let later = start + 40 * SECOND + Duration::from_nanos(1);
    assert_eq!(tally.report(report(0, 2, true, 1), later), Cast::Counted);
    assert_eq!(tally.report(report(1, 2, true, 1), later), Cast::Repeated);
    assert_eq!(tally.report(report(1, 2, true, 101), later), Cast::Counted);
    assert_eq!(tally.decide(2, later), Decision::Won);
    assert_eq!(SuspicionTally::new(majority_of(3), Duration::ZERO).unwrap_err().field, "max_age");
}

proptest! {
    /// Votes in any order, with doubles and strangers, are those of a map that keeps the first of
    /// each.
    #[test]
    fn a_tally_of_values_is_a_map_of_first_votes(
        votes in prop::collection::vec((0..8_usize, prop::option::of(0..3_u8)), 0..20),
        needed in 1..=6_usize,
    ) {
        let mut tally = ValueTally::new(Threshold::of(needed, 6).unwrap());
        let (mut first, mut chosen) = (BTreeMap::new(), None);
        for (node, value) in votes {
            let cast = match value {
                Some(value) => tally.vote(node, value),
                None => tally.fail(node),
            };
            let expected = match (node < 6, first.contains_key(&node)) {
                (false, _) => Cast::Stranger,
                (true, true) => Cast::Repeated,
                (true, false) => Cast::Counted,
            };
            prop_assert_eq!(cast, expected);
            if cast == Cast::Counted {
                first.insert(node, value);
            }
            let votes_for = |value| first.values().filter(|vote| **vote == Some(value)).count();
            chosen = chosen.or_else(|| (0..3_u8).find(|value| votes_for(*value) >= needed));
            // A value without a vote yet can still get all nodes that are open.
            let most = (0..4_u8).map(|value| votes_for(value) + 6 - first.len()).max().unwrap();
            let decided = match chosen {
                Some(_) => Decision::Won,
                None if most >= needed => Decision::Pending,
                None => Decision::Lost,
            };
            prop_assert_eq!((tally.decide(), tally.chosen()), (decided, chosen.as_ref()));
        }
    }

    #[test]
    fn the_newest_is_the_maximum_of_first_replies(
        replies in prop::collection::vec((0..6_usize, 0..5_u8), 0..12),
    ) {
        let mut tally = NewestTally::new(majority_of(5));
        let mut first = BTreeMap::new();
        for (node, stamp) in replies {
            if node < 5 {
                first.entry(node).or_insert(stamp);
            }
            let _ = tally.reply(node, stamp, u32::from(stamp));
            let newest = first.values().max();
            prop_assert_eq!(tally.newest().map(|(stamp, _)| stamp), newest);
            let current = first.iter().filter(|(_, stamp)| Some(*stamp) == newest).map(|(node, _)| *node);
            prop_assert_eq!(tally.current(), set(current));
            prop_assert_eq!(tally.decide() == Decision::Won, first.len() >= 3);
        }
    }
}
