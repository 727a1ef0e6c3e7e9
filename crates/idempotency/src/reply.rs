//! A reply as a store keeps it.

use bytes::{BufMut, Bytes, BytesMut};

/// What a store keeps of an execution that is over: its reply, or that there was one.
///
/// [`encode`](Self::encode) puts it into a frame with a version and a checksum, which
/// [`decode`](Self::decode) demands: what a store answers is not trusted. What the payload means is
/// the codec's affair.
///
/// | bytes | |
/// |--:|---|
/// | 2 | `5F 1D`: a reply of this crate |
/// | 1 | the version of this table, 1 |
/// | 1 | 0: a reply, 1: one that was too large to keep |
/// | 4 | how many bytes of payload there are, big endian |
/// | 4 | CRC-32 (ISO-HDLC) of all above and the payload, big endian |
/// | n | the payload |
///
/// `Debug` shows the length of the payload and none of it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredReply {
    /// The reply, in the codec's words.
    Kept(Bytes),
    /// There was a reply, which was too large to keep: the operation is executed, and no duplicate
    /// can be given what the first caller got.
    NotKept,
}

const MAGIC: [u8; 2] = [0x5f, 0x1d];
const VERSION: u8 = 1;
const KEPT: u8 = 0;
const NOT_KEPT: u8 = 1;
/// The fields that the checksum covers.
const CHECKED: usize = 8;
/// With the checksum.
const HEAD: usize = CHECKED + size_of::<u32>();

impl StoredReply {
    /// How many bytes the frame adds to a payload.
    pub const OVERHEAD: usize = HEAD;

    /// The reply, or that there was one if it is longer than `most` bytes.
    #[cfg(feature = "tokio")]
    pub(crate) fn within(most: usize, reply: Bytes) -> Self {
        if reply.len() > most { Self::NotKept } else { Self::Kept(reply) }
    }

    /// The frame for a store to keep.
    ///
    /// A payload of 4 GiB or more, whose length the frame has no room for, becomes
    /// [`NotKept`](Self::NotKept).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let kept = match self {
            Self::Kept(payload) => u32::try_from(payload.len()).ok().map(|len| (payload, len)),
            Self::NotKept => None,
        };
        let (kind, payload, length) = match kept {
            Some((payload, length)) => (KEPT, &payload[..], length),
            None => (NOT_KEPT, &[][..], 0),
        };
        let mut frame = BytesMut::with_capacity(HEAD + payload.len());
        frame.put_slice(&MAGIC);
        frame.put_u8(VERSION);
        frame.put_u8(kind);
        frame.put_u32(length);
        frame.put_u32(checksum(&frame, payload));
        frame.put_slice(payload);
        frame.freeze()
    }

    /// Reads a frame. The payload is a part of `frame`: nothing is copied, and nothing is allocated
    /// for a length that the frame claims.
    ///
    /// # Errors
    /// When it is no frame, of another version, cut short, or damaged.
    pub fn decode(frame: &Bytes) -> Result<Self, ReplyError> {
        let truncated = |expected| ReplyError::Truncated { expected, found: frame.len() };
        let Some(head) = frame.first_chunk::<HEAD>() else {
            // A short frame is a truncated one only as far as it begins like one.
            return Err(match MAGIC.starts_with(&frame[..frame.len().min(MAGIC.len())]) {
                true => truncated(HEAD),
                false => ReplyError::NoReply,
            });
        };
        let [a, b, version, kind, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        if [a, b] != MAGIC {
            return Err(ReplyError::NoReply);
        }
        // Before the checksum: another version may have another one.
        if version != VERSION {
            return Err(ReplyError::UnknownVersion { version });
        }
        let payload = &frame[HEAD..];
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        // A platform whose `usize` is narrower has no such payload either.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if payload.len() < length {
            return Err(truncated(HEAD.saturating_add(length)));
        }
        let is_sound = u32::from_be_bytes([c0, c1, c2, c3]) == checksum(&head[..CHECKED], payload);
        match kind {
            _ if payload.len() > length || !is_sound => Err(ReplyError::Corrupt),
            KEPT => Ok(Self::Kept(frame.slice(HEAD..))),
            NOT_KEPT if length == 0 => Ok(Self::NotKept),
            _ => Err(ReplyError::Corrupt),
        }
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

impl std::fmt::Debug for StoredReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept(payload) => f.debug_struct("Kept").field("len", &payload.len()).finish(),
            Self::NotKept => f.write_str("NotKept"),
        }
    }
}

