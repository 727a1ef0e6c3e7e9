//! Concurrent values under one name, told apart by dots.
//!
//! N. Preguiça et al.: *Dotted Version Vectors: Logical Clocks for Optimistic Replication* (2010);
//! P. S. Almeida et al.: *Scalable and Accurate Causality Tracking for Eventually Consistent
//! Stores* (2014). A version vector kept by the replicas cannot tell two clients apart that wrote
//! through the same replica; kept by the clients it grows with their number. A dot beside the
//! context does both: each value bears the name of its own write, and one vector with an entry for
//! each replica is what has been seen.

#[cfg(feature = "serde")]
mod serde;

use steadfast_core::ConfigError;

use crate::{CausalityError, Dot, NodeId, VersionVector};

/// One replica of a set of concurrent values, each with its dot, and the causal context: all writes
/// this replica has seen, whether their values are still there or not.
///
/// A client reads [`values`](Self::values) with the [`context`](Self::context), and hands the
/// context back when it writes. The write replaces what its context contains, and stands beside
/// what it does not.
///
/// Both dimensions are bounded. The context has an entry for each replica that ever accepted a
/// write. When there are too many concurrent values, writes and merges are refused until a client
/// reads them and writes one in their place.
///
/// serde reads and writes values within the capacities of [`Default`], and checks what it reads;
/// `serialize_within` and `deserialize_within` take other capacities.
///
/// ```
/// use steadfast_clock::{NodeId, Siblings, VersionVector};
///
/// let replica = NodeId(1);
/// let mut cart = Siblings::new(8, 16)?;
/// // Two clients that have read nothing write through the same replica.
/// let nothing = VersionVector::default();
/// cart.write(&nothing, replica, "tea")?;
/// cart.write(&nothing, replica, "milk")?;
/// assert!(cart.values().eq(&["tea", "milk"]));
/// // A third has read both, and resolves them.
/// let seen = cart.context().clone();
/// cart.write(&seen, replica, "tea and milk")?;
/// assert!(cart.values().eq(&["tea and milk"]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Siblings<T> {
    context: VersionVector,
    /// Sorted by dot. Every dot is in the context.
    values: Vec<(Dot, T)>,
    capacity: usize,
}

impl<T> Siblings<T> {
    /// How many values [`Default`] has room for, and serde writes and reads.
    pub const DEFAULT_CAPACITY: usize = 64;

    /// No values yet: for at most `nodes` replicas, and `siblings` concurrent values.
    ///
    /// # Errors
    /// When `nodes` is 0; or `siblings` is less than 2, so that two replicas with a value each
    /// could never merge.
    pub fn new(nodes: usize, siblings: usize) -> Result<Self, ConfigError> {
        let context = VersionVector::new(nodes).map_err(|error| error.in_field("nodes"))?;
        ConfigError::require(siblings >= 2, "siblings", siblings, "at least 2")?;
        Ok(Self { context, values: Vec::new(), capacity: siblings })
    }

    /// Writes `value` through the replica `node`, in place of all values that `context` contains.
    /// The others stay beside it. Returns the write's name.
    ///
    /// `context` is what the writer had read, from this replica or another; an empty one replaces
    /// nothing. It is believed: one that claims writes which were never made hides them when they
    /// are made. Give clients that are not trusted a context in a form they cannot change.
    ///
    /// # Errors
    /// [`CausalityError::TooManySiblings`], [`CausalityError::Full`], or
    /// [`CausalityError::Overflow`] when the count of `node` is at its end. Nothing was written
    /// then, and nothing was discarded.
    pub fn write(
        &mut self,
        context: &VersionVector,
        node: NodeId,
        value: T,
    ) -> Result<Dot, CausalityError> {
        let concurrent = self.values.iter().filter(|(dot, _)| !context.contains(*dot)).count();
        if concurrent >= self.capacity {
            return Err(CausalityError::TooManySiblings { capacity: self.capacity });
        }
        let mut seen = self.context.clone();
        seen.merge(context)?;
        let dot = seen.increment(node)?;
        self.discard(context, seen);
        let at = self.values.partition_point(|(other, _)| *other < dot);
        self.values.insert(at, (dot, value));
        Ok(dot)
    }

