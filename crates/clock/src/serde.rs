//! Timestamps and stamps as serde values: the compact text in formats for people, bytes that sort as the values do in all others.
//!
//! Not a number: JSON readers keep 53 bits of one.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

use crate::{NodeId, Stamp, Timestamp};

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, &self.compact(), self.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// In formats for people both text forms are read.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, Self::from_be_bytes)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, self, self.0.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, |bytes| Self(u64::from_be_bytes(bytes)))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, &self.compact(), self.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for Stamp {
    /// In formats for people both text forms are read.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, Self::from_be_bytes)
    }
}

fn write<S: Serializer>(serializer: S, text: &dyn fmt::Display, bytes: impl Serialize) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { serializer.collect_str(text) } else { bytes.serialize(serializer) }
}

fn read<'de, D, T, B>(deserializer: D, from_bytes: impl FnOnce(B) -> T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
    B: Deserialize<'de>,
{
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Text(PhantomData))
    } else {
        B::deserialize(deserializer).map(from_bytes)
    }
}

/// Reads a text without owning it.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hybrid timestamp, a node or a stamp as text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn garbage_is_an_error_that_says_what_was_expected() {
        for garbage in ["7", "\"7\"", "null", "\"0000000000000000\"", "[1,2]"] {
            assert!(serde_json::from_str::<Stamp>(garbage).is_err(), "{garbage}");
        }
        let error = serde_json::from_str::<Timestamp>("7").unwrap_err().to_string();
        assert!(error.contains("hybrid timestamp"), "{error}");
        assert!(postcard::from_bytes::<Timestamp>(&[0; 7]).is_err());
    }

    proptest! {
        #[test]
        fn values_come_back_from_formats_for_people_and_for_machines(time: u64, node: u64) {
            let (time, node) = (Timestamp::from_bits(time), NodeId(node));
            let value = (time, node, Stamp::new(time, node));
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(&text, &format!("[\"{}\",\"{node}\",\"{}\"]", time.compact(), value.2.compact()));
            prop_assert_eq!(serde_json::from_str::<(Timestamp, NodeId, Stamp)>(&text).unwrap(), value);
            prop_assert_eq!(serde_json::from_str::<Stamp>(&format!("\"{}\"", value.2)).unwrap(), value.2);
            let bytes = postcard::to_allocvec(&value).unwrap();
            prop_assert_eq!(bytes.len(), 8 + 8 + 16);
            prop_assert_eq!(postcard::from_bytes::<(Timestamp, NodeId, Stamp)>(&bytes).unwrap(), value);
        }
    }
}
