//! So many of the members, whichever they are.

use crate::{Decision, NodeSet, Nodes, Rule, RuleError, Shape};

/// So many of the members, whichever they are: majorities, read-one and write-all, Byzantine
/// quorums.
///
/// ```
/// use steadfast_quorum::{Decision, NodeSet, Rule, Threshold};
///
/// let rule = Threshold::majority_of(5)?;
/// assert_eq!(rule.needed(), 3);
/// let (yes, no) = (NodeSet::of([0, 1])?, NodeSet::of([2, 3])?);
/// assert_eq!(rule.decide(yes, no), Decision::Pending);
/// assert_eq!(rule.decide(yes, no | NodeSet::of([4])?), Decision::Lost);
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold<const WORDS: usize = 1> {
    members: Nodes<WORDS>,
    needed: usize,
}

impl<const WORDS: usize> Threshold<WORDS> {
    /// `needed` of the members.
    ///
    /// # Errors
    /// When there are no members, or `needed` is not from 1 to their number.
    pub fn new(needed: usize, members: Nodes<WORDS>) -> Result<Self, RuleError> {
        let of = members.len();
        if of == 0 {
            return Err(RuleError::NoMembers);
        }
        RuleError::check_needed(needed as u64, of as u64)?;
        Ok(Self { members, needed })
    }

    /// More than half of the members: ⌊n/2⌋ + 1, for even numbers too. Any two have a node in
    /// common.
    ///
    /// # Errors
    /// When there are no members.
    pub fn majority(members: Nodes<WORDS>) -> Result<Self, RuleError> {
        Self::new(members.len() / 2 + 1, members)
    }

    /// All members.
    ///
    /// # Errors
    /// When there are no members.
    pub fn all(members: Nodes<WORDS>) -> Result<Self, RuleError> {
        Self::new(members.len(), members)
    }

    /// Any one member.
    ///
    /// # Errors
    /// When there are no members.
    pub fn any(members: Nodes<WORDS>) -> Result<Self, RuleError> {
        Self::new(1, members)
    }

    /// A Byzantine dissemination quorum, for data that vouches for itself, such as by a signature:
    /// ⌈(n + f + 1) / 2⌉ of n members, f of which may lie. Any two have a node in common that does
    /// not lie, and one is left when f do not answer. 2f + 1 only if n = 3f + 1.
    ///
    /// D. Malkhi, M. Reiter: *Byzantine Quorum Systems*, Distributed Computing 11, 1998.
    ///
    /// # Errors
    /// When there are fewer than 3f + 1 members.
    pub fn dissemination(members: Nodes<WORDS>, faults: usize) -> Result<Self, RuleError> {
        Self::byzantine(members, faults, 3, 1)
    }

    /// A Byzantine masking quorum, for data that does not vouch for itself: ⌈(n + 2f + 1) / 2⌉ of n
    /// members, f of which may lie. Any two have 2f + 1 nodes in common, so that those that do not
    /// lie outvote those that do, and one is left when f do not answer.
    ///
    /// D. Malkhi, M. Reiter: *Byzantine Quorum Systems*, Distributed Computing 11, 1998.
    ///
    /// # Errors
    /// When there are fewer than 4f + 1 members.
    pub fn masking(members: Nodes<WORDS>, faults: usize) -> Result<Self, RuleError> {
        Self::byzantine(members, faults, 4, 2)
    }

    /// Quorums that overlap in more than `overlap` times the faults.
    fn byzantine(
        members: Nodes<WORDS>,
        faults: usize,
        factor: usize,
        overlap: usize,
    ) -> Result<Self, RuleError> {
        let nodes = members.len();
        let least = faults.saturating_mul(factor).saturating_add(1);
        if nodes < least {
            return Err(RuleError::TooFewNodes { nodes, faults, least });
        }
        Self::new((nodes + overlap * faults + 1).div_ceil(2), members)
    }

    /// How many votes make a quorum.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }
}

impl Threshold {
    /// `needed` of the nodes 0 to `count - 1`.
    ///
    /// # Errors
    /// When `count` is above 64, or `needed` is not from 1 to `count`.
    pub fn of(needed: usize, count: usize) -> Result<Self, RuleError> {
        Self::new(needed, NodeSet::first(count)?)
    }

    /// More than half of the nodes 0 to `count - 1`.
    ///
    /// # Errors
    /// When `count` is 0 or above 64.
    pub fn majority_of(count: usize) -> Result<Self, RuleError> {
        Self::majority(NodeSet::first(count)?)
    }
}

impl<const WORDS: usize> Rule<WORDS> for Threshold<WORDS> {
    #[inline]
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
        let [is_quorum] = Nodes::have_at_least([nodes & self.members], self.needed);
        is_quorum
    }

    /// Both questions in one count.
    #[inline]
    fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
        let [won, open] =
            Nodes::have_at_least([yes, yes | !no].map(|nodes| nodes & self.members), self.needed);
        Decision::of(won, open)
    }

    fn members(&self) -> Nodes<WORDS> {
        self.members
    }

    fn shape(&self) -> Option<Shape<'_, WORDS>> {
        Some(Shape::threshold(self.needed, self.members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_with_its_numbers() {
        assert_eq!(Threshold::of(0, 5), Err(RuleError::Needed { needed: 0, of: 5 }));
        assert_eq!(Threshold::of(6, 5), Err(RuleError::Needed { needed: 6, of: 5 }));
        assert_eq!(Threshold::majority(NodeSet::EMPTY), Err(RuleError::NoMembers));
        let six = NodeSet::first(6).unwrap();
        let error = Threshold::dissemination(six, 2).unwrap_err();
        assert_eq!(error, RuleError::TooFewNodes { nodes: 6, faults: 2, least: 7 });
        assert_eq!(
            error.to_string(),
            "6 nodes cannot withstand 2 Byzantine faults: at least 7 can"
        );
        assert!(Threshold::masking(six, 2).is_err() && Threshold::masking(six, 1).is_ok());
        assert!(Threshold::masking(six, usize::MAX).is_err());
    }

    #[test]
    fn a_set_of_many_words_counts_over_all_of_them() {
        let rule = Threshold::majority(Nodes::<4>::first(200).unwrap()).unwrap();
        assert!(
            rule.is_quorum(Nodes::first(101).unwrap())
                && !rule.is_quorum(Nodes::first(100).unwrap())
        );
    }
}
