//! A table of a store's own.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use super::Statement;

/// The table of a store: its name, checked, and how it is made.
///
/// ```
/// use steadfast_store::Table;
///
/// let table = Table::new("shop.holds")?;
/// assert_eq!(table.quoted(), "\"shop\".\"holds\"");
/// let schema = table.schema("CREATE TABLE leases (name bytea);", "leases");
/// assert_eq!(schema, "CREATE TABLE \"shop\".\"holds\" (name bytea);");
/// assert!(Table::new("holds; DROP TABLE orders").is_err());
/// # Ok::<_, steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table(Arc<str>);

/// What PostgreSQL keeps of a name, less the longest ending that the name of an index has.
const LONGEST_NAME: usize = 63 - "_expires_at".len();

impl Table {
    /// The table of this name, with its schema and a point before it if it is in one: names of
    /// lower-case letters, digits and underscores that do not begin with a digit, of up to 52
    /// bytes. Without a schema it is found by the connection's `search_path`.
    ///
    /// # Errors
    /// When the name is none.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, ConfigError> {
        let name = name.into();
        let mut names = name.split('.');
        let is_table = names.by_ref().take(2).all(is_name) && names.next().is_none();
        let expected = "a name, or two with a point between, of lower-case letters, digits and \
                        underscores, up to 52 bytes";
        ConfigError::require(is_table, "table", &name, expected)?;
        Ok(Self(name))
    }

    /// The name in quotes: it may be a word of SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        let names: Vec<_> = self.0.split('.').map(|name| format!("\"{name}\"")).collect();
        names.join(".")
    }

    /// A schema, written for a table that is called `called`, for this table: so are the names of
    /// its indexes, which begin like that.
    #[must_use]
    pub fn schema(&self, schema: &str, called: &str) -> String {
        // An index is in the schema of its table.
        let name = self.0.rsplit('.').next().unwrap_or(&self.0);
        let of_this = |word: &str| match word.trim_end().strip_prefix(called) {
            Some("") => word.replace(called, &self.quoted()),
            Some(end) if end.starts_with('_') => format!("\"{name}{end}\" "),
            _ => word.to_owned(),
        };
        schema.split_inclusive(' ').map(of_this).collect()
    }

    /// Makes the table, unless there is one of its name. Several processes may run it at once.
    #[must_use]
    pub fn migration(&self, schema: &str, called: &str) -> Statement {
        let (schema, table) = (self.schema(schema, called), self.quoted());
        // One of two that create a table at the same time fails, even if it does not exist. And
        // where it exists it is not touched: an index, if it exists or not, is made under a lock
        // that waits for the transactions under way, and that all other writers wait for.
        Statement::unnamed(format!(
            "DO $migrate$ BEGIN
                PERFORM pg_advisory_xact_lock(hashtext('steadfast {called}'));
                IF to_regclass('{table}') IS NULL THEN
                    {schema}
                END IF;
            END $migrate$"
        ))
    }
}

/// What a store's statement sets for itself alone, as the only one of its transaction: columns of a
/// `SELECT` that the statement reads. Nothing depends on a session, which a pooler may change
/// between two statements.
///
/// It waits for a row no longer than `lock_wait`, in whole milliseconds; and what it has done is on
/// the disk when it answers, also where the database is set up to lose the last moments. A
/// synchronous standby stays so.
#[must_use]
pub fn settings(lock_wait: Duration) -> String {
    let wait = lock_wait.as_millis();
    format!(
        "set_config('lock_timeout', '{wait}', true),
         CASE current_setting('synchronous_commit')
         WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"
    )
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_plain_name_or_two() {
        for table in ["a", "_1", "idempotency_records", "billing.records", &"a".repeat(52)] {
            assert!(Table::new(table).is_ok(), "{table}");
        }
        let long = "a".repeat(53);
        for table in
            ["", ".", "a.", ".a", "a.b.c", "1a", "A", "a b", "a;b", "a\"b", "a'b", "é", &long]
        {
            assert_eq!(Table::new(table).unwrap_err().field, "table", "{table}");
        }
    }

    #[test]
    fn a_schema_is_that_of_the_table_and_its_indexes_are_called_after_it() {
        let table = Table::new("select.from").unwrap();
        let schema =
            "CREATE TABLE leases (\n    lease bytea\n);\nCREATE INDEX leases_idle ON leases (at);";
        let expected = "CREATE TABLE \"select\".\"from\" (\n    lease bytea\n);\nCREATE INDEX \
                        \"from_idle\" ON \"select\".\"from\" (at);";
        assert_eq!(table.schema(schema, "leases"), expected);
    }
}
