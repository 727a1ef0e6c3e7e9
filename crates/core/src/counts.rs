//! What a window holds.

use std::ops::AddAssign;

/// How many outcomes a window holds, and how many of them failed or were slow. One outcome can be
/// both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// All outcomes.
    pub total: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow, whether they failed or not.
    pub slow: u64,
}

/// What is remarkable about one outcome. An outcome that is neither failed nor slow is a plain
/// success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The call failed.
    pub failed: bool,
    /// The call took longer than is acceptable.
    pub slow: bool,
}

impl Mark {
    /// Neither failed nor slow.
    #[must_use]
    pub const fn is_plain(self) -> bool {
        !self.failed && !self.slow
    }
}

impl From<Mark> for Counts {
    fn from(mark: Mark) -> Self {
        Self { total: 1, failures: u64::from(mark.failed), slow: u64::from(mark.slow) }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.failures += other.failures;
        self.slow += other.slow;
    }
}
