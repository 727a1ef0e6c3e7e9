//! The configuration, checked once.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;
use steadfast_store::Table;

use crate::{retention, waits};

/// Where a [`PostgresStore`](crate::PostgresStore) keeps its leases, and how it runs its
/// statements.
///
/// | | default | why |
/// |---|---|---|
/// | `table` | `leases` | says what is in it |
/// | `unnamed_statements` | no | a prepared statement costs half |
/// | `notifying` | no | in a database all commits that notify wait for each other |
/// | `retention` | 7 days | a token made by a clock goes back only if the clock steps back farther |
/// | `lock_wait` | 200 ms | a row is held for as long as a commit takes; what waits longer holds up other leases on its connection |
/// | `look_every` | 500 ms | who waits for a lease is late by half of it, and costs two statements a second |
/// | `call_limit` | 4 s | the client's own limit, a sixth of the TTL, is shorter |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PostgresConfig {
    table: Arc<str>,
    pub(super) is_unnamed: bool,
    pub(super) is_notifying: bool,
    pub(super) retention: Duration,
    pub(super) lock_wait: Duration,
    pub(super) look_every: Duration,
    pub(super) call_limit: Duration,
}

/// The table of [`PostgresConfig::SCHEMA`].
pub(super) const TABLE: &str = "leases";

impl PostgresConfig {
    /// The table and its index, as [`PostgresStore::migrate`](crate::PostgresStore::migrate) makes
    /// them: for a program that has its migrations in one place.
    ///
    /// ```sql
    #[doc = include_str!("schema.sql")]
    /// ```
    pub const SCHEMA: &str = include_str!("schema.sql");

    /// The defaults.
    pub fn new() -> Self {
        Self {
            table: TABLE.into(),
            is_unnamed: false,
            is_notifying: false,
            retention: retention::DEFAULT,
            lock_wait: Duration::from_millis(200),
            look_every: Duration::from_millis(500),
            call_limit: Duration::from_secs(4),
        }
    }

    /// The table, with its schema and a point before it if it is in one: names of lower-case
    /// letters, digits and underscores that do not begin with a digit, of up to 52 bytes. Without a
    /// schema it is found by the connection's `search_path`.
    pub fn table(mut self, table: impl Into<Arc<str>>) -> Self {
        self.table = table.into();
        self
    }

    /// Leaves no prepared statements in connections, for a pooler in transaction mode that knows
    /// none, such as PgBouncer before 1.21 or with `max_prepared_statements = 0`. There a statement
    /// meets sessions that have not prepared its name, and fails as
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured); or that know another client's by
    /// it. Each statement is parsed and planned anew; with a pool of sqlx it takes four round
    /// trips.
    pub const fn unnamed_statements(mut self) -> Self {
        self.is_unnamed = true;
        self
    }

    /// Has each release tell of itself by NOTIFY, in the same statement, to stores that are
    /// `listening`, which needs the feature `tokio-postgres`. Set it in every process that holds
    /// leases of the table, under the same name of the table: the channel is called by it.
    ///
    /// Only releases tell, and only where this is set, because PostgreSQL has all commits that
    /// notify wait for each other until they are on the disk, those of other tables and programs
    /// among them. Measured with one row a writer, commits a second without and with it, medians of
    /// three runs in turn on two busy cores: 93 and 77 by one writer, 542 and 142 by four, 2,455
    /// and 252 by sixteen. A lease is released once in its life; renewals, which are many, tell
    /// nothing.
    pub const fn notifying(mut self) -> Self {
        self.is_notifying = true;
        self
    }

    /// For how long [`reap`](crate::PostgresStore::reap) leaves the last token of a name that is
    /// not held: above zero, up to 10 years.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long a statement waits for a row that another holds: 1 ms to 1 min, and less than the
    /// `call_limit`. Then the store has timed out, and has changed nothing.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How often a lease is looked at that is observed, or waited for: above zero, up to 1 min.
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// How long a call may take, the wait for a connection included: up to 1 min.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    pub(super) fn check(&self) -> Result<Table, ConfigError> {
        let Self { table, retention, lock_wait, look_every, call_limit, .. } = self;
        let table = Table::new(Arc::clone(table))?;
        retention::check(*retention)?;
        let is_wait = (Duration::from_millis(1)..*call_limit).contains(lock_wait);
        ConfigError::require(is_wait, "lock_wait", *lock_wait, "1 ms to below `call_limit`")?;
        waits::check("look_every", *look_every)?;
        let is_limit = *call_limit <= waits::LONGEST;
        ConfigError::require(is_limit, "call_limit", *call_limit, "up to 1 min")?;
        Ok(table)
    }
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_setter() {
        let (zero, long) = (Duration::ZERO, Duration::from_secs(20 * 365 * 86_400));
        let config = PostgresConfig::new;
        for (config, field) in [
            (config().table("a;b"), "table"),
            (config().retention(zero), "retention"),
            (config().retention(long), "retention"),
            (config().lock_wait(zero), "lock_wait"),
            (config().call_limit(Duration::from_millis(200)), "lock_wait"),
            (config().look_every(zero), "look_every"),
            (config().look_every(long), "look_every"),
            (config().call_limit(long), "call_limit"),
        ] {
            assert_eq!(config.check().unwrap_err().field, field);
        }
        assert!(config().check().is_ok());
    }
}
