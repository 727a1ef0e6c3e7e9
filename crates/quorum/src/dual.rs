//! What stands in the way of a rule.

use crate::{Decision, Nodes, Rule, Shape};

/// The rule whose quorums are the sets that have a node in common with every quorum of another:
/// those whose "no" makes it lost.
///
/// Made by [`Rule::dual`]. The dual of a majority of an odd number is itself, that of all is any,
/// that of a grid's columns is its rows.
///
/// ```
/// use steadfast_quorum::{NodeSet, Rule, Threshold};
///
/// let write = Threshold::of(4, 5)?;
/// let read = write.dual();
/// assert!(read.is_quorum(NodeSet::of([1, 4])?) && !read.is_quorum(NodeSet::of([1])?));
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dual<R> {
    rule: R,
}

impl<R> Dual<R> {
    pub(crate) const fn new(rule: R) -> Self {
        Self { rule }
    }

    /// The rule it is the dual of.
    #[must_use]
    pub const fn rule(&self) -> &R {
        &self.rule
    }
}

impl<R: Rule<WORDS>, const WORDS: usize> Rule<WORDS> for Dual<R> {
    #[inline]
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
        !self.rule.is_quorum(self.rule.members() - nodes)
    }

    /// The rule's own decision with the sides changed.
    #[inline]
    fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
        match self.rule.decide(no - yes, yes) {
            Decision::Won => Decision::Lost,
            Decision::Lost => Decision::Won,
            Decision::Pending => Decision::Pending,
        }
    }

    fn members(&self) -> Nodes<WORDS> {
        self.rule.members()
    }

    fn shape(&self) -> Option<Shape<'_, WORDS>> {
        Some(Shape::of(&self.rule).dual())
    }
}
