//! The configuration, checked once.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use steadfast_core::ConfigError;

/// How a [`SqliteStore`](crate::SqliteStore) keeps its records.
///
/// | | default | why |
/// |---|---|---|
/// | `table` | `idempotency_records` | says what is in it |
/// | `synchronous` | full | a reply that was given is not forgotten by a loss of power |
/// | `connections` | 4 | reads go beside the one that writes |
/// | `lock_wait` | 2 s | what holds the file for longer is a transaction under way |
/// | `call_limit` | 4 s | less than the `store_limit` of the handle, so that the store's own answer
/// is heard |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SqliteConfig {
    pub(super) table: Arc<str>,
    pub(super) synchronous: Synchronous,
    pub(super) connections: NonZeroUsize,
    pub(super) lock_wait: Duration,
    pub(super) call_limit: Duration,
}

/// When what a [`SqliteStore`](crate::SqliteStore) has acknowledged is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// At once: it outlives a loss of power.
    #[default]
    Full,
    /// Later: it outlives the death of the process, and a loss of power takes the last claims and
    /// replies, whose keys may run again. Several times as fast, for the disk is not waited for.
    Normal,
}

/// The table of [`SqliteConfig::SCHEMA`].
pub(super) const TABLE: &str = "idempotency_records";
const LONGEST_NAME: usize = 52;
const LONGEST_LIMIT: Duration = Duration::from_secs(60);

impl SqliteConfig {
    /// The table and its index, as [`SqliteStore::open`](crate::SqliteStore::open) makes them
    /// unless they are there: for a program that has its migrations in one place.
    ///
    /// ```sql
    #[doc = include_str!("schema.sql")]
    /// ```
    pub const SCHEMA: &str = include_str!("schema.sql");

    /// The defaults.
    pub fn new() -> Self {
        Self {
            table: TABLE.into(),
            synchronous: Synchronous::Full,
            connections: NonZeroUsize::new(4).expect("four is not zero"),
            lock_wait: Duration::from_secs(2),
            call_limit: Duration::from_secs(4),
        }
    }

    /// The table: a name of lower-case letters, digits and underscores that does not begin with a
    /// digit, of up to 52 bytes.
    pub fn table(mut self, table: impl Into<Arc<str>>) -> Self {
        self.table = table.into();
        self
    }

    /// When what was acknowledged is on the disk.
    pub const fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How many connections there are: up to 64. One of them writes at a time; as many threads of
    /// the runtime's blocking pool are busy at most.
    pub const fn connections(mut self, connections: NonZeroUsize) -> Self {
        self.connections = connections;
        self
    }

    /// How long an operation waits for another process, or for a transaction of this one, that
    /// writes to the file: 1 ms to below the `call_limit`. It times out then, and has done nothing.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How long a call may take, the wait for a connection included: up to 1 min.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { table, connections, lock_wait, call_limit, .. } = self;
        let expected = "a name of lower-case letters, digits and underscores, up to 52 bytes";
        ConfigError::require(is_name(table), "table", table, expected)?;
        let is_number = connections.get() <= 64;
        ConfigError::require(is_number, "connections", connections, "up to 64")?;
        let is_wait = (Duration::from_millis(1)..*call_limit).contains(lock_wait);
        ConfigError::require(is_wait, "lock_wait", *lock_wait, "1 ms to below `call_limit`")?;
        let is_limit = *call_limit <= LONGEST_LIMIT;
        ConfigError::require(is_limit, "call_limit", *call_limit, "up to 1 min")
    }
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// SQLite keeps names with this beginning for itself.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= LONGEST_NAME
        && !name.starts_with("sqlite_")
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_its_setter() {
        let config = SqliteConfig::new;
        let second = Duration::from_secs;
        let cases = [
            (config().table(""), "table"),
            (config().table("a.b"), "table"),
            (config().table("a\"; DROP TABLE b"), "table"),
            (config().table("sqlite_records"), "table"),
            (config().table("9"), "table"),
            (config().table("x".repeat(53)), "table"),
            (config().connections(NonZeroUsize::new(65).unwrap()), "connections"),
            (config().lock_wait(Duration::ZERO), "lock_wait"),
            (config().lock_wait(second(4)), "lock_wait"),
            (config().call_limit(second(61)), "call_limit"),
        ];
        for (config, field) in cases {
            assert_eq!(config.check().unwrap_err().field, field, "{config:?}");
        }
        assert!(config().check().is_ok() && config().table("payment_keys_2").check().is_ok());
    }
}
