//! Sets of nodes as bit masks.

use std::{
    fmt,
    ops::{BitAnd, BitOr, BitOrAssign, Not, Sub, SubAssign},
};

use crate::RuleError;

/// A set of nodes, numbered from 0 up to 64 times `WORDS`. One bit a node; a plain value without an
/// allocation.
///
/// [`NodeSet`] is the set of one word, for up to 64 nodes. A larger one costs its words: `Nodes<4>`
/// holds 256 nodes in 32 bytes.
///
/// ```
/// use steadfast_quorum::{NodeSet, Nodes};
///
/// let voters = NodeSet::of([1, 2, 3])?;
/// assert!(voters.contains(2) && !voters.contains(4));
/// assert_eq!((voters - NodeSet::of([1])?).to_string(), "{2, 3}");
/// assert_eq!(Nodes::<4>::first(200)?.len(), 200);
/// # Ok::<_, steadfast_quorum::RuleError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nodes<const WORDS: usize>([u64; WORDS]);

/// A set of up to 64 nodes, 0 to 63, in one word.
pub type NodeSet = Nodes<1>;

const BITS: usize = u64::BITS as usize;

impl<const WORDS: usize> Nodes<WORDS> {
    /// No node.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Every node there can be.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// How many nodes there can be.
    pub const CAPACITY: usize = WORDS * BITS;

    /// These nodes.
    ///
    /// # Errors
    /// When a node is named twice or is not below [`CAPACITY`](Self::CAPACITY).
    pub fn of(nodes: impl IntoIterator<Item = usize>) -> Result<Self, RuleError> {
        let mut set = Self::EMPTY;
        for node in nodes {
            if node >= Self::CAPACITY {
                return Err(RuleError::NodeTooLarge { node, capacity: Self::CAPACITY });
            }
            if !set.insert(node) {
                return Err(RuleError::NodeTwice { node });
            }
        }
        Ok(set)
    }

    /// The nodes from 0 to `count - 1`.
    ///
    /// # Errors
    /// When `count` is above [`CAPACITY`](Self::CAPACITY).
    pub fn first(count: usize) -> Result<Self, RuleError> {
        Self::of(0..count)
    }

    /// Adds a node, and says whether it is new. One that is not below [`CAPACITY`](Self::CAPACITY)
    /// is never in the set.
    #[inline]
    pub fn insert(&mut self, node: usize) -> bool {
        let fits = node < Self::CAPACITY;
        let new = fits && !self.contains(node);
        if new {
            self.0[node / BITS] |= 1 << (node % BITS);
        }
        new
    }

    /// Takes a node away, and says whether it was there.
    #[inline]
    pub fn remove(&mut self, node: usize) -> bool {
        let there = self.contains(node);
        if there {
            self.0[node / BITS] &= !(1 << (node % BITS));
        }
        there
    }

    /// Whether the node is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(&self, node: usize) -> bool {
        node < Self::CAPACITY && self.0[node / BITS] >> (node % BITS) & 1 == 1
    }

    /// How many nodes are in the set.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether at least so many nodes are in each of several sets; `count` is not 0.
    ///
    /// Where the processor does not count bits (x86-64 does not, unless it is told to leave the
    /// oldest behind), it is quicker to take away all but the last of a few.
    #[inline]
    pub(crate) fn have_at_least<const SETS: usize>(
        sets: [Self; SETS],
        count: usize,
    ) -> [bool; SETS] {
        const FEW: usize = 4;
        if cfg!(target_feature = "popcnt") || WORDS > 1 || count > FEW {
            return sets.map(|set| set.len() >= count);
        }
        // Each step takes the lowest node away. Of nothing it wraps around, and leaves nothing.
        let lowest_away = |left: u64| left & left.wrapping_sub(1);
        (1..count).fold(sets.map(Self::word), |left, _| left.map(lowest_away)).map(|left| left != 0)
    }

    /// The mask of the first 64 nodes.
    #[inline]
    pub(crate) const fn word(self) -> u64 {
        self.0[0]
    }

    /// Nodes among the first 64, by their mask.
    pub(crate) const fn from_word(word: u64) -> Self {
        let mut set = Self::EMPTY;
        set.0[0] = word;
        set
    }

    /// Whether no node is in the set.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Whether every node of this set is in the other as well.
    #[inline]
    #[must_use]
    pub fn is_subset(self, other: Self) -> bool {
        self & other == self
    }

    /// Whether no node is in both.
    #[inline]
    #[must_use]
    pub fn is_disjoint(self, other: Self) -> bool {
        (self & other).is_empty()
    }

    /// The nodes in the set, the lowest number first.
    #[must_use]
    pub const fn iter(self) -> Iter<WORDS> {
        Iter { left: self }
    }

    #[inline]
    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|word| with(self.0[word], other.0[word])))
    }

    /// The lowest and the highest node.
    fn lowest(self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != 0)?;
        Some(word * BITS + self.0[word].trailing_zeros() as usize)
    }

    fn highest(self) -> Option<usize> {
        let word = self.0.iter().rposition(|word| *word != 0)?;
        Some(word * BITS + self.0[word].ilog2() as usize)
    }
}

