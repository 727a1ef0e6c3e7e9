//! Which try of a request this is.

use std::num::NonZeroU32;

/// The number of this attempt, counted from 1. A retry layer puts it where inner layers can see it.
///
/// On HTTP it stands in the request's extensions from the second attempt on; absence means the
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The first time a request is sent.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The number, 1 for the first attempt.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// The attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether the request was sent before.
    #[must_use]
    pub const fn is_retry(self) -> bool {
        self.0.get() > 1
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self::FIRST
    }
}
