//! Chance: one generator to a handle, split for each call.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Hands every call a generator of its own, all from one seed.
///
/// Splitting and not cloning: a cloned generator gives every call the same "random" delay, and
/// clients fall into step. The splits are those of SplitMix64 (Steele, Lea, Flood 2014): a counter
/// that moves by the golden ratio; the generator's own seeding mixes it.
#[derive(Debug)]
pub struct Splitter(AtomicU64);

/// 2^64 divided by the golden ratio, made odd: the increment of SplitMix64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Splitter {
    /// A splitter that gives the same generators in the same order for the same seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A splitter with a seed of its own, different in every process and for every splitter.
    #[must_use]
    pub fn from_entropy() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self::seeded(RandomState::new().hash_one(GOLDEN))
    }

    /// A generator that no other call gets.
    #[must_use]
    pub fn split(&self) -> SmallRng {
        // Relaxed: only the uniqueness of the values matters, and one location is always modified
        // in one order.
        SmallRng::seed_from_u64(self.0.fetch_add(GOLDEN, Ordering::Relaxed))
    }

    /// A seed for another splitter, that no other call gets.
    #[must_use]
    pub fn split_seed(&self) -> u64 {
        self.split().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_splits_are_alike_and_a_seed_repeats() {
        let (a, b) = (Splitter::seeded(7), Splitter::seeded(7));
        let first: Vec<u64> = (0..1000).map(|_| a.split().next_u64()).collect();
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 1000);
        assert!(first.iter().all(|&value| value == b.split().next_u64()));
    }

    #[test]
    fn two_splitters_from_entropy_differ() {
        assert_ne!(
            Splitter::from_entropy().split().next_u64(),
            Splitter::from_entropy().split().next_u64()
        );
    }
}
