//! What is causally later wins; between concurrent writes the newer stamp, and the other is handed
//! over.

#[cfg(feature = "serde")]
mod serde;

use steadfast_core::ConfigError;

use crate::{CausalityError, Dot, NodeId, Stamp, Timestamp, VersionVector};

/// A register of one value that always keeps a causally later write, and tells of every concurrent
/// one it drops.
///
/// Between concurrent writes the newer [`Stamp`] wins. A write's time is lifted above that of the
/// value it replaces, so that stamps agree with causality whatever the clock reads, and the winner
/// does not depend on the order of merges. With times from an [`Hlc`](crate::Hlc) that hears of
/// each merge nothing is ever lifted.
///
/// Times are believed. One that is far ahead wins against all concurrent writes until time catches
/// up: pass the stamps of peers through [`Hlc::merge`](crate::Hlc::merge) first, which refuses
/// them. After [`Timestamp::MAX`] there is nothing to lift to: a causally later write still
/// replaces an earlier one it meets, but of three writes the winner may depend on the order of
/// merges.
///
/// serde reads and writes registers within the capacity of [`Default`], and checks what it reads;
/// `serialize_within` and `deserialize_within` take another capacity.
///
/// It costs a stamp, a dot and two vectors: what the value's writer had seen, to tell concurrent
/// from later; and what this replica has seen, to tell news from old.
///
/// ```
/// use steadfast_clock::{CausalRegister, MergeOutcome, NodeId, Physical, Timestamp};
///
/// let at = |grains| Timestamp::from(Physical::from_grains(grains));
/// let (mut here, mut there) = (CausalRegister::new(8)?, CausalRegister::new(8)?);
/// here.write(NodeId(1), at(200), "tea")?;
/// assert_eq!(there.merge(&here)?, MergeOutcome::Replaced);
/// // A clock that is behind: the write is later all the same.
/// there.write(NodeId(2), at(100), "milk")?;
/// // Concurrent to that, and with a newer stamp.
/// here.write(NodeId(1), at(300), "rum")?;
/// let MergeOutcome::TieBroken { lost, replaced, .. } = there.merge(&here)? else { panic!() };
/// assert_eq!((there.value(), lost, replaced), (Some(&"rum"), "milk", true));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CausalRegister<T> {
    seen: VersionVector,
    written: Option<Write<T>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize, ::serde::Deserialize))]
struct Write<T> {
    value: T,
    stamp: Stamp,
    dot: Dot,
    /// All writes that happened before this one, and itself.
    #[cfg_attr(
        feature = "serde",
        serde(
            serialize_with = "crate::vector::serde::whole",
            deserialize_with = "crate::vector::serde::of_any_size"
        )
    )]
    version: VersionVector,
}

/// What a merge of [`CausalRegister`]s did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a concurrent write may have been lost, and only this says so"]
pub enum MergeOutcome<T> {
    /// The other had nothing new: no write, this one's, or one that was seen here before.
    Kept,
    /// The other's write is causally later, or the first here.
    Replaced,
    /// The writes were concurrent. The one with the older stamp is lost.
    TieBroken {
        /// The value that is lost.
        lost: T,
        /// Its stamp.
        stamp: Stamp,
        /// Whether the other's write won, and `lost` was this replica's.
        replaced: bool,
    },
}

impl<T> CausalRegister<T> {
    /// A register without a value, for at most `nodes` replicas.
    ///
    /// # Errors
    /// When `nodes` is 0.
    pub fn new(nodes: usize) -> Result<Self, ConfigError> {
        let seen = VersionVector::new(nodes).map_err(|error| error.in_field("nodes"))?;
        Ok(Self { seen, written: None })
    }

    /// Writes `value` on this replica, which is `node`, at `time`, in place of what it holds.
    /// Returns the stamp of the write, whose time is at least `time`, and later than that of the
    /// value it replaces.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when `node` is new and there is no room for it;
    /// [`CausalityError::Overflow`] when its count is at its end. The register stays what it was.
    pub fn write(
        &mut self,
        node: NodeId,
        time: Timestamp,
        value: T,
    ) -> Result<Stamp, CausalityError> {
        let dot = self.seen.increment(node)?;
        let above = self.stamp().map_or(Timestamp::MIN, |stamp| stamp.time.next());
        let stamp = Stamp::new(time.max(above), node);
        self.written = Some(Write { value, stamp, dot, version: self.seen.clone() });
        Ok(stamp)
    }

