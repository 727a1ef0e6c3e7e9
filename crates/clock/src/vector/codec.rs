//! The bytes of a vector clock.

use super::VectorClock;
use crate::NodeId;

/// The smallest entry: a node of eight bytes and a count of one.
const SMALLEST_ENTRY_BYTES: usize = 9;

/// Why bytes, or the values a serde format read, are no vector clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeVectorError {
    /// The bytes end before the clock does.
    #[error("the vector clock is cut off")]
    Truncated,
    /// The bytes go on after the clock.
    #[error("{bytes} bytes follow the vector clock")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// A number has more bytes than it needs, or more than 64 bits.
    #[error("a number of the vector clock is not in its shortest form")]
    Overlong,
    /// A node comes twice, or after a larger one.
    #[error("node {node} of the vector clock is out of order")]
    Unsorted {
        /// The node.
        node: NodeId,
    },
    /// A node without events has an entry.
    #[error("node {node} of the vector clock has a count of zero")]
    ZeroCount {
        /// The node.
        node: NodeId,
    },
    /// No node has counted that far: the count is not less than [`VectorClock::LIMIT`].
    #[error("node {node} of the vector clock has a count of {count}, which is not below 2^63")]
    CountTooLarge {
        /// The node.
        node: NodeId,
        /// Its count.
        count: u64,
    },
    /// There are more nodes than fit.
    #[error("the vector clock has more than {capacity} nodes")]
    OverCapacity {
        /// How many nodes there is room for.
        capacity: usize,
    },
}

impl VectorClock {
    /// The clock in bytes: the number of nodes, then for each node, in order, its eight bytes and
    /// its count. The first byte of a node is the most significant. Both numbers are in LEB128, in
    /// the shortest form. Equal clocks have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(10 + self.len() * 12);
        self.encode_to(&mut bytes);
        bytes
    }

    /// [`encode`](Self::encode), appended to `bytes`.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        write_number(bytes, self.len() as u64);
        for (node, count) in self.iter() {
            bytes.extend_from_slice(&node.0.to_be_bytes());
            write_number(bytes, count);
        }
    }

    /// The clock of exactly these bytes, for at most `capacity` nodes. Takes at most twice the
    /// memory of `bytes`, whatever they claim.
    ///
    /// Counts of 2⁶³ and more are refused: all ones, negative numbers, the bits of a float. Were
    /// one believed, it would claim all that a node will ever do, hide it where it is a context,
    /// and leave the node without a number for its next event. Other counts are believed as they
    /// are: nothing tells a wrong one from a right one. Peers that may lie should get no say in a
    /// vector clock.
    ///
    /// # Errors
    /// When the bytes are none that [`encode`](Self::encode) makes, or the clock does not fit,
    /// which with a `capacity` of 0 none does.
    ///
    /// ```
    /// use steadfast_clock::{DecodeVectorError, NodeId, VectorClock};
    ///
    /// let mut clock = VectorClock::new(8)?;
    /// clock.increment(NodeId(0x0102))?;
    /// let bytes = clock.encode();
    /// assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 0, 1, 2, 1]);
    /// assert_eq!(VectorClock::decode(&bytes, 8), Ok(clock));
    /// assert_eq!(VectorClock::decode(&bytes[..9], 8), Err(DecodeVectorError::Truncated));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn decode(mut bytes: &[u8], capacity: usize) -> Result<Self, DecodeVectorError> {
        let entries = read_len(&mut bytes, capacity)?;
        let mut clock = Self::empty(capacity);
        clock.entries.reserve_exact(entries);
        for _ in 0..entries {
            let (node, rest) = bytes.split_first_chunk().ok_or(DecodeVectorError::Truncated)?;
            bytes = rest;
            clock.push(NodeId(u64::from_be_bytes(*node)), read_number(&mut bytes)?)?;
        }
        if bytes.is_empty() {
            Ok(clock)
        } else {
            Err(DecodeVectorError::TrailingBytes { bytes: bytes.len() })
        }
    }

    /// Appends an entry that was read, unless it breaks what holds of entries.
    pub(super) fn push(&mut self, node: NodeId, count: u64) -> Result<(), DecodeVectorError> {
        if self.entries.last().is_some_and(|(last, _)| *last >= node) {
            return Err(DecodeVectorError::Unsorted { node });
        }
        if count == 0 {
            return Err(DecodeVectorError::ZeroCount { node });
        }
        if count >= Self::LIMIT {
            return Err(DecodeVectorError::CountTooLarge { node, count });
        }
        if self.entries.len() >= self.capacity {
            return Err(DecodeVectorError::OverCapacity { capacity: self.capacity });
        }
        self.entries.push((node, count));
        Ok(())
    }
}

