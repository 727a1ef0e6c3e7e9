//! Vector clocks: which event happened before which, exactly.
//!
//! C. Fidge: *Timestamps in Message-Passing Systems That Preserve the Partial Ordering* (1988); F.
//! Mattern: *Virtual Time and Global States of Distributed Systems* (1989). *e* happened before *f*
//! if and only if the vector of *e* is less than that of *f*; concurrent events have vectors that
//! cannot be compared. No vector shorter than the number of nodes can say as much (B. Charron-Bost
//! 1991). The price is 16 bytes in memory for each node that ever counted, 9 to 18 on the wire, and
//! a comparison that reads all of them.

mod codec;
#[cfg(feature = "serde")]
pub(crate) mod serde;

use std::{cmp::Ordering, hash, iter};

use steadfast_core::ConfigError;

pub use self::codec::DecodeVectorError;
use crate::{
    NodeId,
    dot::{Dot, LIMIT},
};

/// A count of events for each node that had any, for at most so many nodes.
///
/// The same structure is a [`VersionVector`](crate::VersionVector), where only updates count as
/// events. An event is named by its [`Dot`]; a vector stands for the set of all events up to its
/// counts.
///
/// Two vectors are equal when their counts are; the capacity is a limit of this value, not a part
/// of it.
///
/// ```
/// use steadfast_clock::{Causality, NodeId, VectorClock};
///
/// let (a, b) = (NodeId(1), NodeId(2));
/// let (mut here, mut there) = (VectorClock::new(8)?, VectorClock::new(8)?);
/// // Each node counts its own events.
/// here.increment(a)?;
/// there.increment(b)?;
/// assert_eq!(here.causality(&there), Causality::Concurrent);
/// // A receiver takes over what the sender knew, and counts the receipt.
/// let message = here.clone();
/// there.merge(&message)?;
/// there.increment(b)?;
/// assert!(message.happened_before(&there));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct VectorClock {
    /// Sorted by node, each node once, no count of zero: equal clocks have equal entries.
    entries: Vec<(NodeId, u64)>,
    capacity: usize,
}

impl VectorClock {
    /// The capacity of [`Default`], and of what serde writes and reads: 256 nodes, which fit in a
    /// page of 4 KiB.
    pub const DEFAULT_CAPACITY: usize = 256;

    /// Every count is less than this: 2⁶³, as in a [`LamportClock`](crate::LamportClock::LIMIT). An
    /// event each nanosecond gets there in 292 years.
    pub const LIMIT: u64 = LIMIT;

    /// An empty clock for at most `capacity` nodes. Memory is taken as nodes come.
    ///
    /// # Errors
    /// When `capacity` is 0.
    pub fn new(capacity: usize) -> Result<Self, ConfigError> {
        ConfigError::require(capacity > 0, "capacity", capacity, "at least 1")?;
        Ok(Self::empty(capacity))
    }

    pub(crate) const fn empty(capacity: usize) -> Self {
        Self { entries: Vec::new(), capacity }
    }

    /// Counts an event of `node`, and names it.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when `node` is new and there is no room for it;
    /// [`CausalityError::Overflow`] when its count would reach [`LIMIT`](Self::LIMIT). The clock
    /// stays what it was.
    pub fn increment(&mut self, node: NodeId) -> Result<Dot, CausalityError> {
        let at = match self.position(node) {
            Ok(at) => at,
            Err(_) if self.entries.len() >= self.capacity => {
                return Err(CausalityError::Full { capacity: self.capacity });
            }
            Err(at) => {
                self.entries.insert(at, (node, 0));
                at
            }
        };
        let (_, count) = &mut self.entries[at];
        // A new node is below the limit, so no count of zero stays.
        if *count + 1 >= Self::LIMIT {
            return Err(CausalityError::Overflow { node });
        }
        *count += 1;
        Ok(Dot::new(node, *count))
    }

    /// Takes over what `other` knows: for each node the larger count. Commutative, associative and
    /// idempotent, as long as there is room.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when both together know more nodes than fit; the clock stays what
    /// it was.
    pub fn merge(&mut self, other: &Self) -> Result<(), CausalityError> {
        // The usual case on a quiet link, and the one that needs no memory.
        if self.dominates(other) {
            return Ok(());
        }
        if self.union(other).count() > self.capacity {
            return Err(CausalityError::Full { capacity: self.capacity });
        }
        self.entries =
            self.union(other).map(|(node, ours, theirs)| (node, ours.max(theirs))).collect();
        Ok(())
    }

