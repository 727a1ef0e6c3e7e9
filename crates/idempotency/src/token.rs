//! What proves that a claim is the caller's own.

use std::fmt;

use rand::Rng;

/// Proves that a claim is the caller's own: 128 random bits, new for every claim.
///
/// Only the token under which a record was claimed last can renew, complete, release or abandon it.
/// A caller that was paused past its lease, and whose record another has taken over since, holds an
/// old token, and changes nothing with it. A counter would not do: it starts again when the record
/// has expired.
///
/// Neither `Debug` nor anything else prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimToken([u8; 16]);

impl ClaimToken {
    /// A token out of `rng`, which must be seeded with at least 128 random bits and be in step with
    /// no other generator: two claims of one token are taken for one.
    #[must_use]
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The token of these bytes, as a store has kept them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store to keep.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn a_token_survives_its_bytes_and_is_never_shown() {
        let token = ClaimToken::generate(&mut SmallRng::seed_from_u64(7));
        assert_eq!(ClaimToken::from_bytes(token.to_bytes()), token);
        assert_eq!(format!("{token:?}"), "ClaimToken(..)");
    }

    #[test]
    fn every_token_is_another() {
        let mut rng = SmallRng::seed_from_u64(7);
        let tokens: std::collections::HashSet<_> =
            (0..10_000).map(|_| ClaimToken::generate(&mut rng)).collect();
        assert_eq!(tokens.len(), 10_000);
    }
}
