//! The answers of a rule over few nodes, known by heart.

use std::fmt;

use crate::{Nodes, Rule};

/// A bit for each set of nodes: whether it is a quorum. Empty if there are too many sets.
///
/// To look an answer up takes no branch that depends on votes: they cannot be foreseen, and a
/// branch that is guessed wrong takes longer than the answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Table(Box<[u64]>);

/// A grid of 3 × 4, or three sites of four. Each node more doubles the table: 512 bytes for so
/// many.
const MOST_NODES: usize = 12;

impl Table {
    /// Of no set.
    pub(super) fn empty() -> Self {
        Self(Box::new([]))
    }

    /// All answers of this rule, if its members are few and have low numbers.
    pub(super) fn of<const WORDS: usize>(rule: &impl Rule<WORDS>) -> Self {
        let nodes = rule.members().iter().next_back().map_or(0, |highest| highest + 1);
        if nodes > MOST_NODES {
            return Self::empty();
        }
        let sets = 1_u64 << nodes;
        let answer = |set: u64| u64::from(rule.is_quorum(Nodes::from_word(set)));
        let word = |first: u64| {
            (first..sets.min(first + 64)).fold(0, |word, set| word | answer(set) << (set - first))
        };
        Self((0..sets).step_by(64).map(word).collect())
    }

    /// Whether these nodes, all of them members, are a quorum, if it is known.
    #[inline]
    pub(super) fn look_up<const WORDS: usize>(&self, nodes: Nodes<WORDS>) -> Option<bool> {
        let set = nodes.word();
        let word = self.0.get(usize::try_from(set / 64).ok()?)?;
        Some(word >> (set % 64) & 1 == 1)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("words", &self.0.len()).finish_non_exhaustive()
    }
}
