//! Our rules, each asked about the same mix of votes as its peers.

use steadfast_quorum::{Expr, Expression, Joint, Nodes, Rule, Threshold, Weighted};

use super::{
    VOTES,
    votes::{Asking, Votes, mix},
};
use crate::row::{Family, Group, Row};

const VALID: &str = "the rule is possible";

/// How many nodes the joint configuration has: two of five are being replaced.
pub(crate) const JOINT: usize = 7;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(Family::Reference, VOTES, 5, |votes: &Votes| votes.yes | votes.no),
        decide("decide, majority of 5", 5, majority::<1>(5)),
        decide("decide, 4 of 5", 5, Threshold::of(4, 5).expect(VALID)),
        decide("decide, joint 5 + 5", JOINT, joint()),
        decide("decide, weighted 5", 5, weighted()),
        decide("decide, grid of 3 × 3", 9, grid()),
        decide("decide, hierarchy of 3 × 3", 9, hierarchy()),
        decide("decide, hierarchy of 5 × 5", 25, sites(5)),
        decide("decide, majority of 5 behind a pointer", 5, pointer()),
        decide("decide, majority of 64", 64, majority::<1>(64)),
        decide("decide, majority of 200", 200, majority::<4>(200)),
        decide("decide, majority of 1000", 1000, majority::<16>(1000)),
        is_quorum("is_quorum, majority of 5", 5, majority::<1>(5)),
        is_quorum("is_quorum, joint 5 + 5", JOINT, joint()),
        is_quorum("is_quorum, grid of 3 × 3", 9, grid()),
        is_quorum("is_quorum, hierarchy of 3 × 3", 9, hierarchy()),
        is_quorum("is_quorum, majority of 200", 200, majority::<4>(200)),
    ]
}

fn decide<R, const WORDS: usize>(name: &'static str, nodes: usize, rule: R) -> Row
where
    R: Rule<WORDS> + Clone + Send + 'static,
{
    row(Family::Ours, name, nodes, move |votes: &Votes<WORDS>| rule.decide(votes.yes, votes.no))
}

fn is_quorum<R, const WORDS: usize>(name: &'static str, nodes: usize, rule: R) -> Row
where
    R: Rule<WORDS> + Clone + Send + 'static,
{
    row(Family::Ours, name, nodes, move |votes: &Votes<WORDS>| rule.is_quorum(votes.yes))
}

fn row<A: 'static, const WORDS: usize>(
    family: Family,
    name: &'static str,
    nodes: usize,
    ask: impl Fn(&Votes<WORDS>) -> A + Clone + Send + 'static,
) -> Row {
    let row =
        Row::new(family, Group::Votes, name, Box::new(Asking::new(mix(nodes), ask))).over(name);
    // No call writes to a rule: a second thread cannot disturb the first. The one row that two
    // threads do run tells whether they have a core each.
    if name == VOTES { row } else { row.uncontended() }
}

pub(crate) fn majority<const WORDS: usize>(nodes: usize) -> Threshold<WORDS> {
    Threshold::majority(Nodes::first(nodes).expect(VALID)).expect(VALID)
}

/// As a call asks it, which knows its rule by a pointer only.
fn pointer() -> std::sync::Arc<dyn Rule + Send + Sync> {
    std::sync::Arc::new(majority::<1>(5))
}

pub(crate) fn joint() -> Joint<Threshold> {
    let [old, new] =
        [0..5, 2..7].map(|nodes| Threshold::majority(Nodes::of(nodes).expect(VALID)).expect(VALID));
    Joint::new([old, new]).expect(VALID)
}

pub(crate) fn weighted() -> Weighted {
    Weighted::majority([(0, 3), (1, 2), (2, 2), (3, 1), (4, 1)]).expect(VALID)
}

pub(crate) fn grid() -> Expression {
    Expression::new(Expr::grid(3, 3)).expect(VALID)
}

pub(crate) fn hierarchy() -> Expression {
    sites(3)
}

/// A majority of so many sites, by a majority of each, which has as many nodes.
pub(crate) fn sites(count: usize) -> Expression {
    let site = |site: usize| Expr::majority(count * site..count * (site + 1));
    Expression::new(Expr::majority((0..count).map(site))).expect(VALID)
}
