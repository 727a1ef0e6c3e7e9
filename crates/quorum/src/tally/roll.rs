//! Which nodes may vote, and which have.

use crate::Nodes;

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a vote that is not counted changes nothing"]
#[non_exhaustive]
pub enum Cast {
    /// It counts.
    Counted,
    /// Ignored: the node had voted before, or its report is an older one.
    Repeated,
    /// Ignored: the node is no member.
    Stranger,
    /// Ignored: the vote is one of another term.
    OtherTerm,
    /// Ignored: a node cannot judge itself.
    OfItself,
}

/// The members, those that have voted, and how many votes were ignored. A node that has failed has
/// voted too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll<const WORDS: usize = 1> {
    members: Nodes<WORDS>,
    voted: Nodes<WORDS>,
    repeated: u64,
    strangers: u64,
}

impl<const WORDS: usize> Roll<WORDS> {
    pub(super) const fn new(members: Nodes<WORDS>) -> Self {
        Self { members, voted: Nodes::EMPTY, repeated: 0, strangers: 0 }
    }

    /// Notes that a node has voted, if it is a member's first vote.
    pub(super) fn enter(&mut self, node: usize) -> Cast {
        if !self.members.contains(node) {
            self.strangers += 1;
            return Cast::Stranger;
        }
        if self.voted.insert(node) {
            Cast::Counted
        } else {
            self.repeated += 1;
            Cast::Repeated
        }
    }

    /// The nodes that may vote.
    #[must_use]
    pub const fn members(&self) -> Nodes<WORDS> {
        self.members
    }

    /// The nodes that have voted.
    #[must_use]
    pub const fn voted(&self) -> Nodes<WORDS> {
        self.voted
    }

    /// The members that have not voted.
    #[must_use]
    pub fn open(&self) -> Nodes<WORDS> {
        self.members - self.voted
    }

    /// How many votes were ignored because the node had voted before.
    #[must_use]
    pub const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many votes were ignored because the node is no member.
    #[must_use]
    pub const fn strangers(&self) -> u64 {
        self.strangers
    }
}
