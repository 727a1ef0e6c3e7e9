//! The newest of the values that nodes hold.

use std::fmt;

use super::{Cast, Roll};
use crate::{Decision, Nodes, Rule};

/// Values that nodes hold, each with a stamp: once a quorum has replied, the newest is known.
///
/// Anything ordered is a stamp: a version, a hybrid timestamp with its node, an `Option` of one for
/// nodes that hold nothing. A stamp stands for one write: of two values under the same stamp the
/// first is kept. If every read quorum [meets](crate::Rule::intersects) every write quorum, then
/// the newest that a quorum holds is at least the last one whose write was acknowledged.
///
/// ```
/// use steadfast_quorum::{Decision, NewestTally, NodeSet, Threshold};
///
/// let mut tally = NewestTally::new(Threshold::majority_of(3)?);
/// let _ = (tally.reply(0, 4, "old"), tally.reply(2, 7, "new"));
/// assert_eq!(tally.decide(), Decision::Won);
/// assert_eq!(tally.newest(), Some((&7, &"new")));
/// assert_eq!(tally.stale(), NodeSet::of([0])?, "to be repaired");
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NewestTally<S, V, R, const WORDS: usize = 1> {
    rule: R,
    roll: Roll<WORDS>,
    replied: Nodes<WORDS>,
    newest: Option<(S, V)>,
    /// The nodes that hold the newest.
    current: Nodes<WORDS>,
}

impl<S: Ord, V, R: Rule<WORDS>, const WORDS: usize> NewestTally<S, V, R, WORDS> {
    /// No node has replied.
    #[must_use]
    pub fn new(rule: R) -> Self {
        let roll = Roll::new(rule.members());
        Self { rule, roll, replied: Nodes::EMPTY, newest: None, current: Nodes::EMPTY }
    }

    /// Takes a node's reply.
    pub fn reply(&mut self, node: usize, stamp: S, value: V) -> Cast {
        let cast = self.roll.enter(node);
        if cast == Cast::Counted {
            self.replied.insert(node);
            self.compare(node, stamp, value);
        }
        cast
    }

    /// Notes that a node will not reply.
    pub fn fail(&mut self, node: usize) -> Cast {
        self.roll.enter(node)
    }

    fn compare(&mut self, node: usize, stamp: S, value: V) {
        let newest = self.newest.as_ref().map(|(newest, _)| newest);
        if newest.is_none_or(|newest| stamp > *newest) {
            self.newest = Some((stamp, value));
            self.current = Nodes::EMPTY;
            self.current.insert(node);
        } else if newest == Some(&stamp) {
            self.current.insert(node);
        }
    }

    /// Whether enough nodes have replied, still may, or cannot any more.
    #[must_use]
    pub fn decide(&self) -> Decision {
        self.rule.decide(self.replied, self.roll.voted() - self.replied)
    }

    /// The newest value so far. Later replies may bring a newer one, after it is won too.
    #[must_use]
    pub fn newest(&self) -> Option<(&S, &V)> {
        self.newest.as_ref().map(|(stamp, value)| (stamp, value))
    }

    /// The newest value so far, taken out.
    #[must_use]
    pub fn into_newest(self) -> Option<(S, V)> {
        self.newest
    }

    /// The nodes that replied with the newest.
    ///
    /// A read that answers before these are a quorum for writes may be followed by one that meets
    /// none of them, and goes back to an older value: write the newest back first.
    #[must_use]
    pub const fn current(&self) -> Nodes<WORDS> {
        self.current
    }

    /// The nodes that replied with something older.
    #[must_use]
    pub fn stale(&self) -> Nodes<WORDS> {
        self.replied - self.current
    }

    /// Which nodes may reply, which have, and how many replies were ignored.
    #[must_use]
    pub const fn roll(&self) -> &Roll<WORDS> {
        &self.roll
    }
}

impl<S, V, R, const WORDS: usize> fmt::Debug for NewestTally<S, V, R, WORDS> {
    /// Without the stamps and values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewestTally")
            .field("replied", &self.replied)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