    /// Writes `value` on this replica, which is `node`, in place of all values it holds: the write
    /// of a multi-value register, whose replicas write what they have read themselves.
    ///
    /// # Errors
    /// [`CausalityError::Full`] or [`CausalityError::Overflow`], as [`write`](Self::write). Nothing
    /// was written then, and nothing was discarded.
    pub fn replace(&mut self, node: NodeId, value: T) -> Result<Dot, CausalityError> {
        let dot = self.context.increment(node)?;
        self.values = vec![(dot, value)];
        Ok(dot)
    }

    /// Removes all values that `context` contains, and writes none. The context remembers them, so
    /// a merge does not bring them back, and no tombstone is needed.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when there is no room for the context's nodes; nothing was removed
    /// then.
    pub fn remove(&mut self, context: &VersionVector) -> Result<(), CausalityError> {
        let mut seen = self.context.clone();
        seen.merge(context)?;
        self.discard(context, seen);
        Ok(())
    }

    fn discard(&mut self, context: &VersionVector, seen: VersionVector) {
        self.values.retain(|(dot, _)| !context.contains(*dot));
        self.context = seen;
    }

    /// Takes over what another replica has: a value stays if both have it, or if the side without
    /// it has not seen its write. Commutative, associative and idempotent, as long as there is
    /// room.
    ///
    /// # Errors
    /// [`CausalityError::TooManySiblings`] or [`CausalityError::Full`]; this replica stays what it
    /// was. Replicas whose siblings are resolved can merge again.
    pub fn merge(&mut self, other: &Self) -> Result<(), CausalityError>
    where
        T: Clone,
    {
        let news = || other.values.iter().filter(|(dot, _)| !self.context.contains(*dot));
        let kept = self.values.iter().filter(|(dot, _)| other.lets_live(*dot)).count();
        if kept + news().count() > self.capacity {
            return Err(CausalityError::TooManySiblings { capacity: self.capacity });
        }
        let mut seen = self.context.clone();
        seen.merge(&other.context)?;
        let news: Vec<_> = news().cloned().collect();
        self.values.retain(|(dot, _)| other.lets_live(*dot));
        self.values.extend(news);
        self.values.sort_unstable_by_key(|(dot, _)| *dot);
        self.context = seen;
        Ok(())
    }

    /// Forgets the nodes for which `keep` is false, and returns them. A node whose value is still
    /// here stays.
    ///
    /// **The price.** The replica no longer knows the node's writes: a value that was replaced or
    /// removed here comes back with the merge of a replica that still has it, and so does the
    /// entry. A node that was forgotten and writes again reuses names of old writes, and its new
    /// ones may be taken for seen.
    ///
    /// **When it is safe.** The node has retired for good, every replica has seen its last write,
    /// none has a value of its left, and all are pruned of it before one of them reads a context or
    /// a copy from before that.
    pub fn prune(&mut self, mut keep: impl FnMut(NodeId, u64) -> bool) -> Vec<(NodeId, u64)> {
        let values = &self.values;
        let has_value = |node| values.iter().any(|(dot, _)| dot.node == node);
        self.context.prune(|node, count| has_value(node) || keep(node, count))
    }

    /// Whether this replica has the value too, or has not seen its write.
    fn lets_live(&self, dot: Dot) -> bool {
        !self.context.contains(dot)
            || self.values.binary_search_by_key(&dot, |(dot, _)| *dot).is_ok()
    }

    /// The concurrent values, in the order of their dots.
    #[must_use]
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// The concurrent values with their dots, in the order of dots.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Dot, &T)> {
        self.values.iter().map(|(dot, value)| (*dot, value))
    }

    /// All writes this replica has seen: what a client that has read the values hands back with its
    /// write.
    #[must_use]
    pub const fn context(&self) -> &VersionVector {
        &self.context
    }

    /// How many concurrent values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value: none was written, or all were removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many concurrent values there is room for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<T> Default for Siblings<T> {
    fn default() -> Self {
        Self {
            context: VersionVector::default(),
            values: Vec::new(),
            capacity: Self::DEFAULT_CAPACITY,
        }
    }
}

/// Equal contexts and values; capacities are limits and do not count.
impl<T: PartialEq> PartialEq for Siblings<T> {
    fn eq(&self, other: &Self) -> bool {
        self.context == other.context && self.values == other.values
    }
}

