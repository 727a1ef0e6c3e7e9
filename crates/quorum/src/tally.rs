//! Counting votes.

use crate::{Decision, Nodes, Rule};

mod by_value;
mod election;
mod newest;
mod roll;
mod suspicion;

pub use {
    by_value::ValueTally,
    election::Election,
    newest::NewestTally,
    roll::{Cast, Roll},
    suspicion::{Suspicion, SuspicionTally},
};

/// Votes of nodes for or against one thing.
///
/// The first vote of a node sticks, and only members vote; whatever else comes in is ignored, and
/// both said and counted. So messages may be lost, late and duplicated as they like.
///
/// ```
/// use steadfast_quorum::{Cast, Decision, Tally, Threshold};
///
/// let mut tally = Tally::new(Threshold::majority_of(3)?);
/// assert_eq!(tally.vote(0, true), Cast::Counted);
/// assert_eq!(tally.vote(0, true), Cast::Repeated);
/// assert_eq!(tally.vote(7, true), Cast::Stranger);
/// assert_eq!(tally.decide(), Decision::Pending);
/// tally.vote(2, true);
/// assert_eq!(tally.decide(), Decision::Won);
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<R, const WORDS: usize = 1> {
    rule: R,
    roll: Roll<WORDS>,
    yes: Nodes<WORDS>,
}

impl<R: Rule<WORDS>, const WORDS: usize> Tally<R, WORDS> {
    /// No node has voted.
    #[must_use]
    pub fn new(rule: R) -> Self {
        Self { roll: Roll::new(rule.members()), rule, yes: Nodes::EMPTY }
    }

    /// Takes a node's vote.
    pub fn vote(&mut self, node: usize, yes: bool) -> Cast {
        let cast = self.roll.enter(node);
        if cast == Cast::Counted && yes {
            self.yes.insert(node);
        }
        cast
    }

    /// What the votes say so far. Once it is won or lost it stays so.
    #[inline]
    #[must_use]
    pub fn decide(&self) -> Decision {
        self.rule.decide(self.yes, self.no())
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> &R {
        &self.rule
    }

    /// The nodes that have voted yes.
    #[must_use]
    pub const fn yes(&self) -> Nodes<WORDS> {
        self.yes
    }

    /// The nodes that have voted no.
    #[must_use]
    pub fn no(&self) -> Nodes<WORDS> {
        self.roll.voted() - self.yes
    }

    /// Which nodes may vote, which have, and how many votes were ignored.
    #[must_use]
    pub const fn roll(&self) -> &Roll<WORDS> {
        &self.roll
    }
}