    /// Forgets the nodes for which `keep` is false, and returns them with their counts.
    ///
    /// **The price.** A missing entry reads as zero, so a pruned clock no longer claims what it
    /// knew. Compared with clocks that still have the entry, *after* may look like *concurrent*
    /// (`{n:5, m:2}` and `{n:3, m:1}`, pruned of `n`), like *before* (`{n:5, m:1}` and `{n:3,
    /// m:1}`) or like *equal* (`{n:5, m:1}` and `{m:1}`); *equal* and *concurrent* may look like
    /// *before*. A merge with a clock that has the entry brings it back. A node that was forgotten
    /// and counts again starts with 1, under the names of old events.
    ///
    /// **When it is safe.** The node has retired for good, every clock that will still be compared
    /// has seen its last event, and all of them are pruned of it. Otherwise prune where a false
    /// *concurrent* costs an extra sibling, never where a false *before* loses a write.
    pub fn prune(&mut self, mut keep: impl FnMut(NodeId, u64) -> bool) -> Vec<(NodeId, u64)> {
        self.entries.extract_if(.., |(node, count)| !keep(*node, *count)).collect()
    }

    /// The same clock for at most `capacity` nodes.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when it knows more nodes than that, or `capacity` is 0.
    pub fn with_capacity(self, capacity: usize) -> Result<Self, CausalityError> {
        if capacity == 0 || self.entries.len() > capacity {
            return Err(CausalityError::Full { capacity });
        }
        Ok(Self { capacity, ..self })
    }

    /// How many events of `node` are known; 0 for a node that is not.
    #[must_use]
    pub fn count(&self, node: NodeId) -> u64 {
        self.position(node).map_or(0, |at| self.entries[at].1)
    }

    /// Whether this clock knows the event named `dot`: whether it happened before this clock's own
    /// event, or is it. One search instead of a comparison. No clock contains a counter of 0.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        (1..=self.count(dot.node)).contains(&dot.counter)
    }

    /// How the event of this clock stands to that of `other`.
    #[must_use]
    pub fn causality(&self, other: &Self) -> Causality {
        let (mut less, mut more) = (false, false);
        for (_, ours, theirs) in self.union(other) {
            less |= ours < theirs;
            more |= ours > theirs;
            if less && more {
                return Causality::Concurrent;
            }
        }
        match (less, more) {
            (true, _) => Causality::Before,
            (_, true) => Causality::After,
            _ => Causality::Equal,
        }
    }

    /// Whether the event of this clock happened before that of `other`.
    #[must_use]
    pub fn happened_before(&self, other: &Self) -> bool {
        self.causality(other) == Causality::Before
    }

    /// Whether neither happened before the other, and they are not the same.
    #[must_use]
    pub fn concurrent(&self, other: &Self) -> bool {
        self.causality(other) == Causality::Concurrent
    }

    /// Whether this clock knows all that `other` does: after it, or equal to it.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        self.union(other).all(|(_, ours, theirs)| ours >= theirs)
    }

    /// The nodes and their counts, in the order of nodes. No count is zero.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, u64)> + Clone {
        self.entries.iter().copied()
    }

    /// How many nodes are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many nodes there is room for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    fn position(&self, node: NodeId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&node, |(node, _)| *node)
    }

    /// Each node that either knows, with both counts, in the order of nodes.
    fn union(&self, other: &Self) -> impl Iterator<Item = (NodeId, u64, u64)> {
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        iter::from_fn(move || {
            let heads = [ours.peek(), theirs.peek()];
            let node = heads.into_iter().flatten().map(|(node, _)| *node).min()?;
            let ours = ours.next_if(|(head, _)| *head == node).map_or(0, |(_, count)| count);
            let theirs = theirs.next_if(|(head, _)| *head == node).map_or(0, |(_, count)| count);
            Some((node, ours, theirs))
        })
    }
}

impl Default for VectorClock {
    fn default() -> Self {
        Self::empty(Self::DEFAULT_CAPACITY)
    }
}

impl PartialEq for VectorClock {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for VectorClock {}

impl hash::Hash for VectorClock {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.entries.hash(state);
    }
}

impl PartialOrd for VectorClock {
    /// [`causality`](Self::causality): concurrent clocks have no order.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.causality(other) {
            Causality::Equal => Some(Ordering::Equal),
            Causality::Before => Some(Ordering::Less),
            Causality::After => Some(Ordering::Greater),
            Causality::Concurrent => None,
        }
    }
}

