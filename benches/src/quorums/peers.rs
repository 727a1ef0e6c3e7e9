//! The crate `quorum-set`, which came out of openraft. It says whether nodes are a quorum, and
//! leaves it to its users whether one can still come.
//!
//! It takes nodes as a list of numbers, whatever they are, and each list lies in memory in one
//! piece.

use std::collections::BTreeSet;

use quorum_set::{Node, QuorumSet, QuorumTree};

use super::{
    rules::JOINT,
    votes::{Asking, Votes, mix},
};
use crate::row::{Family, Group, Row};

const VALID: &str = "the rule is possible";

pub(crate) fn rows() -> Vec<Row> {
    vec![
        is_quorum::<_, 1>("quorum-set, is_quorum, majority of 5", 5, majority(0..5)),
        is_quorum::<_, 1>("quorum-set, is_quorum, joint 5 + 5", JOINT, joint()),
        is_quorum::<_, 1>("quorum-set, is_quorum, grid of 3 × 3", 9, grid()),
        is_quorum::<_, 1>("quorum-set, is_quorum, hierarchy of 3 × 3", 9, hierarchy()),
        is_quorum::<_, 4>("quorum-set, is_quorum, majority of 200", 200, majority(0..200)),
        twice("quorum-set, asked for loss too, majority of 5", 5, majority(0..5)),
        twice("quorum-set, asked for loss too, joint 5 + 5", JOINT, joint()),
    ]
}

fn is_quorum<Q, const WORDS: usize>(name: &'static str, nodes: usize, rule: Q) -> Row
where
    Q: QuorumSet<Id = u64> + Clone + Send + 'static,
{
    let yes = mix(nodes).into_iter().map(|Votes::<WORDS> { yes, .. }| list(yes)).collect();
    row(name, yes, move |yes: &Vec<u64>| rule.is_quorum(yes.iter()))
}

/// What a user does who wants to know it as early as it is certain: with all who have not said no,
/// is it a quorum?
fn twice<Q>(name: &'static str, nodes: usize, rule: Q) -> Row
where
    Q: QuorumSet<Id = u64> + Clone + Send + 'static,
{
    let lists = |Votes { yes, no }: Votes| {
        (list(yes), list(steadfast_quorum::Nodes::first(nodes).expect(VALID) - no))
    };
    let votes = mix(nodes).into_iter().map(lists).collect();
    row(name, votes, move |(yes, not_no): &(Vec<u64>, Vec<u64>)| {
        (rule.is_quorum(yes.iter()), rule.is_quorum(not_no.iter()))
    })
}

fn list(nodes: impl IntoIterator<Item = usize>) -> Vec<u64> {
    nodes.into_iter().map(|node| node as u64).collect()
}

fn row<T, A: 'static>(
    name: &'static str,
    votes: Vec<T>,
    ask: impl Fn(&T) -> A + Clone + Send + 'static,
) -> Row
where
    T: Send + Sync + 'static,
{
    Row::new(Family::Peer, Group::Votes, name, Box::new(Asking::new(votes, ask)))
        .over(name)
        .uncontended()
}

fn majority(nodes: std::ops::Range<u64>) -> BTreeSet<u64> {
    nodes.collect()
}

fn joint() -> Vec<BTreeSet<u64>> {
    vec![majority(0..5), majority(2..7)]
}

fn hierarchy() -> QuorumTree<u64> {
    choose(2, (0..3).map(|site| Node::Subtree(choose(2, row_of(site)))))
}

fn grid() -> QuorumTree<u64> {
    let whole = choose(1, (0..3).map(|row| Node::Subtree(choose(3, row_of(row)))));
    let across = choose(3, (0..3).map(|row| Node::Subtree(choose(1, row_of(row)))));
    choose(2, [whole, across].map(Node::Subtree))
}

fn row_of(row: u64) -> impl Iterator<Item = Node<u64>> {
    (3 * row..3 * row + 3).map(Node::Id)
}

fn choose(needed: u64, of: impl IntoIterator<Item = Node<u64>>) -> QuorumTree<u64> {
    QuorumTree::new(needed, of).expect(VALID)
}

#[cfg(test)]
mod tests {
    use steadfast_quorum::Rule;

    use super::*;
    use crate::quorums::rules;

    fn agree<Q: QuorumSet<Id = u64>>(nodes: usize, ours: &impl Rule, theirs: &Q) {
        for Votes { yes, .. } in mix(nodes) {
            assert_eq!(ours.is_quorum(yes), theirs.is_quorum(list(yes).iter()), "{yes}");
        }
    }

    #[test]
    fn both_are_asked_the_same_and_say_the_same() {
        agree(5, &rules::majority(5), &majority(0..5));
        agree(JOINT, &rules::joint(), &joint());
        agree(9, &rules::grid(), &grid());
        agree(9, &rules::hierarchy(), &hierarchy());
    }
}
