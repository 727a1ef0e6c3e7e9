//! Maps by names that bring their hashes along.

use std::hash::{BuildHasher, Hasher};

/// Takes the word of a [`RecordId`](crate::RecordId) as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ByHash;

/// The one word that it was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Word(u64);

impl BuildHasher for ByHash {
    type Hasher = Word;

    fn build_hasher(&self) -> Word {
        Word::default()
    }
}

impl Hasher for Word {
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a name writes one word");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
