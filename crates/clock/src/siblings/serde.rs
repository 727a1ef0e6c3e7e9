//! Siblings as a serde value: the context, and pairs of a dot and its value. What is read is
//! checked, for it may come from anybody; what is written can be read again.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use super::Siblings;
use crate::{CausalityError, Dot, VersionVector, vector};

/// Siblings as they are written.
#[derive(Serialize)]
#[serde(rename = "Siblings")]
struct Written<'a, T> {
    #[serde(serialize_with = "vector::serde::whole")]
    context: &'a VersionVector,
    values: &'a [(Dot, T)],
}

/// Siblings as they were read, before they are checked.
#[derive(Deserialize)]
#[serde(rename = "Siblings")]
struct Parts<T> {
    #[serde(deserialize_with = "vector::serde::of_any_size")]
    context: VersionVector,
    values: Vec<(Dot, T)>,
}

impl<T> Siblings<T> {
    /// Writes siblings of at most so many nodes and values. For `serialize_with`.
    ///
    /// # Errors
    /// When there are more: [`deserialize_within`](Self::deserialize_within) the same could not
    /// read them. When the serializer fails.
    pub fn serialize_within<S>(
        &self,
        nodes: usize,
        siblings: usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        fits(&self.context, self.values.len(), nodes, siblings).map_err(S::Error::custom)?;
        Written { context: &self.context, values: &self.values }.serialize(serializer)
    }

    /// Reads siblings with room for `nodes` replicas and `siblings` concurrent values. For
    /// `deserialize_with`.
    ///
    /// It takes memory in proportion to what is read, whatever length is announced: the size of
    /// what may be read is for the caller to limit.
    ///
    /// # Errors
    /// When the deserializer fails, or what it reads is nothing that a replica can hold, or does
    /// not fit; with capacities that [`new`](Self::new) refuses nothing does.
    pub fn deserialize_within<'de, D>(
        nodes: usize,
        siblings: usize,
        deserializer: D,
    ) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let mut read = Self::new(nodes, siblings).map_err(D::Error::custom)?;
        let Parts { context, values } = Parts::deserialize(deserializer)?;
        fits(&context, values.len(), nodes, siblings).map_err(D::Error::custom)?;
        if !values.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(D::Error::custom("the values are not in the order of their dots"));
        }
        if !values.iter().all(|(dot, _)| context.contains(*dot)) {
            return Err(D::Error::custom("the context does not contain a dot of the values"));
        }
        read.context = context.with_capacity(nodes).map_err(D::Error::custom)?;
        read.values = values;
        Ok(read)
    }
}

fn fits(
    context: &VersionVector,
    values: usize,
    nodes: usize,
    siblings: usize,
) -> Result<(), CausalityError> {
    if context.len() > nodes {
        return Err(CausalityError::Full { capacity: nodes });
    }
    if values > siblings {
        Err(CausalityError::TooManySiblings { capacity: siblings })
    } else {
        Ok(())
    }
}

impl<T: Serialize> Serialize for Siblings<T> {
    /// Within the capacities of [`Default`], so that they can be read back.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize_within(VersionVector::DEFAULT_CAPACITY, Self::DEFAULT_CAPACITY, serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Siblings<T> {
    /// With the capacities of [`Default`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize_within(
            VersionVector::DEFAULT_CAPACITY,
            Self::DEFAULT_CAPACITY,
            deserializer,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NodeId;

    fn siblings(writes: u64) -> Siblings<u64> {
        let mut siblings = Siblings::new(4, 100).unwrap();
        for write in 0..writes {
            siblings.write(&VersionVector::default(), NodeId(write % 4), write).unwrap();
        }
        siblings
    }

    fn back(siblings: &Siblings<u64>) -> Result<Siblings<u64>, serde_json::Error> {
        serde_json::from_str(&serde_json::to_string(siblings)?)
    }

    fn back_within(
        siblings: &Siblings<u64>,
        values: usize,
    ) -> Result<Siblings<u64>, serde_json::Error> {
        let mut bytes = Vec::new();
        siblings.serialize_within(4, 100, &mut serde_json::Serializer::new(&mut bytes))?;
        Siblings::deserialize_within(4, values, &mut serde_json::Deserializer::from_slice(&bytes))
    }

    #[test]
    fn siblings_come_back_with_the_default_capacities() {
        let most = siblings(Siblings::<u64>::DEFAULT_CAPACITY as u64);
        let read = back(&most).unwrap();
        assert_eq!(read, most);
        assert_eq!((read.capacity(), read.context().capacity()), (64, 256));
        let bytes = postcard::to_allocvec(&most).unwrap();
        assert_eq!(postcard::from_bytes::<Siblings<u64>>(&bytes).unwrap(), most);
    }

    #[test]
    fn more_siblings_than_fit_are_neither_read_nor_written() {
        for error in [
            serde_json::to_string(&siblings(65)).unwrap_err(),
            back_within(&siblings(65), 64).unwrap_err(),
        ] {
            assert!(error.to_string().contains("more than 64 concurrent values"), "{error}");
        }
        let read = back_within(&siblings(65), 100).unwrap();
        assert_eq!(read, siblings(65));
        assert_eq!((read.capacity(), read.context().capacity()), (100, 4));
        for (nodes, values) in [(3, 100), (0, 100), (4, 1)] {
            let json = serde_json::to_string(&siblings(4)).unwrap();
            let mut reader = serde_json::Deserializer::from_str(&json);
            assert!(Siblings::<u64>::deserialize_within(nodes, values, &mut reader).is_err());
        }
    }

    #[test]
    fn siblings_of_more_nodes_than_fit_are_not_written_until_they_are_pruned() {
        let mut register = Siblings::new(300, 2).unwrap();
        for node in 0..257 {
            register.replace(NodeId(node), node).unwrap();
        }
        assert!(serde_json::to_string(&register).is_err(), "it could not be read back");
        let mut bytes = Vec::new();
        register.serialize_within(300, 2, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        assert_eq!(Siblings::deserialize_within(300, 2, &mut reader).unwrap(), register);
        assert_eq!(
            register.prune(|node, _| node.0 < 10).len(),
            246,
            "the writer of the value stays"
        );
        assert_eq!(back(&register).unwrap(), register);
    }

    #[test]
    fn what_no_replica_can_hold_is_refused() {
        let mut unseen = siblings(3);
        unseen.context = VersionVector::default();
        assert!(back(&unseen).unwrap_err().to_string().contains("does not contain"));
        let mut unsorted = siblings(3);
        unsorted.values.reverse();
        assert!(back(&unsorted).unwrap_err().to_string().contains("not in the order"));
        let mut twice = siblings(1);
        twice.values.push(twice.values[0]);
        assert!(back(&twice).is_err());
        let mut nameless = siblings(1);
        nameless.values[0].0.counter = 0;
        assert!(back(&nameless).is_err());
    }

    proptest! {
        #[test]
        fn whatever_bytes_come_what_is_accepted_keeps_the_rules(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            if let Ok(read) = postcard::from_bytes::<Siblings<u8>>(&bytes) {
                prop_assert!(read.iter().all(|(dot, _)| read.context().contains(dot)));
                prop_assert!(read.values.is_sorted_by(|(a, _), (b, _)| a < b));
            }
        }
    }
}
