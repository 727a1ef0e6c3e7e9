//! Siblings as a serde value: the context, and pairs of a dot and its value. What is read is checked, for it may come from
//! anybody.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use super::Siblings;
use crate::{CausalityError, Dot, VersionVector};

/// Siblings as they are written, before they are checked.
#[derive(Deserialize)]
pub(super) struct Parts<T> {
    context: VersionVector,
    #[serde(deserialize_with = "bounded", bound(deserialize = "T: Deserialize<'de>"))]
    values: Vec<(Dot, T)>,
}

impl<T> TryFrom<Parts<T>> for Siblings<T> {
    type Error = &'static str;

    fn try_from(Parts { context, values }: Parts<T>) -> Result<Self, Self::Error> {
        if !values.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("the values are not in the order of their dots");
        }
        if !values.iter().all(|(dot, _)| context.contains(*dot)) {
            return Err("the context does not contain a dot of the values");
        }
        Ok(Self { context, values, capacity: Self::DEFAULT_CAPACITY })
    }
}

/// Reads no more values than there is room for, whatever the length that was announced.
fn bounded<'de, D, T>(deserializer: D) -> Result<Vec<(Dot, T)>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Values(PhantomData))
}

struct Values<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
    type Value = Vec<(Dot, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} pairs of a dot and its value", Siblings::<T>::DEFAULT_CAPACITY)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let (mut values, capacity) = (Vec::new(), Siblings::<T>::DEFAULT_CAPACITY);
        while let Some(pair) = pairs.next_element()? {
            if values.len() >= capacity {
                return Err(A::Error::custom(CausalityError::TooManySiblings { capacity }));
            }
            values.push(pair);
        }
        Ok(values)
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
        serde_json::from_str(&serde_json::to_string(siblings).unwrap())
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
    fn more_siblings_than_fit_are_refused() {
        let error = back(&siblings(65)).unwrap_err().to_string();
        assert!(error.contains("more than 64 concurrent values"), "{error}");
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
