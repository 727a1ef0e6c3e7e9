//! Protocol buffers, as far as etcd's messages need them: numbers in base 128, and bytes with their
//! length before them. <https://protobuf.dev/programming-guides/encoding/>

use bytes::{Buf, Bytes};

/// A message that is written field by field. What is zero or empty is left out, as proto3 has it.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

/// What a field has: the numbers are those of the format.
const NUMBER: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

impl Writer {
    pub(super) fn int(mut self, field: u32, value: i64) -> Self {
        if value != 0 {
            self.varint(u64::from(field) << 3 | NUMBER);
            self.varint(value.cast_unsigned());
        }
        self
    }

    pub(super) fn bytes(self, field: u32, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.delimited(field, value) }
    }

    /// A message within this one. An empty one is written: that it is there says something.
    pub(super) fn message(self, field: u32, message: &Self) -> Self {
        self.delimited(field, &message.0)
    }

    pub(super) fn messages(self, field: u32, messages: &[Self]) -> Self {
        messages.iter().fold(self, |writer, message| writer.message(field, message))
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }

    fn delimited(mut self, field: u32, value: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut rest: u64) {
        while rest >= 0x80 {
            self.0.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.0.push(rest.to_le_bytes()[0]);
    }
}

/// What is read is no message of the kind that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("etcd answers what is no message of its protocol")]
pub(super) struct Malformed;

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Bytes(Bytes),
    /// Of a kind that no field of interest has.
    Other,
}

impl Value {
    pub(super) fn int(self) -> Result<i64, Malformed> {
        match self {
            Self::Number(number) => Ok(number.cast_signed()),
            _ => Err(Malformed),
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes, Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// Reads a message field by field; ends after the first error.
#[derive(Debug)]
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) const fn new(message: Bytes) -> Self {
        Self(message)
    }

    /// The next field, with its number.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            NUMBER => Value::Number(self.varint()?),
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            FIXED_64 => self.take(8).map(|_| Value::Other)?,
            FIXED_32 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(Malformed),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.0.len() { Err(Malformed) } else { Ok(self.0.split_to(length)) }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            if self.0.is_empty() {
                return Err(Malformed);
            }
            let byte = self.0.get_u8();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// From the documentation of the format.
    #[test]
    fn numbers_and_bytes_are_written_as_the_format_has_them() {
        assert_eq!(*Writer::default().int(1, 150).finish(), [0x08, 0x96, 0x01]);
        let testing = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(*Writer::default().bytes(2, b"testing").finish(), testing);
        let minus_two = [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(*Writer::default().int(1, -2).finish(), minus_two);
        let inner = Writer::default().int(1, 150);
        assert_eq!(*Writer::default().message(3, &inner).finish(), [0x1a, 3, 0x08, 0x96, 1]);
        assert!(Writer::default().int(1, 0).bytes(2, b"").finish().is_empty());
        assert_eq!(*Writer::default().message(1, &Writer::default()).finish(), [0x0a, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_written_is_read(
            fields in vec((1_u32..100, any::<i64>(), vec(any::<u8>(), 1..40)), 0..6),
        ) {
            let write = |writer: Writer, (field, number, bytes): &(u32, i64, Vec<u8>)| {
                writer.int(*field, *number).bytes(field + 100, bytes)
            };
            let message = fields.iter().fold(Writer::default(), write).finish();
            let mut reader = Reader::new(message);
            for (field, number, bytes) in fields {
                if number != 0 {
                    let (found, value) = reader.next().unwrap().unwrap();
                    prop_assert_eq!((found, value.int()), (u64::from(field), Ok(number)));
                }
                let (found, value) = reader.next().unwrap().unwrap();
                prop_assert_eq!((found, value.bytes()), (u64::from(field) + 100, Ok(bytes.into())));
            }
            prop_assert_eq!(reader.next(), Ok(None));
        }

        #[test]
        fn whatever_is_read_ends(message in vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(message.into());
            for _ in 0..=200 {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(Malformed) => return Ok(()),
                }
            }
            prop_assert!(false, "more fields than bytes");
        }
    }
}
