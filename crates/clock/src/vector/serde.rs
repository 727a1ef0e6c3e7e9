//! Vector clocks as serde values: a sequence of pairs of a node and its count, in the order of
//! nodes.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
    ser::Error as _,
};

use super::{DecodeVectorError, VectorClock};
use crate::{CausalityError, NodeId};

impl Serialize for VectorClock {
    /// Of at most [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) nodes: what is written can be read
    /// back.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize_within(Self::DEFAULT_CAPACITY, serializer)
    }
}

impl<'de> Deserialize<'de> for VectorClock {
    /// For at most [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) nodes, under the checks of
    /// [`decode`](Self::decode).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize_within(Self::DEFAULT_CAPACITY, deserializer)
    }
}

impl VectorClock {
    /// Writes a clock of at most `capacity` nodes. For `serialize_with`.
    ///
    /// # Errors
    /// When it has more: [`deserialize_within`](Self::deserialize_within) that many could not read
    /// it. When the serializer fails.
    pub fn serialize_within<S: Serializer>(
        &self,
        capacity: usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if self.len() > capacity {
            return Err(S::Error::custom(CausalityError::Full { capacity }));
        }
        whole(self, serializer)
    }

    /// Reads a clock of at most `capacity` nodes, under the checks of [`decode`](Self::decode). For
    /// `deserialize_with`.
    ///
    /// # Errors
    /// When the deserializer fails, or what it reads is no vector clock, or does not fit, which
    /// with a `capacity` of 0 none does.
    pub fn deserialize_within<'de, D: Deserializer<'de>>(
        capacity: usize,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Entries { capacity })
    }
}

/// Writes a clock whose size was looked at already.
pub(crate) fn whole<S: Serializer>(clock: &VectorClock, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(clock.iter())
}

/// Reads a clock whose size will be looked at. It takes memory in proportion to what is read: no
/// length is believed.
pub(crate) fn of_any_size<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<VectorClock, D::Error> {
    VectorClock::deserialize_within(usize::MAX, deserializer)
}

struct Entries {
    capacity: usize,
}

impl<'de> Visitor<'de> for Entries {
    type Value = VectorClock;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} pairs of a node and its count", self.capacity)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<VectorClock, A::Error> {
        if self.capacity == 0 {
            return Err(A::Error::custom(DecodeVectorError::OverCapacity { capacity: 0 }));
        }
        let mut clock = VectorClock::empty(self.capacity);
        // Ends: the entry that does not fit is an error.
        while let Some((node, count)) = pairs.next_element::<(NodeId, u64)>()? {
            clock.push(node, count).map_err(A::Error::custom)?;
        }
        Ok(clock)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The entries as JSON, in the order given.
    fn json(entries: impl IntoIterator<Item = (u64, i64)>) -> String {
        let pairs: Vec<_> =
            entries.into_iter().map(|(node, count)| (NodeId(node), count)).collect();
        serde_json::to_string(&pairs).unwrap()
    }

    #[test]
    fn what_decode_refuses_serde_refuses() {
        let read = |json: &str| {
            serde_json::from_str::<VectorClock>(json).map_err(|error| error.to_string())
        };
        assert_eq!(read("[]").unwrap(), VectorClock::default());
        assert!(read(&json([(7, 1), (7, 1)])).unwrap_err().contains("out of order"));
        assert!(read(&json([(8, 1), (7, 1)])).unwrap_err().contains("out of order"));
        assert!(read(&json([(7, 0)])).unwrap_err().contains("a count of zero"));
        let json_of_all_ones = json([(7, 1)]).replace(",1]", &format!(",{}]", u64::MAX));
        assert!(
            read(&json_of_all_ones).unwrap_err().contains("not below 2^63"),
            "{json_of_all_ones}"
        );
        assert!(read(&json([(7, -1)])).is_err() && read("{}").is_err() && read("[7]").is_err());
    }

    #[test]
    fn more_nodes_than_fit_are_refused() {
        let nodes = |n: usize| json((0..n as u64).map(|node| (node, 1)));
        let most =
            serde_json::from_str::<VectorClock>(&nodes(VectorClock::DEFAULT_CAPACITY)).unwrap();
        assert_eq!(most.len(), VectorClock::DEFAULT_CAPACITY);
        assert!(
            serde_json::from_str::<VectorClock>(&nodes(VectorClock::DEFAULT_CAPACITY + 1)).is_err()
        );
        let within = |capacity, json: &str| {
            VectorClock::deserialize_within(capacity, &mut serde_json::Deserializer::from_str(json))
        };
        assert_eq!(within(2, &nodes(2)).unwrap().capacity(), 2);
        assert!(within(2, &nodes(3)).unwrap_err().to_string().contains("more than 2 nodes"));
        assert!(within(0, "[]").is_err());
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let clock = |nodes| super::super::tests::clock((0..nodes).map(|node| (NodeId(node), 1)));
        assert!(serde_json::to_string(&clock(256)).is_ok());
        assert!(
            serde_json::to_string(&clock(257))
                .unwrap_err()
                .to_string()
                .contains("256 nodes is full")
        );
        let mut bytes = Vec::new();
        clock(257).serialize_within(257, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        assert_eq!(VectorClock::deserialize_within(257, &mut reader).unwrap(), clock(257));
        assert!(
            clock(257).serialize_within(256, &mut serde_json::Serializer::new(Vec::new())).is_err()
        );
    }

    proptest! {
        #[test]
        fn a_clock_comes_back_from_formats_for_people_and_for_machines(clock in super::super::tests::clocks()) {
            let json = serde_json::to_string(&clock).unwrap();
            prop_assert_eq!(&serde_json::from_str::<VectorClock>(&json).unwrap(), &clock);
            let bytes = postcard::to_allocvec(&clock).unwrap();
            prop_assert_eq!(postcard::from_bytes::<VectorClock>(&bytes).unwrap(), clock);
        }

        #[test]
        fn whatever_bytes_come_what_is_accepted_is_a_clock(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(clock) = postcard::from_bytes::<VectorClock>(&bytes) {
                prop_assert_eq!(VectorClock::decode(&clock.encode(), clock.capacity()), Ok(clock));
            }
        }
    }
}
