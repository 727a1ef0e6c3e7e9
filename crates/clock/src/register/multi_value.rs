//! Concurrent writes all stay.

use steadfast_core::ConfigError;

use crate::{CausalityError, Dot, NodeId, Siblings, VersionVector};

/// A register that keeps every write which no later one has replaced: as a rule one value, after concurrent writes several.
///
/// Each replica writes by itself, and a write replaces what its replica holds. [`Siblings`] is the same for stores whose
/// clients read at one replica and write at another; as a serde value the register is its siblings.
///
/// ```
/// use steadfast_clock::{MultiValueRegister, NodeId};
///
/// let (mut here, mut there) = (MultiValueRegister::new(8, 16)?, MultiValueRegister::new(8, 16)?);
/// here.write(NodeId(1), "tea")?;
/// there.write(NodeId(2), "milk")?;
/// here.merge(&there)?;
/// assert!(here.values().eq(&["tea", "milk"]));
/// here.write(NodeId(1), "tea and milk")?;
/// there.merge(&here)?;
/// assert!(there.values().eq(&["tea and milk"]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct MultiValueRegister<T> {
    siblings: Siblings<T>,
}

impl<T> MultiValueRegister<T> {
    /// A register that nobody has written to: for at most `nodes` replicas, and `siblings` concurrent values.
    ///
    /// # Errors
    /// When `nodes` is 0; or `siblings` is less than 2, for then two replicas with a value each could never merge.
    pub fn new(nodes: usize, siblings: usize) -> Result<Self, ConfigError> {
        Siblings::new(nodes, siblings).map(|siblings| Self { siblings })
    }

    /// Writes `value` on this replica, which is `node`, in place of all it holds. Returns the write's name.
    ///
    /// # Errors
    /// [`CausalityError::Full`] when `node` is new and there is no room for it; [`CausalityError::Overflow`] when its count is at
    /// its end. The register stays what it was.
    pub fn write(&mut self, node: NodeId, value: T) -> Result<Dot, CausalityError> {
        let all = self.siblings.context().clone();
        self.siblings.write(&all, node, value)
    }

    /// Takes over what another replica holds and this one has not replaced. Commutative, associative and idempotent, as long
    /// as there is room.
    ///
    /// # Errors
    /// [`CausalityError::TooManySiblings`] or [`CausalityError::Full`]; the register stays what it was. A
    /// [`write`](Self::write) on either side makes room for values.
    pub fn merge(&mut self, other: &Self) -> Result<(), CausalityError>
    where
        T: Clone,
    {
        self.siblings.merge(&other.siblings)
    }

    /// Forgets nodes that have retired, and returns them: see [`Siblings::prune`] for its price.
    pub fn prune(&mut self, keep: impl FnMut(NodeId, u64) -> bool) -> Vec<(NodeId, u64)> {
        self.siblings.prune(keep)
    }

    /// The concurrent values, in the order of their dots: empty only before the first write.
    #[must_use]
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.siblings.values()
    }

    /// All writes this replica has seen.
    #[must_use]
    pub const fn context(&self) -> &VersionVector {
        self.siblings.context()
    }

    /// The values with their dots.
    #[must_use]
    pub const fn siblings(&self) -> &Siblings<T> {
        &self.siblings
    }
}

#[cfg(feature = "serde")]
impl<T> MultiValueRegister<T> {
    /// Writes a register of at most so many nodes and values, as [`Siblings::serialize_within`] does.
    ///
    /// # Errors
    /// As there.
    pub fn serialize_within<S>(&self, nodes: usize, siblings: usize, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: serde::Serialize,
        S: serde::Serializer,
    {
        self.siblings.serialize_within(nodes, siblings, serializer)
    }

    /// Reads a register with room for `nodes` replicas and `siblings` concurrent values, as [`Siblings::deserialize_within`] does.
    ///
    /// # Errors
    /// As there.
    pub fn deserialize_within<'de, D>(nodes: usize, siblings: usize, deserializer: D) -> Result<Self, D::Error>
    where
        T: serde::Deserialize<'de>,
        D: serde::Deserializer<'de>,
    {
        Siblings::deserialize_within(nodes, siblings, deserializer).map(Self::from)
    }
}

impl<T> Default for MultiValueRegister<T> {
    fn default() -> Self {
        Self { siblings: Siblings::default() }
    }
}

impl<T> From<Siblings<T>> for MultiValueRegister<T> {
    fn from(siblings: Siblings<T>) -> Self {
        Self { siblings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "serde")]
    #[test]
    fn a_register_comes_back_from_serde_as_its_siblings() {
        let mut register = MultiValueRegister::new(300, 2).unwrap();
        for node in 0..257 {
            register.write(NodeId(node), node).unwrap();
        }
        assert!(serde_json::to_string(&register).is_err(), "it could not be read back");
        let mut bytes = Vec::new();
        register.serialize_within(300, 2, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        assert_eq!(MultiValueRegister::deserialize_within(300, 2, &mut reader).unwrap(), register);
        assert_eq!(register.prune(|node, _| node.0 < 10).len(), 246, "the writer of the value stays");
        let json = serde_json::to_string(&register).unwrap();
        assert_eq!(serde_json::from_str::<MultiValueRegister<u64>>(&json).unwrap(), register);
    }

    #[test]
    fn a_refused_merge_is_healed_by_a_write() {
        let mut registers: Vec<_> = (0..3).map(|_| MultiValueRegister::new(3, 2).unwrap()).collect();
        for (node, register) in registers.iter_mut().enumerate() {
            register.write(NodeId(node as u64), node).unwrap();
        }
        let [mut here, second, third] = <[_; 3]>::try_from(registers).unwrap();
        here.merge(&second).unwrap();
        assert_eq!(here.merge(&third), Err(CausalityError::TooManySiblings { capacity: 2 }));
        assert!(here.values().eq(&[0, 1]));
        here.write(NodeId(0), 3).unwrap();
        here.merge(&third).unwrap();
        assert!(here.values().eq(&[3, 2]));
    }
}
