//! The configuration, checked once.

use std::time::Duration;

use steadfast_core::ConfigError;

use crate::waits;

/// How a [`FileStore`](crate::FileStore) waits.
///
/// | | default | why |
/// |---|---|---|
/// | `lock_wait` | 1 s | a write takes a millisecond: what holds the lock for longer stands still |
/// | `look_every` | 100 ms | who waits for a lease is late by half of it, and costs a read of a file |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct FileConfig {
    pub(super) lock_wait: Duration,
    pub(super) look_every: Duration,
}

impl FileConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self { lock_wait: Duration::from_secs(1), look_every: Duration::from_millis(100) }
    }

    /// How long an operation waits for a file that another process has locked: above zero, up to
    /// 1 min.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How often a lease is looked at that is observed, or waited for: above zero, up to 1 min.
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (field, wait) in [("lock_wait", self.lock_wait), ("look_every", self.look_every)] {
            waits::check(field, wait)?;
        }
        Ok(())
    }
}

impl Default for FileConfig {
    fn default() -> Self {
        Self::new()
    }
}
