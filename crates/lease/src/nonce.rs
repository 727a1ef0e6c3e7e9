//! What proves that a grant is the caller's own.

use std::fmt;

use rand::Rng;

/// Proves that a grant is the caller's own: 128 random bits, new for every acquisition.
///
/// An acquisition that is repeated under its nonce is the same acquisition; only under its nonce is
/// a grant renewed or released. So a holder that was paused, and whose lease another holds since,
/// cannot free that other's lease; and an acquisition whose answer was lost can be undone without a
/// token.
///
/// The nonce is the secret of a lease: neither `Debug` nor anything else prints it. The fencing
/// token is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A nonce out of `rng`, which must be seeded with at least 128 random bits and be in step with
    /// no other generator: two acquisitions under one nonce are taken for one.
    #[must_use]
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The nonce of these bytes, as a store has kept them.
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

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn a_nonce_survives_its_bytes_and_is_never_shown() {
        let nonce = Nonce::generate(&mut SmallRng::seed_from_u64(7));
        assert_eq!(Nonce::from_bytes(nonce.to_bytes()), nonce);
        assert_eq!(format!("{nonce:?}"), "Nonce(..)");
    }

    #[test]
    fn every_nonce_is_another() {
        let mut rng = SmallRng::seed_from_u64(7);
        let nonces: std::collections::HashSet<_> =
            (0..10_000).map(|_| Nonce::generate(&mut rng)).collect();
        assert_eq!(nonces.len(), 10_000);
    }
}
