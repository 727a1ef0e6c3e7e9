//! What is in an object.

use std::time::Duration;

use rand::RngExt;

use crate::{FencingToken, HolderName, Nonce, Owner, Slot};

/// One write, and no other: 128 random bits. So every write differs, also where nothing else of it
/// does: where an ETag is a hash of the object, equal objects would have one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WriteId(pub(super) [u8; 16]);

impl WriteId {
    fn generate() -> Self {
        Self(rand::rng().random())
    }
}

/// The record of one name. When it ends is not in it: each process counts that by its own clock, so
/// `until` of its owner is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: WriteId,
    /// The write that this one has replaced; zero if there was none.
    pub(super) replaced: WriteId,
    /// An object begins with a grant.
    pub(super) last: FencingToken,
    pub(super) owner: Option<Owner>,
}

/// The layout: this, the two writes, the last token, then, while it is held, the TTL in
/// nanoseconds, the nonce and the holder; and a check of all that. Numbers have their highest byte
/// first.
const MAGIC: &[u8; 8] = b"SFLEASE\x01";
const CHECK: usize = 4;
const FREE: usize = 8 + 16 + 16 + 8;
const HELD: usize = FREE + 8 + 16;
/// No object is longer: a holder's name has 255 bytes.
pub(super) const LONGEST: usize = HELD + 255 + CHECK;

impl Record {
    /// What replaces `before`; `None` where nothing was ever granted.
    pub(super) fn behind(before: Option<&Self>, slot: Slot) -> Option<Self> {
        let replaced = before.map_or(WriteId([0; 16]), |before| before.id);
        let owner = slot.owner.map(|owner| Owner { until: Duration::ZERO, ..owner });
        Some(Self { id: WriteId::generate(), replaced, last: slot.last?, owner })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.replaced.0);
        bytes.extend_from_slice(&self.last.get().to_be_bytes());
        if let Some(Owner { nonce, holder, ttl, .. }) = &self.owner {
            let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&ttl.to_be_bytes());
            bytes.extend_from_slice(&nonce.to_bytes());
            bytes.extend_from_slice(holder.as_str().as_bytes());
        }
        let check = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&check.to_be_bytes());
        bytes
    }

    /// `None` where it is no record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (checked, check) = bytes.split_last_chunk()?;
        if crc32fast::hash(checked) != u32::from_be_bytes(*check) {
            return None;
        }
        let rest = checked.strip_prefix(MAGIC)?;
        let (id, rest) = rest.split_first_chunk()?;
        let (replaced, rest) = rest.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let last = FencingToken::try_from(u64::from_be_bytes(*last)).ok()?;
        let owner = if rest.is_empty() { None } else { Some(parse_owner(rest)?) };
        Some(Self { id: WriteId(*id), replaced: WriteId(*replaced), last, owner })
    }
}

fn parse_owner(bytes: &[u8]) -> Option<Owner> {
    let (ttl, rest) = bytes.split_first_chunk()?;
    let (nonce, holder) = rest.split_first_chunk()?;
    Some(Owner {
        nonce: Nonce::from_bytes(*nonce),
        holder: HolderName::new(std::str::from_utf8(holder).ok()?).ok()?,
        ttl: Duration::from_nanos(u64::from_be_bytes(*ttl)),
        until: Duration::ZERO,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn record(holder: &str) -> Record {
        let owner = Owner {
            nonce: Nonce::from_bytes([7; 16]),
            holder: HolderName::new(holder).unwrap(),
            ttl: Duration::from_secs(15),
            until: Duration::ZERO,
        };
        let (id, replaced) = (WriteId([1; 16]), WriteId([2; 16]));
        Record { id, replaced, last: FencingToken::MAX, owner: Some(owner) }
    }

    #[test]
    fn a_record_survives_its_bytes() {
        for holder in ["", "10.0.0.7:8080", &"x".repeat(255)] {
            let held = record(holder);
            let bytes = held.to_bytes();
            assert_eq!(Record::parse(&bytes).as_ref(), Some(&held));
            assert!(bytes.len() <= LONGEST);
            let mut free = held;
            free.owner = None;
            assert_eq!(Record::parse(&free.to_bytes()), Some(free));
        }
        assert_eq!(record(&"x".repeat(255)).to_bytes().len(), LONGEST);
    }

    #[test]
    fn what_is_cut_changed_or_lengthened_is_no_record() {
        let whole = record("10.0.0.7:8080").to_bytes();
        for at in 0..whole.len() {
            assert_eq!(Record::parse(&whole[..at]), None, "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert_eq!(Record::parse(&changed), None, "changed at {at}");
        }
        assert_eq!(Record::parse(&[&whole[..], b"\n"].concat()), None);
    }

    /// With a check that is right: not the network's fault, but another program's.
    #[test]
    fn what_says_nothing_that_can_be_is_no_record() {
        let sound = |bytes: &[u8]| {
            let check = crc32fast::hash(bytes);
            Record::parse(&[bytes, &check.to_be_bytes()].concat()).is_some()
        };
        let whole = record("a").to_bytes();
        let whole = &whole[..whole.len() - CHECK];
        assert!(sound(whole) && sound(&whole[..FREE]) && sound(&whole[..HELD]));
        let mut later = whole.to_vec();
        later[7] = 2;
        let mut beyond = whole.to_vec();
        beyond[FREE - 8..FREE].copy_from_slice(&(1_u64 << 63).to_be_bytes());
        let broken = [whole, b"\xff"].concat();
        let long = [whole, &[b'x'; 255]].concat();
        for wrong in [&later, &beyond, &broken, &long] {
            assert!(!sound(wrong));
        }
        assert!(!sound(&whole[..HELD - 1]) && !sound(&whole[..FREE - 1]) && !sound(b""));
    }

    #[test]
    fn every_write_differs() {
        let before = record("a");
        let slot = Slot { last: Some(before.last), owner: before.owner.clone() };
        let one = Record::behind(Some(&before), slot.clone()).unwrap();
        let other = Record::behind(Some(&before), slot).unwrap();
        assert_ne!(one.to_bytes(), other.to_bytes());
        assert_eq!((one.replaced, one.owner), (before.id, before.owner));
        assert_eq!(Record::behind(None, Slot::default()), None);
    }

    proptest! {
        #[test]
        fn whatever_is_in_an_object_is_read_or_refused(
            mut bytes in vec(any::<u8>(), 0..LONGEST + 10), with_check: bool,
        ) {
            if with_check && bytes.len() >= FREE {
                bytes[..8].copy_from_slice(MAGIC);
                let check = crc32fast::hash(&bytes);
                bytes.extend_from_slice(&check.to_be_bytes());
            }
            if let Some(record) = Record::parse(&bytes) {
                prop_assert_eq!(record.to_bytes(), bytes);
            }
        }
    }
}
