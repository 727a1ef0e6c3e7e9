//! Whose key it is.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

/// The name of a record: a key, in the scope of one principal.
///
/// Two principals that choose the same key have two records. The bytes of a name are the length of
/// the scope (four bytes, big endian), the scope, and the key: no separator, so that there is none
/// that a scope or a key could contain.
///
/// Clones share the bytes. `Debug` shows lengths only: a key is a secret of its caller, and a scope
/// says who that is.
///
/// ```
/// use steadfast_idempotency::RecordId;
///
/// let alice = RecordId::new("alice", "7f3a")?;
/// assert_eq!((alice.scope(), alice.key()), (&b"alice"[..], &b"7f3a"[..]));
/// assert_ne!(alice, RecordId::new("bob", "7f3a")?);
/// assert_ne!(RecordId::new("a", "b:c")?, RecordId::new("a:b", "c")?);
/// # Ok::<_, steadfast_idempotency::RecordIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    bytes: Arc<[u8]>,
    hash: u64,
}

/// A name is hashed once, where it is made: on its way it is looked up five times. By `SipHash` and
/// a seed of the process, for clients choose keys.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A scope and a key together may have 1 KiB: a key of a header has up to 255 bytes, and an index
/// of PostgreSQL takes 2.7 kB.
const LONGEST: usize = 1024;
/// What stands before the scope.
const PREFIX: usize = size_of::<u32>();

impl RecordId {
    /// The name of `key` in `scope`. An empty scope is a scope like any other.
    ///
    /// # Errors
    /// When the key is empty, or both together have more than 1,024 bytes.
    pub fn new(scope: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, RecordIdError> {
        let (scope, key) = (scope.as_ref(), key.as_ref());
        if key.is_empty() {
            return Err(RecordIdError::EmptyKey);
        }
        let length = scope.len().saturating_add(key.len());
        let prefix = u32::try_from(scope.len()).ok().filter(|_| length <= LONGEST);
        let prefix = prefix.ok_or(RecordIdError::TooLong { length })?.to_be_bytes();
        let (mut bytes, at) = ([0; PREFIX + LONGEST], PREFIX + scope.len());
        bytes[..PREFIX].copy_from_slice(&prefix);
        bytes[PREFIX..at].copy_from_slice(scope);
        bytes[at..PREFIX + length].copy_from_slice(key);
        let bytes = &bytes[..PREFIX + length];
        Ok(Self { hash: SEED.hash_one(bytes), bytes: bytes.into() })
    }

    /// The name of these bytes, as [`as_bytes`](Self::as_bytes) gives them.
    ///
    /// # Errors
    /// When they are no name, or one that [`new`](Self::new) refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordIdError> {
        let (prefix, rest) = bytes.split_first_chunk().ok_or(RecordIdError::Malformed)?;
        let scope = usize::try_from(u32::from_be_bytes(*prefix)).ok();
        let (scope, key) =
            scope.and_then(|at| rest.split_at_checked(at)).ok_or(RecordIdError::Malformed)?;
        Self::new(scope, key)
    }

    /// The principal that the key belongs to.
    #[must_use]
    pub fn scope(&self) -> &[u8] {
        &self.bytes[PREFIX..self.split()]
    }

    /// The key, as its caller chose it.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes[self.split()..]
    }

    /// The whole name, for a store to find the record by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A word that is the same for the same name, in one process.
    #[cfg(feature = "tokio")]
    pub(crate) const fn word(&self) -> u64 {
        self.hash
    }

    /// The same name, with a word that it may share with others.
    #[cfg(all(test, feature = "tokio"))]
    pub(crate) fn with_word(self, hash: u64) -> Self {
        Self { hash, ..self }
    }

    fn split(&self) -> usize {
        let [a, b, c, d, ..] = *self.bytes else {
            unreachable!("`new` puts four bytes before all")
        };
        // `new` lets no scope of more than 1,024 bytes pass.
        PREFIX + u32::from_be_bytes([a, b, c, d]) as usize
    }
}

impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordId")
            .field("scope_len", &self.scope().len())
            .field("key_len", &self.key().len())
            .finish()
    }
}

/// Why a scope and a key name no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordIdError {
    /// The key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// Scope and key together are too long.
    #[error("scope and key have {length} bytes, but may have {LONGEST}")]
    TooLong {
        /// The bytes that they have.
        length: usize,
    },
    /// The bytes are no name.
    #[error("not the name of a record")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_name_is_bounded_and_its_key_is_not_empty() {
        assert_eq!(RecordId::new("alice", ""), Err(RecordIdError::EmptyKey));
        assert!(RecordId::new("", "k").is_ok() && RecordId::new("", [0; LONGEST]).is_ok());
        let long = RecordId::new("a", [0; LONGEST]);
        assert_eq!(long, Err(RecordIdError::TooLong { length: LONGEST + 1 }));
    }

    #[test]
    fn neither_scope_nor_key_is_shown() {
        let id = RecordId::new("alice", "secret").unwrap();
        assert_eq!(format!("{id:?}"), "RecordId { scope_len: 5, key_len: 6 }");
    }

    #[test]
    fn bytes_that_are_no_name_are_refused() {
        for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 2, 1], &[0xff; 8]] {
            assert_eq!(RecordId::from_bytes(bytes), Err(RecordIdError::Malformed), "{bytes:?}");
        }
        assert_eq!(RecordId::from_bytes(&[0, 0, 0, 1, 7]), Err(RecordIdError::EmptyKey));
    }

    proptest! {
        /// Few letters, separators among them, so that confusions are likely.
        #[test]
        fn no_two_pairs_of_scope_and_key_share_a_name(
            scope in "[a:/\0]{0,4}", key in "[a:/\0]{1,4}",
            other_scope in "[a:/\0]{0,4}", other_key in "[a:/\0]{1,4}",
        ) {
            let id = RecordId::new(&scope, &key).unwrap();
            let other = RecordId::new(&other_scope, &other_key).unwrap();
            prop_assert_eq!(id == other, (&scope, &key) == (&other_scope, &other_key));
            prop_assert_eq!((id.scope(), id.key()), (scope.as_bytes(), key.as_bytes()));
        }

        #[test]
        fn whatever_bytes_come_they_are_one_name_or_none(bytes in vec(0_u8..4, 0..40)) {
            if let Ok(id) = RecordId::from_bytes(&bytes) {
                prop_assert_eq!(id.as_bytes(), &bytes[..]);
            }
        }
    }
}
