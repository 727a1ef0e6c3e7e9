//! What is kept under the key of a lease.

use bytes::Bytes;

use super::api::KeyValue;
use crate::{FencingToken, HolderName, Nonce, StoreError};

/// The value of a key that is there while its lease is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) nonce: Nonce,
    /// What the revision that created the key is added to.
    pub(super) base: u64,
    pub(super) holder: HolderName,
}

/// The layout: this byte, the nonce, the base with its highest byte first, the holder.
const LAYOUT: u8 = 1;
const HEAD: usize = 1 + 16 + 8;

/// No base is higher. Revisions have what is above it: half of all numbers.
pub(super) const HIGHEST_BASE: u64 = 1 << 62;

impl Record {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let holder = self.holder.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(HEAD + holder.len());
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&self.nonce.to_bytes());
        bytes.extend_from_slice(&self.base.to_be_bytes());
        bytes.extend_from_slice(holder);
        bytes
    }

    fn parse(bytes: &Bytes) -> Option<Self> {
        let (&layout, rest) = bytes.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<16>()?;
        let (base, holder) = rest.split_first_chunk::<8>()?;
        let base = u64::from_be_bytes(*base);
        let holder = HolderName::new(std::str::from_utf8(holder).ok()?).ok()?;
        let is_sound = layout == LAYOUT && base <= HIGHEST_BASE;
        is_sound.then_some(Self { nonce: Nonce::from_bytes(*nonce), base, holder })
    }
}

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) record: Record,
    pub(super) token: FencingToken,
    /// The revision that created the key, which no other key of this name ever has.
    pub(super) revision: i64,
    pub(super) lease: i64,
}

impl Kept {
    /// # Errors
    /// When the key holds what is no record: written by another program, or without a lease.
    pub(super) fn of(kv: &KeyValue) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt().because("etcd keeps what is no record of a lease");
        let record = Record::parse(&kv.value).ok_or_else(corrupt)?;
        // A key without a lease would never expire, and one that was written again is not ours.
        if kv.lease == 0 || kv.create_revision != kv.mod_revision {
            return Err(corrupt());
        }
        let token = token(record.base, kv.create_revision).ok_or_else(corrupt)?;
        Ok(Self { record, token, revision: kv.create_revision, lease: kv.lease })
    }
}

/// The token of a key that was created at this revision.
pub(super) fn token(base: u64, revision: i64) -> Option<FencingToken> {
    // The first revision is 1: without one an answer is garbage, and would be the token of another.
    let revision = u64::try_from(revision).ok().filter(|revision| *revision > 0)?;
    FencingToken::try_from(base.checked_add(revision)?).ok()
}

/// A base by itself: digits, so that it can be read by hand.
pub(super) fn parse_base(value: &[u8]) -> Result<u64, StoreError> {
    let corrupt = || StoreError::corrupt().because("etcd keeps what is no base of tokens");
    let digits = std::str::from_utf8(value).map_err(|_| corrupt())?;
    let base: FencingToken = digits.parse().map_err(|_| corrupt())?;
    if base.get() > HIGHEST_BASE { Err(corrupt()) } else { Ok(base.get()) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn kept(value: Vec<u8>) -> KeyValue {
        KeyValue {
            key: "k".into(),
            create_revision: 7,
            mod_revision: 7,
            value: value.into(),
            lease: 1,
        }
    }

    #[test]
    fn a_record_survives_its_bytes_and_another_is_refused() {
        let record = Record {
            nonce: Nonce::from_bytes([9; 16]),
            base: 1_790_000_000_000_000,
            holder: HolderName::new("10.0.0.7:8080").unwrap(),
        };
        let kv = kept(record.to_bytes());
        let found = Kept::of(&kv).unwrap();
        assert_eq!((found.token.get(), found.record), (1_790_000_000_000_007, record.clone()));
        let empty = Record { holder: HolderName::new("").unwrap(), ..record.clone() };
        assert_eq!(Kept::of(&kept(empty.to_bytes())).unwrap().record, empty);
        let bytes = record.to_bytes();
        let mut later = bytes.clone();
        later[0] = 2;
        let mut high = bytes.clone();
        high[17] = 0x80;
        let long = [&bytes[..], &[b'x'; 255]].concat();
        let broken = [&bytes[..], &[0xff]].concat();
        for value in [later, high, long, broken, bytes[..24].to_vec(), vec![]] {
            assert!(Kept::of(&kept(value)).is_err());
        }
        for kv in [
            KeyValue { lease: 0, ..kv.clone() },
            KeyValue { mod_revision: 8, ..kv.clone() },
            KeyValue { create_revision: 0, mod_revision: 0, ..kv.clone() },
            KeyValue { create_revision: -7, mod_revision: -7, ..kv },
        ] {
            assert!(Kept::of(&kv).is_err());
        }
    }

    #[test]
    fn a_base_is_plain_digits_with_room_above() {
        assert_eq!(parse_base(b"1790000000000000").unwrap(), 1_790_000_000_000_000);
        for garbage in [&b""[..], b"-1", b" 1", b"1.5", b"\xff", b"4611686018427387905"] {
            assert!(parse_base(garbage).is_err());
        }
        assert!(token(HIGHEST_BASE, i64::MAX).is_none());
        assert!(token(HIGHEST_BASE, 1 << 61).is_some());
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read_or_refused(value in vec(any::<u8>(), 0..300)) {
            let _ = Kept::of(&kept(value));
        }
    }
}