impl<T: Eq> Eq for Siblings<T> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const REPLICAS: usize = 4;

    /// What clients and replicas do. A context is read at one replica and used at any later time at
    /// any replica.
    #[derive(Clone, Debug)]
    enum Step {
        Read { at: usize },
        Write { to: usize, context: usize },
        Remove { from: usize, context: usize },
        Merge { into: usize, from: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let replica = 0..REPLICAS;
        let step = prop_oneof![
            3 => replica.clone().prop_map(|at| Step::Read { at }),
            4 => (replica.clone(), any::<usize>()).prop_map(|(to, context)| Step::Write { to, context }),
            1 => (replica.clone(), any::<usize>()).prop_map(|(from, context)| Step::Remove { from, context }),
            3 => (replica.clone(), replica).prop_map(|(into, from)| Step::Merge { into, from }),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// The naive model: every replica remembers every write it knows, and of each the writes it
    /// replaced. No vectors and no dots. A removal is a write without a value.
    #[derive(Default)]
    struct Model {
        replaced: Vec<BTreeSet<usize>>,
        removals: BTreeSet<usize>,
        known: [BTreeSet<usize>; REPLICAS],
        contexts: Vec<BTreeSet<usize>>,
    }

    impl Model {
        fn write(&mut self, to: usize, context: &BTreeSet<usize>) -> usize {
            let write = self.replaced.len();
            self.replaced.push(context.clone());
            self.known[to].extend(context);
            self.known[to].insert(write);
            write
        }

        fn values(&self, at: usize) -> BTreeSet<usize> {
            let known = &self.known[at];
            let replaced: BTreeSet<_> =
                known.iter().flat_map(|write| &self.replaced[*write]).collect();
            known
                .iter()
                .filter(|write| !replaced.contains(write) && !self.removals.contains(write))
                .copied()
                .collect()
        }
    }

    /// Runs the steps on both, and compares after each.
    fn run(steps: &[Step]) -> Vec<Siblings<usize>> {
        let mut replicas = vec![Siblings::<usize>::default(); REPLICAS];
        let (mut model, mut contexts) = (Model::default(), vec![VersionVector::default()]);
        model.contexts.push(BTreeSet::new());
        for step in steps {
            match *step {
                Step::Read { at } => {
                    contexts.push(replicas[at].context().clone());
                    model.contexts.push(model.known[at].clone());
                }
                Step::Write { to, context } => {
                    let context = context % contexts.len();
                    let write = model.write(to, &model.contexts[context].clone());
                    replicas[to].write(&contexts[context], NodeId(to as u64), write).unwrap();
                }
                Step::Remove { from, context } => {
                    let context = context % contexts.len();
                    let write = model.write(from, &model.contexts[context].clone());
                    model.removals.insert(write);
                    replicas[from].remove(&contexts[context]).unwrap();
                }
                Step::Merge { into, from } => {
                    let other = replicas[from].clone();
                    replicas[into].merge(&other).unwrap();
                    let known = model.known[from].clone();
                    model.known[into].extend(known);
                }
            }
            for (at, replica) in replicas.iter().enumerate() {
                assert_eq!(
                    replica.values().copied().collect::<BTreeSet<_>>(),
                    model.values(at),
                    "at {at} after {step:?}"
                );
                assert!(replica.iter().all(|(dot, _)| replica.context().contains(dot)));
                assert!(replica.values.is_sorted_by(|(a, _), (b, _)| a < b));
            }
        }
        replicas
    }

    proptest! {
        #[test]
        fn it_keeps_what_nobody_has_replaced_and_nothing_else(steps in steps()) {
            run(&steps);
        }

        #[test]
        fn merges_commute_associate_and_repeat_without_effect(steps in steps()) {
            let replicas = run(&steps);
            let join = |x: &Siblings<usize>, y: &Siblings<usize>| {
                let mut joined = x.clone();
                joined.merge(y).unwrap();
                joined
            };
            let [a, b, c] = [&replicas[0], &replicas[1], &replicas[2]];
            let ab = join(a, b);
            prop_assert_eq!(&ab, &join(b, a));
            prop_assert_eq!(&join(&ab, c), &join(a, &join(b, c)));
            prop_assert_eq!(&join(&ab, b), &ab);
            prop_assert_eq!(&join(a, a), a);
        }

        #[test]
        fn a_refusal_changes_nothing(steps in steps(), nodes in 1..4_usize, siblings in 2..5_usize) {
            let mut replicas = vec![Siblings::new(nodes, siblings).unwrap(); REPLICAS];
            let mut contexts = vec![VersionVector::default()];
            for (number, step) in steps.into_iter().enumerate() {
                let before = replicas.clone();
                let refused = match step {
                    Step::Read { at } => {
                        contexts.push(replicas[at].context().clone());
                        None
                    }
                    Step::Write { to, context } => {
                        let context = &contexts[context % contexts.len()];
                        replicas[to].write(context, NodeId(to as u64), number).err()
                    }
                    Step::Remove { from, context } => replicas[from].remove(&contexts[context % contexts.len()]).err(),
                    Step::Merge { into, from } => replicas[into].merge(&before[from]).err(),
                };
                for replica in &replicas {
                    prop_assert!(replica.len() <= siblings && replica.context().len() <= nodes);
                }
                match refused {
                    Some(CausalityError::Full { capacity }) => prop_assert_eq!(capacity, nodes),
                    Some(CausalityError::TooManySiblings { capacity }) => prop_assert_eq!(capacity, siblings),
                    Some(other) => prop_assert!(false, "{other}"),
                    None => continue,
                }
                prop_assert_eq!(&replicas, &before);
            }
        }
    }

    #[test]
    fn a_refused_merge_is_healed_by_a_write_in_place_of_all() {
        let mut replicas: Vec<_> = (0..3).map(|_| Siblings::new(3, 2).unwrap()).collect();
        for (node, replica) in replicas.iter_mut().enumerate() {
            replica.replace(NodeId(node as u64), node).unwrap();
        }
        let [mut here, second, third] = <[_; 3]>::try_from(replicas).unwrap();
        here.merge(&second).unwrap();
        assert_eq!(here.merge(&third), Err(CausalityError::TooManySiblings { capacity: 2 }));
        assert!(here.values().eq(&[0, 1]));
        assert_eq!(here.clone().replace(NodeId(9), 9).map(|dot| dot.counter), Ok(1));
        here.replace(NodeId(0), 3).unwrap();
        here.merge(&third).unwrap();
        assert!(here.values().eq(&[3, 2]));
        assert_eq!(here.replace(NodeId(9), 9), Err(CausalityError::Full { capacity: 3 }));
        assert!(here.values().eq(&[3, 2]), "a refused write discards nothing");
    }

    #[test]
    fn two_writers_through_one_replica_do_not_replace_each_other() {
        let mut replica = Siblings::new(1, 4).unwrap();
        let nothing = VersionVector::default();
        let first = replica.write(&nothing, NodeId(1), 'a').unwrap();
        let seen = replica.context().clone();
        replica.write(&nothing, NodeId(1), 'b').unwrap();
        // Has read `a`, and has not read `b`.
        replica.write(&seen, NodeId(1), 'c').unwrap();
        assert!(replica.values().eq(&['b', 'c']));
        assert!(replica.context().contains(first), "it is remembered, though it is gone");
    }

    #[test]
    fn replicas_that_are_full_of_siblings_merge_again_once_each_is_resolved() {
        let mut replicas: Vec<_> = (0..2).map(|_| Siblings::new(2, 2).unwrap()).collect();
        let nothing = VersionVector::default();
        for (node, replica) in replicas.iter_mut().enumerate() {
            for value in 0..2 {
                replica.write(&nothing, NodeId(node as u64), value).unwrap();
            }
            let refused = replica.write(&nothing, NodeId(node as u64), 9);
            assert_eq!(refused, Err(CausalityError::TooManySiblings { capacity: 2 }));
        }
        let other = replicas[1].clone();
        assert_eq!(replicas[0].merge(&other), Err(CausalityError::TooManySiblings { capacity: 2 }));
        for (node, replica) in replicas.iter_mut().enumerate() {
            let seen = replica.context().clone();
            replica.write(&seen, NodeId(node as u64), 7).unwrap();
        }
        let other = replicas[1].clone();
        replicas[0].merge(&other).unwrap();
        assert_eq!(replicas[0].len(), 2);
    }

    #[test]
    fn a_replica_full_of_siblings_takes_over_the_write_that_resolves_them() {
        let mut full = Siblings::new(2, 2).unwrap();
        for value in 0..2 {
            full.write(&VersionVector::default(), NodeId(1), value).unwrap();
        }
        let mut resolved = full.clone();
        let seen = resolved.context().clone();
        resolved.write(&seen, NodeId(2), 2).unwrap();
        full.merge(&resolved).unwrap();
        assert_eq!(full, resolved);
    }

    #[test]
    fn what_has_run_out_of_nodes_goes_on_where_there_is_more_room() {
        let mut full = Siblings::new(1, 2).unwrap();
        full.write(&VersionVector::default(), NodeId(1), 'a').unwrap();
        let seen = full.context().clone();
        assert_eq!(full.write(&seen, NodeId(2), 'b'), Err(CausalityError::Full { capacity: 1 }));
        let mut roomier = Siblings::new(2, 2).unwrap();
        roomier.merge(&full).unwrap();
        roomier.write(&seen, NodeId(2), 'b').unwrap();
        assert!(roomier.values().eq(&['b']));
    }

    #[test]
    fn a_context_from_a_peer_with_a_count_at_its_end_is_refused_and_replaces_nothing() {
        let mut replica = Siblings::new(4, 4).unwrap();
        let node = NodeId(1);
        replica.write(&VersionVector::default(), node, 'a').unwrap();
        let read = |count: &[u8]| {
            VersionVector::decode(&[&[1, 0, 0, 0, 0, 0, 0, 0, 1][..], count].concat(), 4)
        };
        assert!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err(),
            "all ones"
        );
        // The largest that is read at all.
        let garbage = read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).unwrap();
        assert_eq!(replica.write(&garbage, node, 'b'), Err(CausalityError::Overflow { node }));
        assert!(replica.values().eq(&['a']));
        assert_eq!(replica.context().count(node), 1);
    }

    #[test]
    fn capacities_that_cannot_work_are_refused() {
        assert_eq!(Siblings::<()>::new(0, 2).unwrap_err().field, "nodes");
        assert_eq!(Siblings::<()>::new(1, 1).unwrap_err().field, "siblings");
    }

    #[test]
    fn a_node_that_has_retired_makes_room_for_another() {
        let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
        let mut replicas: Vec<_> = (0..2).map(|_| Siblings::new(2, 2).unwrap()).collect();
        replicas[0].write(&VersionVector::default(), one, 'a').unwrap();
        assert_eq!(replicas[0].prune(|node, _| node != one), [], "its value is still here");
        let seen = replicas[0].context().clone();
        replicas[0].write(&seen, two, 'b').unwrap();
        let other = replicas[0].clone();
        replicas[1].merge(&other).unwrap();
        let seen = replicas[1].context().clone();
        assert_eq!(replicas[1].write(&seen, three, 'c'), Err(CausalityError::Full { capacity: 2 }));
        for replica in &mut replicas {
            assert_eq!(replica.prune(|node, _| node != one), [(one, 1)]);
        }
        let seen = replicas[1].context().clone();
        replicas[1].write(&seen, three, 'c').unwrap();
        let other = replicas[1].clone();
        replicas[0].merge(&other).unwrap();
        assert!(replicas[0].values().eq(&['c']));
    }

    #[test]
    fn the_price_of_pruning_a_value_comes_back_from_a_replica_that_still_has_it() {
        let node = NodeId(1);
        let mut late = Siblings::new(2, 2).unwrap();
        late.write(&VersionVector::default(), node, 'a').unwrap();
        let mut pruned = late.clone();
        pruned.remove(late.context()).unwrap();
        let mut whole = pruned.clone();
        assert_eq!(pruned.prune(|_, _| false), [(node, 1)]);
        pruned.merge(&late).unwrap();
        whole.merge(&late).unwrap();
        assert!(pruned.values().eq(&['a']) && whole.is_empty());
    }

    #[test]
    fn what_was_removed_does_not_come_back_and_a_concurrent_write_survives() {
        let mut here = Siblings::new(4, 4).unwrap();
        here.write(&VersionVector::default(), NodeId(1), 'a').unwrap();
        let mut there = here.clone();
        let seen = there.context().clone();
        there.write(&seen, NodeId(2), 'b').unwrap();
        here.remove(&seen).unwrap();
        let old = {
            let mut old = Siblings::new(4, 4).unwrap();
            old.write(&VersionVector::default(), NodeId(1), 'a').unwrap();
            old
        };
        here.merge(&old).unwrap();
        assert!(here.is_empty());
        here.merge(&there).unwrap();
        assert!(here.values().eq(&['b']));
        assert_eq!(here.context().len(), 2);
    }
}