impl NodeSet {
    /// The set as a mask: node 0 is the lowest bit.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self([bits])
    }

    /// The mask of the set: node 0 is the lowest bit.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0[0]
    }
}

impl<const WORDS: usize> BitOr for Nodes<WORDS> {
    type Output = Self;

    /// The nodes in either.
    #[inline]
    fn bitor(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }
}

impl<const WORDS: usize> BitOrAssign for Nodes<WORDS> {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl<const WORDS: usize> BitAnd for Nodes<WORDS> {
    type Output = Self;

    /// The nodes in both.
    #[inline]
    fn bitand(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
}

impl<const WORDS: usize> Sub for Nodes<WORDS> {
    type Output = Self;

    /// The nodes that are not in the other.
    #[inline]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }
}

impl<const WORDS: usize> SubAssign for Nodes<WORDS> {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl<const WORDS: usize> Not for Nodes<WORDS> {
    type Output = Self;

    /// All other nodes there can be.
    #[inline]
    fn not(self) -> Self {
        Self::ALL - self
    }
}

impl<const WORDS: usize> Default for Nodes<WORDS> {
    /// No node.
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const WORDS: usize> IntoIterator for Nodes<WORDS> {
    type Item = usize;
    type IntoIter = Iter<WORDS>;

    fn into_iter(self) -> Iter<WORDS> {
        self.iter()
    }
}

impl<const WORDS: usize> fmt::Display for Nodes<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(*self).finish()
    }
}

impl<const WORDS: usize> fmt::Debug for Nodes<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The nodes of a set, the lowest number first, or from behind.
#[derive(Clone, Debug)]
pub struct Iter<const WORDS: usize> {
    left: Nodes<WORDS>,
}

impl<const WORDS: usize> Iterator for Iter<WORDS> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let node = self.left.lowest()?;
        self.left.remove(node);
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len(), Some(self.left.len()))
    }
}

impl<const WORDS: usize> DoubleEndedIterator for Iter<WORDS> {
    fn next_back(&mut self) -> Option<usize> {
        let node = self.left.highest()?;
        self.left.remove(node);
        Some(node)
    }
}

impl<const WORDS: usize> ExactSizeIterator for Iter<WORDS> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_or_comes_twice_is_refused_by_its_number() {
        assert_eq!(
            NodeSet::of([0, 64]).unwrap_err(),
            RuleError::NodeTooLarge { node: 64, capacity: 64 }
        );
        assert_eq!(NodeSet::of([5, 1, 5]).unwrap_err(), RuleError::NodeTwice { node: 5 });
        assert_eq!(NodeSet::first(64).unwrap(), NodeSet::ALL);
        assert!(NodeSet::first(65).is_err());
        let mut set = NodeSet::EMPTY;
        assert!(
            !set.insert(usize::MAX)
                && !set.contains(usize::MAX)
                && !set.remove(64)
                && set.is_empty()
        );
    }

    fn naive(set: Nodes<3>) -> BTreeSet<usize> {
        (0..Nodes::<3>::CAPACITY).filter(|node| set.contains(*node)).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set(a in any::<[u64; 3]>(), b in any::<[u64; 3]>(), node in 0..192_usize) {
            let (a, b) = (Nodes(a), Nodes(b));
            let (x, y) = (naive(a), naive(b));
            prop_assert!(naive(a | b).iter().eq(x.union(&y)));
            prop_assert!(naive(a & b).iter().eq(x.intersection(&y)));
            prop_assert!(naive(a - b).iter().eq(x.difference(&y)));
            prop_assert!(a.iter().eq(x.iter().copied()) && a.iter().rev().eq(x.iter().rev().copied()));
            prop_assert_eq!((a.len(), a.iter().len()), (x.len(), x.len()));
            prop_assert_eq!(a.is_subset(b), x.is_subset(&y));
            let first = NodeSet::from_bits(a.0[0]);
            for count in 1..=70 {
                prop_assert_eq!(Nodes::have_at_least([a, b], count), [x.len() >= count, y.len() >= count]);
                prop_assert_eq!(Nodes::have_at_least([first], count), [first.len() >= count]);
            }
            let (few, count) = (first & NodeSet::from_bits(0x8001_0080_0000_0011), 1 + node % 6);
            prop_assert_eq!(Nodes::have_at_least([few], count), [few.len() >= count]);
            prop_assert_eq!((a - b).is_disjoint(b), true);
            prop_assert_eq!(naive(!a).len(), 192 - x.len());
            let (mut with, mut without) = (a, a);
            prop_assert_eq!(with.insert(node), !x.contains(&node));
            prop_assert_eq!(without.remove(node), x.contains(&node));
            prop_assert!(with.contains(node) && !without.contains(node));
        }
    }
}
