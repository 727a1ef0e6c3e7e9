//! What a request asks for, in 256 bits.

use std::fmt;

use sha2::{Digest, Sha256};

/// What a request asks for, in 256 bits: two requests under one key are the same request if their
/// fingerprints are equal.
///
/// SHA-256 over parts that carry their lengths, so that no byte can move from one part into its
/// neighbour unseen. It is cryptographic because clients choose what goes in: with a weaker hash a
/// client could build two payloads that are taken for one. It says nothing of *who* asks; that is
/// the scope of a [`RecordId`](crate::RecordId).
///
/// `Debug` shows the first four bytes: enough to tell two apart, too few to confirm a guess.
///
/// ```
/// use steadfast_idempotency::Fingerprint;
///
/// let one = Fingerprint::of([b"POST".as_slice(), b"/pay", b"amount=5"]);
/// assert_eq!(one, Fingerprint::builder().part("POST").part("/pay").part("amount=5").finish());
/// assert_ne!(one, Fingerprint::of([b"POST".as_slice(), b"/payamount=5"]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these parts in this order.
    #[must_use]
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        parts.into_iter().fold(Self::builder(), FingerprintBuilder::part).finish()
    }

    /// Takes one part after the other.
    pub fn builder() -> FingerprintBuilder {
        FingerprintBuilder { hash: Sha256::new() }
    }

    /// The fingerprint of these bytes: as a store has kept them, or from a hash of your own, which
    /// should be cryptographic and must have 128 bits at least.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store to keep.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Fingerprint({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// A [`Fingerprint`] in the making.
#[derive(Clone)]
#[must_use]
pub struct FingerprintBuilder {
    hash: Sha256,
}

impl FingerprintBuilder {
    /// Takes a part, with its length before it. An empty part counts too.
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        // A length in memory fits 64 bits on every platform that Rust has.
        self.hash.update((part.len() as u64).to_be_bytes());
        self.hash.update(part);
        self
    }

    /// The fingerprint of the parts so far.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.hash.finalize().into())
    }
}

impl fmt::Debug for FingerprintBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintBuilder(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn it_is_the_sha_256_of_lengths_and_parts() {
        // Stores keep fingerprints beyond a release: another formula would call every retry another
        // payload. By `printf '\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\0' | sha256sum`.
        let print = Fingerprint::of(["ab", ""]);
        assert_eq!(print.to_bytes(), EXPECTED);
        assert_eq!(Fingerprint::from_bytes(EXPECTED), print);
    }

    const EXPECTED: [u8; 32] = [
        0x52, 0x75, 0xcd, 0x81, 0xa7, 0xab, 0x85, 0xc7, 0x21, 0x9c, 0xbe, 0x04, 0x92, 0x31, 0xf0,
        0x8a, 0xab, 0x09, 0x13, 0x63, 0x1c, 0xfd, 0x09, 0x88, 0x90, 0xaf, 0x67, 0x91, 0x86, 0x2e,
        0xf4, 0x1e,
    ];

    #[test]
    fn debug_shows_four_bytes() {
        assert_eq!(format!("{:?}", Fingerprint::from_bytes([0xab; 32])), "Fingerprint(abababab..)");
        assert_eq!(format!("{:?}", Fingerprint::builder()), "FingerprintBuilder(..)");
    }

    proptest! {
        #[test]
        fn other_parts_have_another_fingerprint(
            one in vec(vec(0_u8..2, 0..4), 0..4),
            other in vec(vec(0_u8..2, 0..4), 0..4),
        ) {
            prop_assert_eq!(Fingerprint::of(&one) == Fingerprint::of(&other), one == other);
        }
    }
}
