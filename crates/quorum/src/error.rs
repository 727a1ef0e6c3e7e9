//! What cannot be a rule, and what cannot be found out of one.

use crate::Nodes;

/// A rule that cannot work, refused where it is made, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A rule without members. It would be won before any node was asked, or never.
    #[error("a rule needs at least one member")]
    NoMembers,
    /// A node has a number that the set cannot hold.
    #[error("node {node} is too large: a set holds the nodes below {capacity}")]
    NodeTooLarge {
        /// The node.
        node: usize,
        /// How many nodes the set can hold.
        capacity: usize,
    },
    /// A node is named twice, and must not count twice.
    #[error("node {node} is named twice")]
    NodeTwice {
        /// The node.
        node: usize,
    },
    /// More is needed than there is, or nothing is.
    #[error("{needed} needed of {of}: must be from 1 to {of}")]
    Needed {
        /// How many votes, or how much weight, make a quorum.
        needed: u64,
        /// How many there are.
        of: u64,
    },
    /// So few nodes cannot withstand so many that lie.
    #[error("{nodes} nodes cannot withstand {faults} Byzantine faults: at least {least} can")]
    TooFewNodes {
        /// How many nodes there are.
        nodes: usize,
        /// How many of them may lie.
        faults: usize,
        /// How many nodes it takes.
        least: usize,
    },
    /// An expression nests too deeply.
    #[error("an expression nests at most {most} deep")]
    TooDeep {
        /// How deep it may nest.
        most: usize,
    },
}

impl RuleError {
    /// `Ok` when so much can be needed of so much.
    pub(crate) fn check_needed(needed: u64, of: u64) -> Result<(), Self> {
        if needed == 0 || needed > of { Err(Self::Needed { needed, of }) } else { Ok(()) }
    }
}

/// Why something cannot be found out of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// There is more to look at than was allowed. The answer is not known.
    ///
    /// [Minimal quorums](crate::Rule::minimal_quorums) are always searched for. What a rule
    /// [withstands](crate::Rule::resilience) and [meets](crate::Rule::intersects) is calculated
    /// where its [shape](crate::Rule::shape) allows, and searched for in these cases only:
    ///
    /// - The rule, or a part of it that matters, says nothing of its shape.
    /// - Two sums of weights that meet or miss each other by less than one node weighs, where the
    ///   bounds leave more than some ten thousand pairs of sums open: nodes weigh the same in both
    ///   and the sums to look at are above two million, or they weigh differently and no few states
    ///   are ahead of the others.
    /// - Expressions, joint rules and their duals in whose parts the same nodes stand all over the
    ///   place, so that neither parts that meet nor what is open node by node say it.
    #[error("gave up after looking at {limit} sets of failed nodes")]
    TooLarge {
        /// How many sets were looked at.
        limit: usize,
    },
    /// Not even all members together are a quorum.
    #[error("the rule has no quorum")]
    NoQuorum,
}

/// Why two rules are not known to have a node in common in all of their quorums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntersectionError<const WORDS: usize = 1> {
    /// A quorum of one and a quorum of the other without a common node.
    #[error("the quorums {first} and {second} have no node in common")]
    Disjoint {
        /// A minimal quorum of the first rule: of the one that reads, in a read–write pair.
        first: Nodes<WORDS>,
        /// A minimal quorum of the second rule: of the one that writes, in a read–write pair.
        second: Nodes<WORDS>,
    },
    /// It could not be found out.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
}

impl<const WORDS: usize> IntersectionError<WORDS> {
    /// The same, asked from the other side.
    pub(crate) fn swapped(self) -> Self {
        match self {
            Self::Disjoint { first, second } => Self::Disjoint { first: second, second: first },
            Self::Analysis(_) => self,
        }
    }
}