/// Why what a store keeps is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It does not begin like a reply of this crate.
    #[error("not a stored reply")]
    NoReply,
    /// It is of a version that this release does not read, such as that of a later one.
    #[error("a stored reply of version {version}, but this release reads {VERSION}")]
    UnknownVersion {
        /// Its version.
        version: u8,
    },
    /// Its end is missing.
    #[error("a stored reply of {expected} bytes has {found}")]
    Truncated {
        /// The bytes that it says it has, or that any reply has.
        expected: usize,
        /// The bytes that it has.
        found: usize,
    },
    /// Its checksum is that of other bytes, or it contradicts itself.
    #[error("a stored reply is damaged")]
    Corrupt,
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn kept(payload: &'static [u8]) -> StoredReply {
        StoredReply::Kept(Bytes::from_static(payload))
    }

    /// The same head with its checksum made right, so that the checks behind it are reached.
    fn sealed(mut frame: Vec<u8>) -> Bytes {
        let sum = checksum(&frame[..CHECKED], &frame[HEAD..]);
        frame[CHECKED..HEAD].copy_from_slice(&sum.to_be_bytes());
        frame.into()
    }

    #[test]
    fn the_frame_is_the_one_that_is_documented() {
        // Stores keep frames beyond a release. The checksum is zlib's `crc32` of the rest.
        let frame = [0x5f, 0x1d, 1, 0, 0, 0, 0, 2, 0x01, 0x31, 0x0b, 0xdd, b'o', b'k'];
        assert_eq!(kept(b"ok").encode(), frame[..]);
    }

    #[test]
    fn a_reply_of_another_version_is_not_read_whatever_its_checksum() {
        let mut frame = kept(b"ok").encode().to_vec();
        frame[2] = 2;
        let expected = Err(ReplyError::UnknownVersion { version: 2 });
        assert_eq!(StoredReply::decode(&frame.clone().into()), expected);
        assert_eq!(StoredReply::decode(&sealed(frame)), expected);
    }

    #[test]
    fn a_length_that_is_claimed_allocates_nothing_and_is_refused() {
        let mut frame = kept(b"ok").encode().to_vec();
        frame[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let expected = HEAD + u32::MAX as usize;
        assert_eq!(
            StoredReply::decode(&sealed(frame)),
            Err(ReplyError::Truncated { expected, found: HEAD + 2 })
        );
    }

    #[test]
    fn what_contradicts_itself_under_a_right_checksum_is_corrupt() {
        let other_kind = |kind| {
            let mut frame = kept(b"ok").encode().to_vec();
            frame[3] = kind;
            StoredReply::decode(&sealed(frame))
        };
        assert_eq!(other_kind(NOT_KEPT), Err(ReplyError::Corrupt), "with a payload");
        assert_eq!(other_kind(2), Err(ReplyError::Corrupt), "unknown");
        let mut longer = kept(b"ok").encode().to_vec();
        longer.push(0);
        assert_eq!(StoredReply::decode(&sealed(longer)), Err(ReplyError::Corrupt));
    }

    #[test]
    fn what_was_never_a_reply_says_so() {
        for bytes in [&b"{\"status\":200}"[..], b"{", &[0x5f, 0], &[0; 64]] {
            let decoded = StoredReply::decode(&Bytes::from_static(bytes));
            assert_eq!(decoded, Err(ReplyError::NoReply), "{bytes:?}");
        }
    }

    #[test]
    fn debug_shows_no_payload() {
        assert_eq!(format!("{:?}", kept(b"secret")), "Kept { len: 6 }");
        assert_eq!(format!("{:?}", StoredReply::NotKept), "NotKept");
    }

    proptest! {
        #[test]
        fn a_reply_survives_its_frame(payload in vec(any::<u8>(), 0..300)) {
            let reply = StoredReply::Kept(payload.into());
            prop_assert_eq!(StoredReply::decode(&reply.encode()), Ok(reply));
        }

        #[test]
        fn a_reply_that_is_cut_anywhere_is_truncated(
            payload in vec(any::<u8>(), 0..40), cut in any::<prop::sample::Index>(),
        ) {
            let frame = StoredReply::Kept(payload.into()).encode();
            let found = cut.index(frame.len());
            let expected = if found < HEAD { HEAD } else { frame.len() };
            prop_assert_eq!(
                StoredReply::decode(&frame.slice(..found)),
                Err(ReplyError::Truncated { expected, found })
            );
        }

        /// CRC-32 finds every burst of up to 32 bits, one byte among them.
        #[test]
        fn a_byte_that_changed_anywhere_is_found(
            payload in vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), by in 1..=255_u8,
        ) {
            let mut frame = StoredReply::Kept(payload.into()).encode().to_vec();
            let at = at.index(frame.len());
            frame[at] ^= by;
            prop_assert!(StoredReply::decode(&frame.into()).is_err());
        }
    }

    /// Ten million inputs that look ever more like a frame: random bytes, then random bytes behind
    /// a right head, then with a right checksum. Whatever is read is what would be written.
    #[test]
    fn no_input_makes_the_decoder_panic_or_read_what_was_not_written() {
        use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

        let mut rng = SmallRng::seed_from_u64(0x5f1d);
        let mut read = 0_u32;
        for n in 0..INPUTS {
            let mut bytes = vec![0; rng.random_range(0..40)];
            rng.fill_bytes(&mut bytes);
            if n % 4 > 0 && bytes.len() >= HEAD {
                bytes[..3].copy_from_slice(&[MAGIC[0], MAGIC[1], VERSION]);
                bytes[3] %= 3;
            }
            if n % 4 > 1 && bytes.len() >= HEAD {
                bytes[4..7].fill(0);
                bytes[7] %= 32;
            }
            let frame = if n % 4 > 2 && bytes.len() >= HEAD { sealed(bytes) } else { bytes.into() };
            if let Ok(reply) = StoredReply::decode(&frame) {
                assert_eq!(reply.encode(), frame);
                read += 1;
            }
        }
        assert!(read > INPUTS / 1000, "{read}: inputs reach all of the decoder");
    }

    const INPUTS: u32 = 10_000_000;
}
