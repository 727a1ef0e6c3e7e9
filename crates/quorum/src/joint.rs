//! Several rules at once.

use crate::{Decision, Nodes, Rule, RuleError, Shape};

/// A quorum of each of several rules at once: how a group changes its members without a moment at
/// which two majorities could decide apart.
///
/// Each rule counts by itself, and a node that is in several counts in each. (D. Ongaro, J.
/// Ousterhout: *In Search of an Understandable Consensus Algorithm*, 2014, section 6.)
///
/// ```
/// use steadfast_quorum::{Decision, Joint, NodeSet, Rule, Threshold};
///
/// let old = Threshold::majority(NodeSet::of([1, 2, 3])?)?;
/// let new = Threshold::majority(NodeSet::of([3, 4, 5])?)?;
/// let joint = Joint::new([old, new])?;
/// // Three of five are not enough, if they are not two of each.
/// assert_eq!(joint.decide(NodeSet::of([1, 2, 3])?, NodeSet::EMPTY), Decision::Pending);
/// assert_eq!(joint.decide(NodeSet::EMPTY, NodeSet::of([1, 2])?), Decision::Lost);
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Joint<R> {
    rules: Box<[R]>,
}

impl<R> Joint<R> {
    /// All of these. For rules of different types, take `Box<dyn Rule>`.
    ///
    /// # Errors
    /// When there are none. (etcd takes an empty configuration for won, because that leaves a joint
    /// one to its other half. Here a group that leaves a joint configuration goes back to a plain
    /// rule.)
    pub fn new(rules: impl IntoIterator<Item = R>) -> Result<Self, RuleError> {
        let rules: Box<[R]> = rules.into_iter().collect();
        if rules.is_empty() { Err(RuleError::NoMembers) } else { Ok(Self { rules }) }
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &[R] {
        &self.rules
    }
}

impl<R: Rule<WORDS>, const WORDS: usize> Rule<WORDS> for Joint<R> {
    #[inline]
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
        // Without a way out at the first that is none: it would be guessed wrong too often.
        self.rules.iter().fold(true, |all, rule| all & rule.is_quorum(nodes))
    }

    /// Won when each rule is, lost when one is.
    #[inline]
    fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
        let decide = |rule: &R| rule.decide(yes, no);
        match &*self.rules {
            // The old rule and the new one, as in most: without a loop.
            [old, new] => decide(old).min(decide(new)),
            rules => rules.iter().map(decide).fold(Decision::Won, Decision::min),
        }
    }

    fn members(&self) -> Nodes<WORDS> {
        self.rules.iter().fold(Nodes::EMPTY, |members, rule| members | rule.members())
    }

    /// All of them.
    fn shape(&self) -> Option<Shape<'_, WORDS>> {
        let rules = self.rules.iter().map(|rule| Shape::of(rule));
        Some(Shape::choose(self.rules.len(), rules))
    }
}
