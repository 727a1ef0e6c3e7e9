//! What is in a file: two records in turn.

use std::time::Duration;

use crate::{FencingToken, HolderName, Nonce, Owner, Slot, StoreError};

/// As much as any disk writes at once, and more than the longest record has.
pub(super) const SLOT_BYTES: usize = 512;
pub(super) const FILE_BYTES: usize = 2 * SLOT_BYTES;

const MAGIC: &[u8; 8] = b"SFLEASE1";
const CHECKED: usize = SLOT_BYTES - 4;
const HOLDER: usize = 80;
/// In place of a token.
const NONE: u64 = u64::MAX;

/// One boot of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boot(pub(super) [u8; 16]);

/// A record, how many were before it, and on the clock of which boot its times are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) sequence: u64,
    pub(super) boot: Boot,
    pub(super) slot: Slot,
}

impl Boot {
    /// As the kernel tells it: 32 digits with dashes between.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
        (digits.len() == 32).then_some(())?;
        u128::from_str_radix(&digits, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl Kept {
    /// What a file begins with: nothing was granted.
    pub(super) fn first() -> Self {
        Self { sequence: 0, boot: Boot([0; 16]), slot: Slot::default() }
    }

    /// Where it is in the file: never where the one before it is.
    pub(super) const fn offset(&self) -> usize {
        if self.sequence.is_multiple_of(2) { 0 } else { SLOT_BYTES }
    }

    pub(super) fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.boot.0);
        let token = self.slot.last.map_or(NONE, FencingToken::get);
        bytes[32..40].copy_from_slice(&token.to_le_bytes());
        if let Some(Owner { nonce, holder, ttl, until }) = &self.slot.owner {
            let holder = holder.as_str().as_bytes();
            bytes[40] = 1;
            bytes[41] = u8::try_from(holder.len()).expect("a holder's name has 255 bytes at most");
            bytes[48..56].copy_from_slice(&nanos(*ttl).to_le_bytes());
            bytes[56..64].copy_from_slice(&nanos(*until).to_le_bytes());
            bytes[64..80].copy_from_slice(&nonce.to_bytes());
            bytes[HOLDER..HOLDER + holder.len()].copy_from_slice(holder);
        }
        let check = crc32fast::hash(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` where a record is half written, or is none.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let check = u32::from_le_bytes(bytes.get(CHECKED..SLOT_BYTES)?.try_into().ok()?);
        if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..CHECKED]) != check {
            return None;
        }
        let last = match number(32)? {
            NONE => None,
            token => Some(FencingToken::try_from(token).ok()?),
        };
        let owner = match bytes[40] {
            0 => None,
            1 => {
                let holder = &bytes[HOLDER..HOLDER + usize::from(bytes[41])];
                Some(Owner {
                    nonce: Nonce::from_bytes(bytes[64..80].try_into().ok()?),
                    holder: HolderName::new(std::str::from_utf8(holder).ok()?).ok()?,
                    ttl: Duration::from_nanos(number(48)?),
                    until: Duration::from_nanos(number(56)?),
                })
            }
            _ => return None,
        };
        let boot = Boot(bytes[16..32].try_into().ok()?);
        Some(Self { sequence: number(8)?, boot, slot: Slot { last, owner } })
    }
}

/// The newer record of a file; `None` where none was ever granted, because the file was not even
/// made to its end.
///
/// # Errors
/// [`Corrupt`](crate::StoreErrorKind::Corrupt) when it is no file of this store, or was damaged.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Kept>, StoreError> {
    let slots = bytes.chunks(SLOT_BYTES).take(2).filter_map(Kept::decode);
    if let Some(newer) = slots.max_by_key(|kept| kept.sequence) {
        return Ok(Some(newer));
    }
    // Written in part: as it should be up to some byte, and nothing behind.
    let first = Kept::first().encode();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if first.starts_with(&bytes[..written.min(bytes.len())]) && bytes.len() <= FILE_BYTES {
        return Ok(None);
    }
    Err(StoreError::corrupt().because("the file holds no record"))
}

/// 584 years at most.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::StoreErrorKind;

    fn kept(sequence: u64) -> Kept {
        let owner = Owner {
            nonce: Nonce::from_bytes([7; 16]),
            holder: HolderName::new("x".repeat(255)).unwrap(),
            ttl: Duration::from_secs(15),
            until: Duration::from_nanos(u64::MAX - 1),
        };
        let last = Some(FencingToken::MAX);
        Kept { sequence, boot: Boot([3; 16]), slot: Slot { last, owner: Some(owner) } }
    }

    fn file(records: &[&Kept]) -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES];
        for record in records {
            let at = record.offset();
            bytes[at..at + SLOT_BYTES].copy_from_slice(&record.encode());
        }
        bytes
    }

    #[test]
    fn the_newer_of_two_records_counts_and_a_torn_one_leaves_the_other() {
        let (one, two) = (kept(41), kept(42));
        let whole = file(&[&one, &two]);
        assert_eq!(read(&whole).unwrap(), Some(two.clone()));
        for torn in 0..SLOT_BYTES {
            let mut bytes = whole.clone();
            bytes[torn] ^= 1;
            assert_eq!(read(&bytes).unwrap(), Some(one.clone()), "at byte {torn}");
        }
        // The next one is written over the older, byte by byte.
        let three = kept(43).encode();
        for written in 0..SLOT_BYTES - 4 {
            let mut bytes = whole.clone();
            bytes[SLOT_BYTES..SLOT_BYTES + written].copy_from_slice(&three[..written]);
            let found = read(&bytes).unwrap().unwrap();
            assert!(found == two, "{written} bytes written: {}", found.sequence);
        }
    }

    #[test]
    fn a_file_that_was_not_made_to_its_end_has_granted_nothing() {
        let whole = file(&[&Kept::first()]);
        for written in 0..SLOT_BYTES {
            assert_eq!(read(&whole[..written]).unwrap(), None, "{written} bytes");
            let mut padded = whole[..written].to_vec();
            padded.resize(FILE_BYTES, 0);
            // Whatever is behind may be zero already.
            let found = read(&padded).unwrap();
            assert!(found.is_none() || found == Some(Kept::first()), "{written} bytes");
        }
        assert_eq!(read(&whole).unwrap(), Some(Kept::first()));
    }

    #[test]
    fn a_file_of_something_else_is_corrupt() {
        for bytes in [b"hello".to_vec(), vec![1; FILE_BYTES], vec![0; FILE_BYTES + 1]] {
            assert_eq!(read(&bytes).unwrap_err().kind(), StoreErrorKind::Corrupt);
        }
        let mut damaged = file(&[&kept(41), &kept(42)]);
        (damaged[3], damaged[SLOT_BYTES + 3]) = (0, 0);
        assert_eq!(read(&damaged).unwrap_err().kind(), StoreErrorKind::Corrupt);
    }

    #[test]
    fn a_boot_is_read_as_the_kernel_tells_it() {
        let boot = Boot::parse("00000000-0000-0000-0000-0000000001ff\n").unwrap();
        assert_eq!(boot.0[14..], [1, 255]);
        for wrong in ["", "1ff", "00000000-0000-0000-0000-0000000001fg"] {
            assert_eq!(Boot::parse(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_file_is_read_or_refused(
            mut bytes in vec(any::<u8>(), 0..FILE_BYTES + 10), with_check: bool,
        ) {
            if with_check && bytes.len() >= SLOT_BYTES {
                bytes[..8].copy_from_slice(MAGIC);
                let check = crc32fast::hash(&bytes[..CHECKED]);
                bytes[CHECKED..SLOT_BYTES].copy_from_slice(&check.to_le_bytes());
            }
            let _ = read(&bytes);
        }
    }
}
