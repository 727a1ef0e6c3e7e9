//! Nodes whose votes count differently.

use crate::{Decision, Nodes, Rule, RuleError, Shape};

/// So much weight, from any nodes: for nodes whose votes count differently.
///
/// A member of weight zero may vote and changes nothing. (D. Gifford: *Weighted Voting for
/// Replicated Data*, SOSP 1979.)
///
/// ```
/// use steadfast_quorum::{NodeSet, Rule, Weighted};
///
/// // Node 0 stands in the main site and counts for two.
/// let rule = Weighted::majority([(0, 2), (1, 1), (2, 1), (3, 1)])?;
/// assert_eq!(rule.needed(), 3);
/// assert!(rule.is_quorum(NodeSet::of([0, 3])?) && !rule.is_quorum(NodeSet::of([2, 3])?));
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weighted<const WORDS: usize = 1> {
    members: Nodes<WORDS>,
    /// By node; zero for nodes that are no members.
    weights: Box<[u32]>,
    needed: u64,
}

impl<const WORDS: usize> Weighted<WORDS> {
    /// The same as [`new`](Weighted::new), over as many nodes as the type says.
    ///
    /// # Errors
    /// As [`new`](Weighted::new).
    pub fn wide(
        needed: u64,
        weights: impl IntoIterator<Item = (usize, u32)>,
    ) -> Result<Self, RuleError> {
        let pairs: Vec<(usize, u32)> = weights.into_iter().collect();
        let members = Nodes::of(pairs.iter().map(|(node, _)| *node))?;
        let mut weights = vec![0; members.iter().next_back().ok_or(RuleError::NoMembers)? + 1];
        for (node, weight) in pairs {
            weights[node] = weight;
        }
        // Below 2^32 times the number of nodes.
        let of = weights.iter().copied().map(u64::from).sum();
        RuleError::check_needed(needed, of)?;
        Ok(Self { members, weights: weights.into(), needed })
    }

    /// How much weight makes a quorum.
    #[must_use]
    pub const fn needed(&self) -> u64 {
        self.needed
    }

    /// The weight of a node; zero if it is no member.
    #[must_use]
    pub fn weight(&self, node: usize) -> u32 {
        self.weights.get(node).copied().unwrap_or(0)
    }
}

impl<const WORDS: usize> Weighted<WORDS> {
    /// What several sets weigh, in one pass over all weights: how long it takes depends on no vote,
    /// so that nothing is guessed wrong.
    #[inline]
    fn weigh<const SETS: usize>(&self, sets: [Nodes<WORDS>; SETS]) -> [u64; SETS] {
        let mut sums = [0; SETS];
        for (node, weight) in self.weights.iter().enumerate() {
            for (sum, set) in sums.iter_mut().zip(&sets) {
                *sum += u64::from(set.contains(node)) * u64::from(*weight);
            }
        }
        sums
    }
}

impl Weighted {
    /// `needed` of the weight of all. Nodes below 64; [`wide`](Weighted::wide) takes more.
    ///
    /// # Errors
    /// When there are no members, a node is named twice or too large, or `needed` is not from 1 to
    /// the weight of all.
    pub fn new(
        needed: u64,
        weights: impl IntoIterator<Item = (usize, u32)>,
    ) -> Result<Self, RuleError> {
        Self::wide(needed, weights)
    }

    /// More than half of the weight of all.
    ///
    /// # Errors
    /// When there are no members, a node is named twice or too large, or all weights are zero.
    pub fn majority(weights: impl IntoIterator<Item = (usize, u32)>) -> Result<Self, RuleError> {
        let weights: Vec<(usize, u32)> = weights.into_iter().collect();
        let of: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        Self::wide(of / 2 + 1, weights)
    }
}

impl<const WORDS: usize> Rule<WORDS> for Weighted<WORDS> {
    #[inline]
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
        let [weight] = self.weigh([nodes]);
        weight >= self.needed
    }

    /// Both questions in one pass.
    #[inline]
    fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
        let [won, open] = self.weigh([yes, yes | !no]).map(|weight| weight >= self.needed);
        Decision::of(won, open)
    }

    fn members(&self) -> Nodes<WORDS> {
        self.members
    }

    fn shape(&self) -> Option<Shape<'_, WORDS>> {
        let weights = self.members.iter().map(|node| (node, self.weights[node]));
        Some(Shape::weights(self.needed, weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_with_its_numbers() {
        assert_eq!(Weighted::new(9, [(0, 5), (1, 3)]), Err(RuleError::Needed { needed: 9, of: 8 }));
        assert_eq!(Weighted::new(0, [(0, 5)]), Err(RuleError::Needed { needed: 0, of: 5 }));
        assert_eq!(Weighted::majority([(0, 0)]), Err(RuleError::Needed { needed: 1, of: 0 }));
        assert_eq!(Weighted::new(1, [(3, 1), (3, 1)]), Err(RuleError::NodeTwice { node: 3 }));
        assert_eq!(Weighted::new(1, []), Err(RuleError::NoMembers));
        assert_eq!(
            Weighted::new(1, [(64, 1)]),
            Err(RuleError::NodeTooLarge { node: 64, capacity: 64 })
        );
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let rule =
            Weighted::<2>::wide(128 * u64::from(u32::MAX), (0..128).map(|node| (node, u32::MAX)))
                .unwrap();
        assert!(rule.is_quorum(Nodes::ALL) && !rule.is_quorum(Nodes::first(127).unwrap()));
    }
}
