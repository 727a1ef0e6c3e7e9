//! Timestamps of many nodes, told apart.

use crate::Timestamp;

/// A node of the system, by a number that no other node has. Drawn at random from all of `u64`, two
/// among a thousand nodes are alike with a probability of 3·10⁻¹⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A timestamp and the node that gave it out: different for every event of the system.
///
/// Ordered by time, then by node: a total order that all nodes agree on. Between two stamps of the
/// same time it is arbitrary, for neither happened before the other. The text form is that of the
/// timestamp, `@`, and 16 hexadecimal digits of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When.
    pub time: Timestamp,
    /// Where.
    pub node: NodeId,
}

impl Stamp {
    /// What `node` stamped at `time`.
    #[must_use]
    pub const fn new(time: Timestamp, node: NodeId) -> Self {
        Self { time, node }
    }

    /// The stamp of sixteen bytes: the timestamp, then the node, each most significant first.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 16]) -> Self {
        let word = u128::from_be_bytes(bytes);
        Self::new(Timestamp::from_bits((word >> 64) as u64), NodeId(word as u64))
    }

    /// Sixteen bytes that sort as stamps do.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 16] {
        ((self.time.to_bits() as u128) << 64 | self.node.0 as u128).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stamps_sort_by_time_then_node_and_so_do_their_bytes(a: (u64, u64), b: (u64, u64)) {
            let [s, t] = [a, b].map(|(time, node)| Stamp::new(Timestamp::from_bits(time), NodeId(node)));
            prop_assert_eq!(s.cmp(&t), a.cmp(&b));
            prop_assert_eq!(s.cmp(&t), s.to_be_bytes().cmp(&t.to_be_bytes()));
            prop_assert_eq!(Stamp::from_be_bytes(s.to_be_bytes()), s);
        }
    }
}