/// How many entries follow, of which memory is taken for all: no more than have room in the bytes.
fn read_len(bytes: &mut &[u8], capacity: usize) -> Result<usize, DecodeVectorError> {
    let claimed = usize::try_from(read_number(bytes)?).unwrap_or(usize::MAX);
    if claimed > capacity || capacity == 0 {
        return Err(DecodeVectorError::OverCapacity { capacity });
    }
    if claimed > bytes.len() / SMALLEST_ENTRY_BYTES {
        Err(DecodeVectorError::Truncated)
    } else {
        Ok(claimed)
    }
}

/// Unsigned LEB128: seven bits a byte, the lowest first, the eighth set on all but the last.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Result<u64, DecodeVectorError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(DecodeVectorError::Truncated)?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if low << shift >> shift != low {
            return Err(DecodeVectorError::Overlong);
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            // A last byte of zero adds nothing, unless it is the number.
            return if low == 0 && shift > 0 {
                Err(DecodeVectorError::Overlong)
            } else {
                Ok(number)
            };
        }
    }
    Err(DecodeVectorError::Overlong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wild() -> impl Strategy<Value = VectorClock> {
        let count = prop_oneof![1..300_u64, 1..VectorClock::LIMIT, Just(VectorClock::LIMIT - 1)];
        prop::collection::btree_map(any::<u64>().prop_map(NodeId), count, 0..20)
            .prop_map(super::super::tests::clock)
    }

    /// Bytes that come close: those of a clock, with some of them changed.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let hits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
        (super::super::tests::clocks(), hits).prop_map(|(clock, hits)| {
            let mut bytes = clock.encode();
            for (at, byte) in hits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn a_clock_comes_back_from_its_bytes_and_no_part_of_them_is_one(clock in wild()) {
            let bytes = clock.encode();
            prop_assert_eq!(VectorClock::decode(&bytes, 64), Ok(clock.clone()));
            for cut in 0..bytes.len() {
                prop_assert_eq!(VectorClock::decode(&bytes[..cut], 64), Err(DecodeVectorError::Truncated));
            }
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(VectorClock::decode(&longer, 64), Err(DecodeVectorError::TrailingBytes { bytes: 1 }));
            let few = clock.len().saturating_sub(1);
            let over = DecodeVectorError::OverCapacity { capacity: few };
            prop_assert_eq!(VectorClock::decode(&bytes, few).err(), (few < clock.len() || few == 0).then_some(over));
        }

        #[test]
        fn what_is_accepted_is_the_one_form_of_a_clock(
            bytes in prop_oneof![damaged(), prop::collection::vec(any::<u8>(), 0..64)],
            capacity in 0..8_usize,
        ) {
            if let Ok(clock) = VectorClock::decode(&bytes, capacity) {
                prop_assert_eq!(clock.encode(), bytes);
                prop_assert!(clock.len() <= capacity && clock.capacity() == capacity);
                prop_assert!(clock.iter().all(|(_, count)| (1..1 << 63).contains(&count)));
                prop_assert!(clock.iter().zip(clock.iter().skip(1)).all(|(a, b)| a.0 < b.0));
            }
        }
    }

    fn entry(node: u64, count: &[u8]) -> Vec<u8> {
        [&node.to_be_bytes()[..], count].concat()
    }

    fn decode(count: &[u8], entries: &[Vec<u8>]) -> Result<VectorClock, DecodeVectorError> {
        VectorClock::decode(&[count, &entries.concat()].concat(), 4)
    }

    #[test]
    fn each_fault_has_its_error() {
        let node = NodeId(7);
        let one = entry(7, &[1]);
        assert_eq!(
            decode(&[2], &[one.clone(), one.clone()]),
            Err(DecodeVectorError::Unsorted { node })
        );
        assert_eq!(
            decode(&[2], &[entry(8, &[1]), one.clone()]),
            Err(DecodeVectorError::Unsorted { node })
        );
        assert_eq!(decode(&[1], &[entry(7, &[0])]), Err(DecodeVectorError::ZeroCount { node }));
        assert_eq!(decode(&[1], &[entry(7, &[0x81, 0])]), Err(DecodeVectorError::Overlong));
        assert_eq!(decode(&[0x81, 0], &[one]), Err(DecodeVectorError::Overlong));
        assert_eq!(decode(&[5], &[]), Err(DecodeVectorError::OverCapacity { capacity: 4 }));
        assert_eq!(
            VectorClock::decode(&[0], 0),
            Err(DecodeVectorError::OverCapacity { capacity: 0 })
        );
    }

    #[test]
    fn counts_that_no_node_reaches_are_refused() {
        let read = |count| {
            let mut bytes = Vec::new();
            write_number(&mut bytes, count);
            decode(&[1], &[entry(7, &bytes)]).map(|clock| clock.count(NodeId(7)))
        };
        for count in [1 << 63, f64::to_bits(-1.5), u64::MAX - 1, u64::MAX] {
            assert_eq!(
                read(count),
                Err(DecodeVectorError::CountTooLarge { node: NodeId(7), count })
            );
        }
        assert_eq!(read((1 << 63) - 1), Ok((1 << 63) - 1));
    }

    #[test]
    fn counts_of_more_than_64_bits_are_refused() {
        let ones = [0xff; 9];
        let largest = entry(7, &[&ones[..], &[1]].concat());
        let too_large = |count| Err(DecodeVectorError::CountTooLarge { node: NodeId(7), count });
        assert_eq!(decode(&[1], &[largest]), too_large(u64::MAX));
        for end in [&[2][..], &[0x81, 0], &[0xff, 0xff, 1]] {
            assert_eq!(
                decode(&[1], &[entry(7, &[&ones[..], end].concat())]),
                Err(DecodeVectorError::Overlong)
            );
        }
    }

    #[test]
    fn decoding_takes_at_most_twice_the_memory_of_the_bytes() {
        for len in [0, 1, 8, 9, 10, 17, 18, 900, 4096] {
            let fit = len / 9;
            for claimed in [0, fit, fit + 1, fit + 2, len, len + 1, 10 * len, u64::MAX] {
                let mut bytes = Vec::new();
                write_number(&mut bytes, claimed);
                bytes.resize(bytes.len() + len as usize, 1);
                let taken = read_len(&mut &bytes[..], usize::MAX).map(|entries| entries as u64);
                assert_eq!(
                    taken,
                    if claimed <= fit { Ok(claimed) } else { Err(DecodeVectorError::Truncated) }
                );
                let decoded = VectorClock::decode(&bytes, usize::MAX);
                assert!(
                    claimed <= fit || decoded == Err(DecodeVectorError::Truncated),
                    "{claimed} in {len}"
                );
            }
        }
        let bytes = super::super::tests::clock((0..50).map(|node| (NodeId(node), 1))).encode();
        let decoded = VectorClock::decode(&bytes, usize::MAX).unwrap();
        assert!(decoded.entries.capacity() * size_of::<(NodeId, u64)>() <= 2 * bytes.len());
    }
}
