//! The configuration, checked once.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use object_store::path::Path;
use steadfast_core::{BootClock, ConfigError, SystemWallClock, WallClock};

use crate::waits;

/// Where a [`BucketStore`](crate::BucketStore) keeps its leases, and by which clocks.
///
/// | | default | why |
/// |---|---|---|
/// | `prefix` | `steadfast/lease` | beside a program's other objects |
/// | `look_every` | 2 s | who waits for a lease is late by half of it, and each look is a request that is paid for |
/// | `call_limit` | 5 s | the client's own limit, a sixth of the TTL, is shorter |
/// | `most_names` | 100,000 | names are few; of those that are watched a process knows the last version |
/// | `clock` | the system's, through suspend | a taker counts what it has watched |
/// | `wall_clock` | the system's | tokens grow where an object was lost |
#[derive(Clone)]
#[must_use]
pub struct BucketConfig {
    pub(super) prefix: Arc<str>,
    pub(super) look_every: Duration,
    pub(super) call_limit: Duration,
    pub(super) most_names: NonZeroUsize,
    pub(super) clock: BootClock,
    pub(super) wall_clock: Arc<dyn WallClock>,
}

/// Paths have 1,024 bytes at most, in all three clouds; a name, encoded, up to 771 of them.
const LONGEST_PREFIX: usize = 200;

impl BucketConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "steadfast/lease".into(),
            look_every: Duration::from_secs(2),
            call_limit: Duration::from_secs(5),
            most_names: NonZeroUsize::new(100_000).expect("it is not zero"),
            clock: BootClock::system(),
            wall_clock: Arc::new(SystemWallClock),
        }
    }

    /// The path that all objects are under: up to 200 bytes, without empty segments, `.` and `..`,
    /// and without control characters. Programs that share a bucket and a prefix compete for the
    /// same leases.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How often a lease is looked at that is observed, or waited for: above zero, up to 1 min.
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// How long a call may take, with all that is repeated within it: above zero, up to 1 min. The
    /// object store's own retries end with it.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    /// Of how many names this process knows what it saw last. Of those that it forgets to make room
    /// it begins to watch anew, and takes over later.
    pub const fn most_names(mut self, most: NonZeroUsize) -> Self {
        self.most_names = most;
        self
    }

    /// The clock that a taker watches by: [`BootClock::tokio`] in tests on paused time.
    pub fn clock(mut self, clock: BootClock) -> Self {
        self.clock = clock;
        self
    }

    /// The clock that tokens are made by.
    pub fn wall_clock(mut self, clock: impl WallClock) -> Self {
        self.wall_clock = Arc::new(clock);
        self
    }

    /// What is checked here, with the prefix as a path.
    pub(super) fn check(&self) -> Result<Path, ConfigError> {
        let Self { prefix, look_every, call_limit, .. } = self;
        let path = Path::parse(prefix).ok().filter(|_| prefix.len() <= LONGEST_PREFIX);
        let expected = "a path of up to 200 bytes";
        ConfigError::require(path.is_some(), "prefix", prefix, expected)?;
        waits::check("look_every", *look_every)?;
        waits::check("call_limit", *call_limit)?;
        Ok(path.unwrap_or_default())
    }
}

impl Default for BucketConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketConfig")
            .field("prefix", &self.prefix)
            .field("look_every", &self.look_every)
            .field("call_limit", &self.call_limit)
            .field("most_names", &self.most_names)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_setter() {
        let (zero, long) = (Duration::ZERO, Duration::from_secs(61));
        let config = BucketConfig::new;
        for (config, field) in [
            (config().prefix("x".repeat(201)), "prefix"),
            (config().prefix("a//b"), "prefix"),
            (config().prefix("a/../b"), "prefix"),
            (config().prefix("."), "prefix"),
            (config().prefix("a\0b"), "prefix"),
            (config().look_every(zero), "look_every"),
            (config().look_every(long), "look_every"),
            (config().call_limit(zero), "call_limit"),
            (config().call_limit(long), "call_limit"),
        ] {
            assert_eq!(config.check().unwrap_err().field, field);
        }
        for (prefix, path) in [("", ""), ("a/b/", "a/b"), ("/a", "a"), ("é {}", "é {}")] {
            assert_eq!(config().prefix(prefix).check().unwrap().as_ref(), path);
        }
    }
}