    /// Takes over the other's write, if it is causally later; or concurrent, and its stamp is
    /// newer. Commutative, associative and idempotent as to the states, as long as there is room.
    /// The outcome is this replica's: replicas that each find two writes concurrent each report it.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when both together know more replicas than fit; the register stays
    /// what it was.
    pub fn merge(&mut self, other: &Self) -> Result<MergeOutcome<T>, CausalityError>
    where
        T: Clone,
    {
        let known = other.written.as_ref().is_none_or(|theirs| self.seen.contains(theirs.dot));
        self.seen.merge(&other.seen)?;
        let Some(theirs) = other.written.as_ref().filter(|_| !known) else {
            return Ok(MergeOutcome::Kept);
        };
        let Some(ours) = &self.written else {
            self.written = Some(theirs.clone());
            return Ok(MergeOutcome::Replaced);
        };
        if theirs.version.contains(ours.dot) {
            self.written = Some(theirs.clone());
            return Ok(MergeOutcome::Replaced);
        }
        if ours.stamp >= theirs.stamp {
            return Ok(MergeOutcome::TieBroken {
                lost: theirs.value.clone(),
                stamp: theirs.stamp,
                replaced: false,
            });
        }
        let (lost, stamp) = (ours.value.clone(), ours.stamp);
        self.written = Some(theirs.clone());
        Ok(MergeOutcome::TieBroken { lost, stamp, replaced: true })
    }

    /// Forgets the nodes for which `keep` is false, and returns them. The writer of the value
    /// stays.
    ///
    /// **The price.** An earlier write of such a node looks concurrent to the value where the two
    /// meet again: the value still wins, for its stamp is the newer, but the merge reports a write
    /// as lost that was replaced. The entry comes back with the merge of a register that was not
    /// pruned of it. A node that was forgotten and writes again reuses names of old writes, and its
    /// new ones may be taken for seen: prune what has retired for good.
    pub fn prune(&mut self, mut keep: impl FnMut(NodeId, u64) -> bool) -> Vec<(NodeId, u64)> {
        let Self { seen, written } = self;
        let writer = written.as_ref().map(|write| write.dot.node);
        let forgotten = seen.prune(|node, count| Some(node) == writer || keep(node, count));
        if let Some(write) = written {
            // What was seen goes on dominating what the value's writer had seen.
            write.version.prune(|node, _| seen.count(node) > 0);
        }
        forgotten
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.written.as_ref().map(|write| &write.value)
    }

    /// The stamp of the value's write.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.written.as_ref().map(|write| write.stamp)
    }

    /// What the value's writer had seen, and the write itself.
    #[must_use]
    pub fn version(&self) -> Option<&VersionVector> {
        self.written.as_ref().map(|write| &write.version)
    }

    /// All writes this replica has seen, lost ones among them.
    #[must_use]
    pub const fn context(&self) -> &VersionVector {
        &self.seen
    }
}

