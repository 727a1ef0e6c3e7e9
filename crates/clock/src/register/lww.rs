//! The newest stamp wins.

use crate::Stamp;

/// A register that keeps the write with the newest stamp, and nothing of the others.
///
/// `S` is any order: [`Stamp`] of an [`Hlc`](crate::Hlc) for writes that never lose to one that
/// happened before them; a pair of a [`LamportClock`](crate::LamportClock)'s number and a
/// [`NodeId`](crate::NodeId) for the same without wall time; a wall time and a node for what is
/// common, and loses what a slow clock wrote after a fast one. Of two concurrent writes one is
/// always lost, without a word.
///
/// Stamps are believed. One that is far ahead wins against all writes until time catches up: pass
/// the stamps of peers through [`Hlc::merge`](crate::Hlc::merge) first, which refuses them. A wall
/// time alone cannot be checked.
///
/// No two writes may share a stamp, which is why a stamp has a node. If two do, each replica keeps
/// the one it had first.
///
/// ```
/// use steadfast_clock::{Hlc, LwwRegister, NodeId, Stamp};
///
/// let clock = Hlc::default();
/// let mut here = LwwRegister::default();
/// let mut there = LwwRegister::default();
/// assert!(here.write(Stamp::new(clock.tick(), NodeId(1)), "first"));
/// assert!(there.write(Stamp::new(clock.tick(), NodeId(2)), "second"));
/// assert!(here.merge(&there));
/// assert_eq!(here.value(), Some(&"second"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LwwRegister<T, S = Stamp> {
    written: Option<(S, T)>,
}

impl<T, S: Ord> LwwRegister<T, S> {
    /// A register without a value.
    #[must_use]
    pub const fn new() -> Self {
        Self { written: None }
    }

    /// Writes `value` under `stamp`, unless the register holds a write with a stamp as new. Says
    /// whether it was written.
    #[must_use = "a write with an old stamp is lost"]
    pub fn write(&mut self, stamp: S, value: T) -> bool {
        let newer = self.is_older_than(&stamp);
        if newer {
            self.written = Some((stamp, value));
        }
        newer
    }

    /// Takes over the other's write, if its stamp is newer. Says whether it was. Commutative,
    /// associative and idempotent.
    pub fn merge(&mut self, other: &Self) -> bool
    where
        T: Clone,
        S: Clone,
    {
        let newer = other.stamp().is_some_and(|stamp| self.is_older_than(stamp));
        if newer {
            self.written.clone_from(&other.written);
        }
        newer
    }

    /// What was written last, by stamp.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.written.as_ref().map(|(_, value)| value)
    }

    /// The stamp of what was written last.
    #[must_use]
    pub fn stamp(&self) -> Option<&S> {
        self.written.as_ref().map(|(stamp, _)| stamp)
    }

    fn is_older_than(&self, stamp: &S) -> bool {
        self.stamp().is_none_or(|held| held < stamp)
    }
}

impl<T, S: Ord> Default for LwwRegister<T, S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value that its stamp determines, as where no two writes share a stamp.
    fn register() -> impl Strategy<Value = LwwRegister<u64, u8>> {
        any::<Option<u8>>().prop_map(|stamp| LwwRegister {
            written: stamp.map(|stamp| (stamp, u64::from(stamp) * 3)),
        })
    }

    fn join(x: &LwwRegister<u64, u8>, y: &LwwRegister<u64, u8>) -> LwwRegister<u64, u8> {
        let mut joined = x.clone();
        assert_eq!(joined.merge(y), joined != *x, "it says whether it changed");
        joined
    }

    proptest! {
        #[test]
        fn merges_commute_associate_and_repeat_without_effect(a in register(), b in register(), c in register()) {
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &a), a);
        }
    }

    #[test]
    fn a_write_with_an_old_or_an_equal_stamp_is_not_written() {
        let mut register = LwwRegister::new();
        assert!(register.write(5, 'a'));
        assert!(!register.write(4, 'b') && !register.write(5, 'c'));
        assert_eq!((register.value(), register.stamp()), (Some(&'a'), Some(&5)));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_register_comes_back_from_serde() {
        let mut register = LwwRegister::new();
        for _ in 0..2 {
            let json = serde_json::to_string(&register).unwrap();
            assert_eq!(serde_json::from_str::<LwwRegister<char, u8>>(&json).unwrap(), register);
            let _ = register.write(5, 'a');
        }
    }
}