/// The set of all updates up to a count for each replica: a [`VectorClock`] that counts updates
/// only. As *causal context* it is what a reader has seen.
///
/// D. S. Parker et al.: *Detection of Mutual Inconsistency in Distributed Systems* (1983).
/// Structure, comparisons and merge are those of a vector clock, so both are one type with two
/// names.
pub type VersionVector = VectorClock;

/// How one event stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Causality {
    /// They know the same; where every event is counted, they are the same event.
    Equal,
    /// This one happened before the other.
    Before,
    /// The other happened before this one.
    After,
    /// Neither can have known of the other.
    Concurrent,
}

/// Why a vector clock, or what is built on one, did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CausalityError {
    /// There is no room for another node. A merge into what has more room takes over all there is.
    #[error("a vector clock for {capacity} nodes is full")]
    Full {
        /// How many nodes there is room for.
        capacity: usize,
    },
    /// The count of a node has come to its [`LIMIT`](VectorClock::LIMIT).
    #[error("the count of node {node} cannot grow any more")]
    Overflow {
        /// The node.
        node: NodeId,
    },
    /// There is no room for another concurrent value, until a client reads the siblings and writes
    /// one that replaces them.
    #[error("there are more than {capacity} concurrent values")]
    TooManySiblings {
        /// How many values there is room for.
        capacity: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const N: NodeId = NodeId(100);
    const M: NodeId = NodeId(200);

    pub(super) fn clock(entries: impl IntoIterator<Item = (NodeId, u64)>) -> VectorClock {
        let mut entries: Vec<_> = entries.into_iter().filter(|(_, count)| *count > 0).collect();
        entries.sort_unstable();
        VectorClock { entries, capacity: 64 }
    }

    /// Few nodes and small counts, so that all relations are common.
    pub(super) fn clocks() -> impl Strategy<Value = VectorClock> {
        prop::collection::btree_map((0..5_u64).prop_map(NodeId), 0..4_u64, 0..5).prop_map(clock)
    }

    proptest! {
        #[test]
        fn all_comparisons_are_those_of_plain_maps(a in clocks(), b in clocks()) {
            let maps = [&a, &b].map(|clock| clock.iter().collect::<BTreeMap<_, _>>());
            let at_most = |x: &BTreeMap<NodeId, u64>, y: &BTreeMap<NodeId, u64>| {
                (0..5).map(NodeId).all(|n| x.get(&n).unwrap_or(&0) <= y.get(&n).unwrap_or(&0))
            };
            let (le, ge) = (at_most(&maps[0], &maps[1]), at_most(&maps[1], &maps[0]));
            prop_assert_eq!(a.dominates(&b), ge);
            prop_assert_eq!(a.happened_before(&b), le && !ge);
            prop_assert_eq!(a.concurrent(&b), !le && !ge);
            prop_assert_eq!(a == b, le && ge);
            prop_assert_eq!((a <= b, a >= b, a < b, a > b), (le, ge, le && !ge, ge && !le));
        }

        #[test]
        fn a_merge_is_the_least_clock_that_dominates_both(a in clocks(), b in clocks(), c in clocks()) {
            let join = |x: &VectorClock, y: &VectorClock| {
                let mut joined = x.clone();
                joined.merge(y).unwrap();
                joined
            };
            let ab = join(&a, &b);
            prop_assert!(ab.dominates(&a) && ab.dominates(&b));
            prop_assert_eq!(c.dominates(&a) && c.dominates(&b), c.dominates(&ab));
            prop_assert_eq!(&ab, &join(&b, &a));
            prop_assert_eq!(&join(&ab, &c), &join(&a, &join(&b, &c)));
            prop_assert_eq!(&join(&ab, &b), &ab);
            prop_assert!(ab.iter().map(|(node, _)| node).is_sorted() && ab.iter().all(|(_, count)| count > 0));
        }

        /// The safe case: everybody has the same count, and everybody forgets it.
        #[test]
        fn a_retired_node_that_all_have_seen_to_its_end_can_be_forgotten_by_all(a in clocks(), b in clocks(), last in 1..9_u64) {
            let with_retired = |clock: &VectorClock| {
                let mut clock = clock.clone();
                clock.merge(&self::clock([(N, last)])).unwrap();
                clock
            };
            let [mut x, mut y] = [&a, &b].map(with_retired);
            let order = x.causality(&y);
            prop_assert_eq!(x.prune(|node, _| node != N), vec![(N, last)]);
            y.prune(|node, _| node != N);
            prop_assert_eq!(x.causality(&y), order);
            prop_assert_eq!((x, y), (a, b));
        }

        #[test]
        fn a_full_clock_refuses_and_stays_what_it_was(a in clocks(), b in clocks(), capacity in 1..5_usize) {
            prop_assume!(a.len() <= capacity);
            let mut bounded = a.clone().with_capacity(capacity).unwrap();
            let union = a.union(&b).count();
            match bounded.merge(&b) {
                Ok(()) => prop_assert!(union <= capacity && bounded.dominates(&b)),
                Err(error) => {
                    prop_assert!(union > capacity);
                    prop_assert_eq!(error, CausalityError::Full { capacity });
                    prop_assert_eq!(bounded, a);
                }
            }
        }
    }

    #[test]
    fn a_capacity_of_zero_is_refused() {
        assert_eq!(VectorClock::new(0).unwrap_err().field, "capacity");
        assert_eq!(
            VectorClock::default().with_capacity(0),
            Err(CausalityError::Full { capacity: 0 })
        );
    }

    #[test]
    fn a_new_node_finds_no_room_but_a_known_one_still_counts() {
        let mut full = VectorClock::new(1).unwrap();
        full.increment(N).unwrap();
        assert_eq!(full.increment(M), Err(CausalityError::Full { capacity: 1 }));
        assert_eq!(full.increment(N), Ok(Dot::new(N, 2)));
        assert_eq!((full.len(), full.count(M)), (1, 0));
    }

    #[test]
    fn a_count_at_its_end_is_an_error_and_no_wrap() {
        let mut last = clock([(N, VectorClock::LIMIT - 2)]);
        assert_eq!(last.increment(N), Ok(Dot::new(N, VectorClock::LIMIT - 1)));
        assert_eq!(last.increment(N), Err(CausalityError::Overflow { node: N }));
        assert_eq!(
            VectorClock::decode(&last.encode(), 8),
            Ok(last.clone()),
            "what is counted can be told to others"
        );
        assert_eq!(last.count(N), VectorClock::LIMIT - 1);
        assert_eq!(last.increment(M), Ok(Dot::new(M, 1)), "the others go on");
    }

    #[test]
    fn a_counter_of_zero_names_no_event_of_any_clock() {
        let counted = clock([(N, 3)]);
        assert!([N, M].iter().all(|node| !counted.contains(Dot::new(*node, 0))));
        assert!(
            counted.contains(Dot::new(N, 1))
                && counted.contains(Dot::new(N, 3))
                && !counted.contains(Dot::new(N, 4))
        );
    }

    #[test]
    fn the_capacity_is_no_part_of_equality() {
        let (small, large) = (clock([(N, 1)]).with_capacity(1).unwrap(), clock([(N, 1)]));
        assert_eq!(small, large);
        assert_eq!(small.partial_cmp(&large), Some(Ordering::Equal));
    }

    #[test]
    fn the_price_of_pruning_order_may_look_like_concurrency() {
        let (mut later, earlier) = (clock([(N, 5), (M, 2)]), clock([(N, 3), (M, 1)]));
        assert_eq!(later.causality(&earlier), Causality::After);
        later.prune(|node, _| node != N);
        assert_eq!(later.causality(&earlier), Causality::Concurrent);
    }

    #[test]
    fn the_price_of_pruning_the_later_may_look_like_the_earlier() {
        let (mut later, earlier) = (clock([(N, 5), (M, 1)]), clock([(N, 3), (M, 1)]));
        assert_eq!(later.causality(&earlier), Causality::After);
        assert_eq!(later.prune(|_, count| count < 5), [(N, 5)]);
        assert_eq!(later.causality(&earlier), Causality::Before);
    }

    #[test]
    fn the_price_of_pruning_concurrency_may_look_like_order() {
        let (mut one, other) = (clock([(N, 1)]), clock([(M, 1)]));
        assert_eq!(one.causality(&other), Causality::Concurrent);
        one.prune(|node, _| node != N);
        assert_eq!(one.causality(&other), Causality::Before);
    }

    #[test]
    fn the_price_of_pruning_a_merge_brings_the_entry_back_and_new_events_bear_old_names() {
        let (mut pruned, whole) = (clock([(N, 5), (M, 1)]), clock([(N, 5)]));
        pruned.prune(|node, _| node != N);
        assert_eq!(pruned.clone().increment(N), Ok(Dot::new(N, 1)));
        assert!(whole.contains(Dot::new(N, 1)));
        pruned.merge(&whole).unwrap();
        assert_eq!(pruned.count(N), 5);
    }
}
