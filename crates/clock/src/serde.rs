//! Timestamps, nodes and stamps as serde values: the compact text in formats for people, bytes that
//! sort as the values do in all others.
//!
//! Not a number: JSON readers keep 53 bits of one.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};

use crate::{NodeId, Stamp, Timestamp};

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, &self.compact(), &self.to_be_bytes())
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
        write(serializer, self, &self.0.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, |bytes: [u8; 8]| Self(u64::from_be_bytes(bytes)))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, &self.compact(), &self.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for Stamp {
    /// In formats for people both text forms are read.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, Self::from_be_bytes)
    }
}

fn write<S: Serializer>(
    serializer: S,
    text: &dyn fmt::Display,
    bytes: &[u8],
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(text)
    } else {
        serializer.serialize_bytes(bytes)
    }
}

fn read<'de, D, T, const N: usize>(
    deserializer: D,
    from_bytes: fn([u8; N]) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let form = Form { from_bytes };
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(form)
    } else {
        deserializer.deserialize_bytes(form)
    }
}

/// Reads a text or bytes without owning them, and bytes where a text is asked for: what was held
/// back for a flattened, tagged or untagged type is said to be for people, whatever format it came
/// from. (As one value of bytes, for an array could not be handed over as a text.)
struct Form<T, const N: usize> {
    from_bytes: fn([u8; N]) -> T,
}

impl<'de, T: FromStr<Err: fmt::Display>, const N: usize> Visitor<'de> for Form<T, N> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a hybrid timestamp, a node or a stamp as text or {N} bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
        Ok((self.from_bytes)(bytes))
    }

    /// Formats without bytes write a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
        }
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_length(N + 1, &self));
        }
        Ok((self.from_bytes)(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn garbage_is_an_error_that_says_what_was_expected() {
        for garbage in
            ["7", "\"7\"", "null", "\"0000000000000000\"", "\"hlc-0000000000000000\"", "[1,2]"]
        {
            assert!(serde_json::from_str::<Stamp>(garbage).is_err(), "{garbage}");
        }
        let digits = serde_json::from_str::<Timestamp>("\"0123456789abcdef\"");
        assert!(digits.is_err(), "as a trace has them");
        let error = serde_json::from_str::<Timestamp>("7").unwrap_err().to_string();
        assert!(error.contains("hybrid timestamp"), "{error}");
        assert!(postcard::from_bytes::<Timestamp>(&[0; 7]).is_err());
    }

    /// Whatever serde holds a value back for: then it no longer says whether the format is for
    /// people.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        tagged: Tagged,
        untagged: Untagged,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        stamp: Stamp,
        time: Timestamp,
        node: NodeId,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        At { time: Timestamp, stamps: Vec<Stamp> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Stamp(Stamp),
        Time(Timestamp),
    }

    fn outer(stamp: Stamp, untagged: Untagged) -> Outer {
        let Stamp { time, node } = stamp;
        Outer {
            inner: Inner { stamp, time, node },
            tagged: Tagged::At { time, stamps: vec![stamp; 2] },
            untagged,
        }
    }

    fn to_cbor(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn bytes_of_another_length_are_an_error_in_every_shape() {
        use ciborium::value::Value;
        for length in [0, 7, 9, 16, 17] {
            let bytes = vec![7; length];
            let items = bytes.iter().map(|&byte| Value::from(byte)).collect();
            for value in [Value::Bytes(bytes), Value::Array(items)] {
                let read = ciborium::from_reader::<Timestamp, _>(&to_cbor(&value)[..]);
                assert!(read.is_err(), "{value:?}");
            }
        }
        let eight = Value::Array((0..8).map(Value::from).collect());
        let read: Timestamp = ciborium::from_reader(&to_cbor(&eight)[..]).unwrap();
        assert_eq!(
            read,
            Timestamp::from_be_bytes([0, 1, 2, 3, 4, 5, 6, 7]),
            "eight numbers are eight bytes"
        );
    }

    proptest! {
        #[test]
        fn values_come_back_from_inside_of_types_that_serde_holds_back(time: u64, node: u64) {
            let stamp = Stamp::new(Timestamp::from_bits(time), NodeId(node));
            for untagged in [Untagged::Stamp(stamp), Untagged::Time(stamp.time)] {
                let value = outer(stamp, untagged);
                let read: Outer = ciborium::from_reader(&to_cbor(&value)[..]).unwrap();
                prop_assert_eq!(&read, &value);
                let read: Outer = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
                prop_assert_eq!(read, value);
            }
        }

        #[test]
        fn values_come_back_from_formats_for_people_and_for_machines(time: u64, node: u64) {
            let (time, node) = (Timestamp::from_bits(time), NodeId(node));
            let value = (time, node, Stamp::new(time, node));
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(&text, &format!("[\"{}\",\"{node}\",\"{}\"]", time.compact(), value.2.compact()));
            prop_assert_eq!(serde_json::from_str::<(Timestamp, NodeId, Stamp)>(&text).unwrap(), value);
            prop_assert_eq!(serde_json::from_str::<Stamp>(&format!("\"{}\"", value.2)).unwrap(), value.2);
            let bytes = postcard::to_allocvec(&value).unwrap();
            prop_assert_eq!(bytes.len(), 9 + 9 + 17, "each says its length");
            prop_assert_eq!(postcard::from_bytes::<(Timestamp, NodeId, Stamp)>(&bytes).unwrap(), value);
        }
    }
}
