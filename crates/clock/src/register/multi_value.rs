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
