//! Votes for values.

use std::fmt;

use super::{Cast, Roll};
use crate::{Decision, Nodes, Rule};

/// Votes of nodes for values: a value is chosen once a quorum has voted for it.
///
/// With a threshold of f + 1 it is the answer of at least one node that does not lie, if at most f
/// do. Where two values could both get a quorum, the first that does is chosen, and stays so.
///
/// ```
/// use steadfast_quorum::{Decision, Threshold, ValueTally};
///
/// // One of four may lie: two equal answers are enough.
/// let mut tally = ValueTally::new(Threshold::of(2, 4)?);
/// let _ = (tally.vote(0, "blue"), tally.vote(1, "red"), tally.fail(2));
/// assert_eq!(tally.decide(), Decision::Pending);
/// let _ = tally.vote(3, "red");
/// assert_eq!(tally.chosen(), Some(&"red"));
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ValueTally<V, R, const WORDS: usize = 1> {
    rule: R,
    roll: Roll<WORDS>,
    /// At most one for each member.
    values: Vec<(V, Nodes<WORDS>)>,
    chosen: Option<usize>,
}

impl<V: Eq, R: Rule<WORDS>, const WORDS: usize> ValueTally<V, R, WORDS> {
    /// No node has voted.
    #[must_use]
    pub fn new(rule: R) -> Self {
        Self { roll: Roll::new(rule.members()), rule, values: Vec::new(), chosen: None }
    }

    /// Takes a node's vote for a value.
    pub fn vote(&mut self, node: usize, value: V) -> Cast {
        let cast = self.roll.enter(node);
        if cast == Cast::Counted {
            self.count(node, value);
        }
        cast
    }

    /// Notes that a node will not vote: it has failed, or has no answer.
    pub fn fail(&mut self, node: usize) -> Cast {
        self.roll.enter(node)
    }

    fn count(&mut self, node: usize, value: V) {
        let index =
            self.values.iter().position(|(known, _)| *known == value).unwrap_or_else(|| {
                self.values.push((value, Nodes::EMPTY));
                self.values.len() - 1
            });
        let voters = &mut self.values[index].1;
        voters.insert(node);
        if self.chosen.is_none() && self.rule.is_quorum(*voters) {
            self.chosen = Some(index);
        }
    }

    /// Won once a value is chosen; lost once none can be any more, neither one that was voted for
    /// nor another.
    #[must_use]
    pub fn decide(&self) -> Decision {
        if self.chosen.is_some() {
            return Decision::Won;
        }
        let open = self.roll.open();
        let mut voters = self.values.iter().map(|(_, voters)| *voters);
        let possible =
            self.rule.is_quorum(open) || voters.any(|voters| self.rule.is_quorum(voters | open));
        if possible { Decision::Pending } else { Decision::Lost }
    }

    /// The value a quorum has voted for.
    #[must_use]
    pub fn chosen(&self) -> Option<&V> {
        self.chosen.map(|index| &self.values[index].0)
    }

    /// Every value that was voted for, and the nodes that did, in the order of the first votes.
    pub fn values(&self) -> impl Iterator<Item = (&V, Nodes<WORDS>)> {
        self.values.iter().map(|(value, voters)| (value, *voters))
    }

    /// Which nodes may vote, which have, and how many votes were ignored.
    #[must_use]
    pub const fn roll(&self) -> &Roll<WORDS> {
        &self.roll
    }
}

impl<V, R, const WORDS: usize> fmt::Debug for ValueTally<V, R, WORDS> {
    /// Without the values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voters: Vec<_> = self.values.iter().map(|(_, voters)| voters).collect();
        f.debug_struct("ValueTally")
            .field("voters", &voters)
            .field("chosen", &self.chosen)
            .finish_non_exhaustive()
    }
}
