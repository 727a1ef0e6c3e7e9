//! The configuration, checked once.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;
use steadfast_store::Table;

/// Where a [`PostgresStore`](crate::PostgresStore) keeps its records, and how it runs its
/// statements.
///
/// | | default | why |
/// |---|---|---|
/// | `table` | `idempotency_records` | says what is in it |
/// | `unnamed_statements` | no | a prepared statement costs half |
/// | `lock_wait` | 1 s | what holds a row for longer is a transaction under way |
/// | `call_limit` | 4 s | less than the `store_limit` of the handle, so that the store's own answer
/// is heard |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PostgresConfig {
    table: Arc<str>,
    pub(super) is_unnamed: bool,
    pub(super) lock_wait: Duration,
    pub(super) call_limit: Duration,
}

/// The table of [`PostgresConfig::SCHEMA`].
pub(super) const TABLE: &str = "idempotency_records";
const LONGEST_LIMIT: Duration = Duration::from_secs(60);

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
            lock_wait: Duration::from_secs(1),
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
    /// none: a name may be another client's there. Each statement is parsed and planned anew, which
    /// costs up to twice as much, and three times for a replay; with a pool of sqlx it takes four
    /// round trips.
    pub const fn unnamed_statements(mut self) -> Self {
        self.is_unnamed = true;
        self
    }

    /// How long a statement waits for a row that another transaction holds: 1 ms to 1 min, and less
    /// than the `call_limit`. A claim that has waited so long answers that the key is in flight;
    /// any other operation answers that the store timed out, and changes nothing.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How long a call may take, the wait for a connection included: up to 1 min.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    pub(super) fn check(&self) -> Result<Table, ConfigError> {
        let Self { table, lock_wait, call_limit, .. } = self;
        let table = Table::new(Arc::clone(table))?;
        let is_wait = (Duration::from_millis(1)..*call_limit).contains(lock_wait);
        ConfigError::require(is_wait, "lock_wait", *lock_wait, "1 ms to below `call_limit`")?;
        let is_limit = *call_limit <= LONGEST_LIMIT;
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
    fn a_table_that_is_no_plain_name_is_refused() {
        let error = PostgresConfig::new().table("a;b").check().unwrap_err();
        assert_eq!(error.field, "table");
    }

    #[test]
    fn a_wait_is_shorter_than_the_call_that_waits() {
        let ms = Duration::from_millis;
        for (wait, limit, field) in [
            (ms(1000), ms(1000), "lock_wait"),
            (Duration::ZERO, ms(1000), "lock_wait"),
            (ms(1), Duration::ZERO, "lock_wait"),
            (ms(1), ms(60_001), "call_limit"),
        ] {
            let config = PostgresConfig::new().lock_wait(wait).call_limit(limit);
            assert_eq!(config.check().unwrap_err().field, field);
        }
        let config = PostgresConfig::new().lock_wait(ms(1)).call_limit(ms(2));
        assert!(config.check().is_ok());
    }
}