impl<T> Default for CausalRegister<T> {
    fn default() -> Self {
        Self { seen: VersionVector::default(), written: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Physical;

    fn at(grains: u64) -> Timestamp {
        Physical::from_grains(grains).into()
    }

    fn join(x: &CausalRegister<usize>, y: &CausalRegister<usize>) -> CausalRegister<usize> {
        let mut joined = x.clone();
        let outcome = joined.merge(y).unwrap();
        let changed = matches!(
            outcome,
            MergeOutcome::Replaced | MergeOutcome::TieBroken { replaced: true, .. }
        );
        assert_eq!(
            joined.written != x.written,
            changed,
            "the outcome says whether the value changed"
        );
        joined
    }

    proptest! {
        /// Times are wild: neither their order nor their distance has to do with what happened.
        #[test]
        fn merges_commute_associate_and_repeat_without_effect(
            steps in prop::collection::vec((0..3_usize, 0..6_usize, 0..50_u64), 1..40),
        ) {
            let mut replicas = vec![CausalRegister::default(); 3];
            for (number, (replica, from, time)) in steps.into_iter().enumerate() {
                match replicas.get(from).cloned() {
                    Some(other) => replicas[replica] = join(&replicas[replica], &other),
                    None => drop(replicas[replica].write(NodeId(replica as u64), at(time), number).unwrap()),
                }
            }
            let [a, b, c] = [&replicas[0], &replicas[1], &replicas[2]];
            prop_assert_eq!(join(a, b), join(b, a));
            prop_assert_eq!(join(&join(a, b), c), join(a, &join(b, c)));
            prop_assert_eq!(&join(&join(a, b), b), &join(a, b));
            prop_assert_eq!(&join(a, a), a);
        }
    }

    #[test]
    fn a_slow_clock_does_not_make_a_later_write_lose() {
        let (mut fast, mut slow) = (CausalRegister::default(), CausalRegister::default());
        fast.write(NodeId(1), at(1000), 'a').unwrap();
        assert_eq!(slow.merge(&fast), Ok(MergeOutcome::Replaced));
        let stamp = slow.write(NodeId(2), at(1), 'b').unwrap();
        assert_eq!(stamp, Stamp::new(at(1000).next(), NodeId(2)));
        assert_eq!(fast.merge(&slow), Ok(MergeOutcome::Replaced));
        assert_eq!(slow.merge(&fast), Ok(MergeOutcome::Kept));
        assert_eq!((fast.value(), slow.value()), (Some(&'b'), Some(&'b')));
    }

    #[test]
    fn both_sides_are_told_of_a_loss_and_each_only_once() {
        let (mut here, mut there) = (CausalRegister::default(), CausalRegister::default());
        let older = here.write(NodeId(1), at(1), 'a').unwrap();
        there.write(NodeId(2), at(2), 'b').unwrap();
        let before = here.clone();
        let lost = |replaced| Ok(MergeOutcome::TieBroken { lost: 'a', stamp: older, replaced });
        assert_eq!(here.merge(&there), lost(true));
        assert_eq!(there.merge(&before), lost(false));
        assert_eq!(here.merge(&before), Ok(MergeOutcome::Kept));
        assert_eq!(there.merge(&before), Ok(MergeOutcome::Kept));
        // What has seen both replaces both, and nothing is lost by it.
        there.write(NodeId(2), at(3), 'c').unwrap();
        assert_eq!(before.clone().merge(&there), Ok(MergeOutcome::Replaced));
    }

    /// The winner's replica has seen the loser, but its write had not.
    #[test]
    fn a_loss_that_another_replica_knows_of_is_told_here_too() {
        let (mut here, mut there) = (CausalRegister::default(), CausalRegister::default());
        here.write(NodeId(1), at(1), 'a').unwrap();
        there.write(NodeId(2), at(2), 'b').unwrap();
        assert!(matches!(
            there.merge(&here),
            Ok(MergeOutcome::TieBroken { lost: 'a', replaced: false, .. })
        ));
        assert!(matches!(
            here.merge(&there),
            Ok(MergeOutcome::TieBroken { lost: 'a', replaced: true, .. })
        ));
    }

    #[test]
    fn at_the_end_of_time_a_later_write_still_wins_where_it_meets_the_earlier() {
        let (mut here, mut there) = (CausalRegister::default(), CausalRegister::default());
        here.write(NodeId(2), Timestamp::MAX, 'a').unwrap();
        assert_eq!(there.merge(&here), Ok(MergeOutcome::Replaced));
        there.write(NodeId(1), at(5), 'b').unwrap();
        assert_eq!(here.merge(&there), Ok(MergeOutcome::Replaced));
        assert_eq!(here.value(), Some(&'b'));
    }

    #[test]
    fn a_register_without_room_refuses_and_stays_what_it_was() {
        let full = Err(CausalityError::Full { capacity: 1 });
        let (mut here, mut there) =
            (CausalRegister::new(1).unwrap(), CausalRegister::new(1).unwrap());
        here.write(NodeId(1), at(1), 'a').unwrap();
        there.write(NodeId(2), at(2), 'b').unwrap();
        let before = here.clone();
        assert_eq!(here.merge(&there), full);
        assert_eq!(here.write(NodeId(2), at(2), 'c'), Err(CausalityError::Full { capacity: 1 }));
        assert_eq!(here, before);
        assert_eq!(CausalRegister::<()>::new(0).unwrap_err().field, "nodes");
    }

    #[test]
    fn a_node_that_has_retired_makes_room_and_its_earlier_write_does_not_win_again() {
        let (mut here, mut late) =
            (CausalRegister::new(2).unwrap(), CausalRegister::new(3).unwrap());
        here.write(NodeId(1), at(100), 'a').unwrap();
        assert_eq!(here.prune(|_, _| false), [], "it wrote the value");
        assert_eq!(late.merge(&here), Ok(MergeOutcome::Replaced));
        here.write(NodeId(2), at(1), 'b').unwrap();
        assert_eq!(here.write(NodeId(3), at(2), 'c'), Err(CausalityError::Full { capacity: 2 }));
        assert_eq!(here.prune(|node, _| node != NodeId(1)), [(NodeId(1), 1)]);
        let earlier = late.stamp().unwrap();
        let mut meets = CausalRegister::new(3).unwrap();
        assert_eq!(meets.merge(&here), Ok(MergeOutcome::Replaced));
        let said = |replaced| Ok(MergeOutcome::TieBroken { lost: 'a', stamp: earlier, replaced });
        assert_eq!(meets.merge(&late), said(false), "the price: it was replaced, and not lost");
        assert_eq!(late.merge(&here), said(true));
        assert_eq!((meets.value(), late.value()), (Some(&'b'), Some(&'b')));
        here.write(NodeId(3), at(2), 'c').unwrap();
        assert_eq!(late.merge(&here), Ok(MergeOutcome::Replaced));
    }
}
