//! The fence of what is kept in PostgreSQL.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use steadfast_core::ConfigError;
use steadfast_store::{
    Cell, InTransaction, Row, Sql, SqlError, Statement, StoreError, Table, Value,
};

use crate::{FenceMark, Fenced, FencingToken};

/// A transaction did not pass the fence, or the fence failed. Whichever it is, roll back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// The token is stale, or no token that is believed. The lease is lost: acquire it anew, above
    /// [`Fenced::highest`].
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// The server has rolled the transaction back for the sake of another: begin it again. It
    /// happens where the isolation is stricter than READ COMMITTED, and in a deadlock.
    #[error("the transaction was rolled back for the sake of another: begin it again")]
    Again(#[source] StoreError),
    /// The database failed. What the transaction has done is undone.
    #[error("the fence failed")]
    Store(#[source] StoreError),
}

/// Raises the mark of `resource`, in the table `fence_marks`, or refuses the transaction: the first
/// statement of each that reads or writes it **under a lease, also where it only reads what a later
/// write depends on**.
///
/// The transactions of one resource pass one after the other: the mark's row is held until the
/// transaction ends. So that one which stands still, in a process that was stopped or cut off, does
/// not hold up the next holder, it ends when it has been idle for 5 s
/// (`idle_in_transaction_session_timeout`, for this transaction; what is shorter stays).
///
/// One that is at work is waited for, however long it takes: until the caller's own `lock_timeout`
/// or `statement_timeout`, of which neither is set here.
///
/// What has passed may commit after the lease was lost; but then no newer holder has passed yet,
/// and each that does sees what was committed.
///
/// A mark that is forgotten lets a former holder in again, between a read of the newer one and its
/// write in a later transaction. So what has passed is on the server's disk when it is committed,
/// also where the database has `synchronous_commit = off`. A standby that is promoted and is behind
/// has forgotten marks all the same: what was read before is void then, so read it again.
///
/// A pool is refused by the compiler: outside of a transaction the row is free again before the
/// next statement. A `PgConnection` of sqlx must have begun one, which its type does not tell.
///
/// A [`FenceTable`] has another table, and another limit. The mark's table is made by
/// [`FenceTable::migrate`].
///
/// ```no_run
/// # #[cfg(feature = "deadpool")]
/// # async fn settle(pool: deadpool_postgres::Pool, lease: steadfast_lease::Lease)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// use steadfast_lease::postgres::{FenceError, fence};
///
/// let mut client = pool.get().await?;
/// let mut tx = client.transaction().await?;
/// match fence(&mut tx, "accounts/7", lease.token()).await {
///     Ok(()) => {}
///     // Another holds the lease now.
///     Err(FenceError::Fenced(fenced)) => return Err(fenced.into()),
///     // 40001: begin again.
///     Err(error) => return Err(error.into()),
/// }
/// tx.execute("UPDATE accounts SET balance = balance - 5 WHERE id = 7", &[]).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
///
/// ```compile_fail,E0277
/// # #[cfg(feature = "deadpool")]
/// # async fn settle(mut pool: deadpool_postgres::Pool, lease: steadfast_lease::Lease) {
/// // No transaction: it does not compile.
/// steadfast_lease::postgres::fence(&mut pool, "accounts/7", lease.token()).await.unwrap();
/// # }
/// # #[cfg(not(feature = "deadpool"))]
/// # steadfast_lease::postgres::fence(&mut 7, "accounts/7", unreachable!());
/// ```
///
/// # Errors
/// As [`FenceError`] lists them.
///
/// # Cancellation
/// As that of any statement in a transaction, which is rolled back then.
pub async fn fence<T: InTransaction>(
    transaction: &mut T,
    resource: &str,
    token: impl Into<FenceMark>,
) -> Result<(), FenceError> {
    static DEFAULT: LazyLock<FenceTable> = LazyLock::new(|| {
        FenceTable::new(TABLE, IDLE_LIMIT).expect("the default name and limit are in their ranges")
    });
    DEFAULT.pass(transaction, resource, token).await
}

/// A table of marks: see [`fence`](fence()).
#[derive(Clone, Debug)]
pub struct FenceTable {
    table: Table,
    pass: Statement,
    highest: Statement,
}

/// The table of [`FenceTable::SCHEMA`].
const TABLE: &str = "fence_marks";
/// A statement of a transaction that is alive follows the one before in milliseconds; and a
/// successor can wait as long, since the lease itself took it longer.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
const LONGEST_LIMIT: Duration = Duration::from_secs(3600);
/// As of [`FenceConfig`](crate::FenceConfig): a clock may be hours wrong.
const AHEAD_MICROS: i64 = 86_400 * 1_000_000;
/// As of all fences.
const LONGEST_NAME: usize = 255;

impl FenceTable {
    /// The table, for a program that has its migrations in one place.
    ///
    /// ```sql
    #[doc = include_str!("marks.sql")]
    /// ```
    pub const SCHEMA: &str = include_str!("marks.sql");

    /// Marks in `table`, and how long a transaction that has passed may stand still: 1 ms to 1 h.
    ///
    /// The table's name has lower-case letters, digits and underscores, up to 52 bytes, with a
    /// schema of such a name and a point before it, if it is in one.
    ///
    /// # Errors
    /// When the name or the limit is another.
    pub fn new(table: impl Into<Arc<str>>, idle_limit: Duration) -> Result<Self, ConfigError> {
        let table = Table::new(table)?;
        let is_limit = (Duration::from_millis(1)..=LONGEST_LIMIT).contains(&idle_limit);
        ConfigError::require(is_limit, "idle_limit", idle_limit, "1 ms to 1 h")?;
        // Unnamed: a name may be another client's behind a pooler.
        let pass = Statement::unnamed(pass(&table.quoted(), idle_limit));
        let highest = Statement::unnamed(highest(&table.quoted()));
        Ok(Self { table, pass, highest })
    }

    /// [`SCHEMA`](Self::SCHEMA) for this table.
    #[must_use]
    pub fn schema(&self) -> String {
        self.table.schema(Self::SCHEMA, TABLE)
    }

    /// Makes the table, unless there is one of its name. Several processes may do so at once.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub async fn migrate<T: Sql>(&self, db: &mut T) -> Result<(), StoreError> {
        db.run_statement(&self.table.migration(Self::SCHEMA, TABLE), &[]).await?;
        Ok(())
    }

    /// As [`fence`](fence()), by the marks of this table.
    ///
    /// # Errors
    /// As [`FenceError`] lists them.
    pub async fn pass<T: InTransaction>(
        &self,
        transaction: &mut T,
        resource: &str,
        token: impl Into<FenceMark>,
    ) -> Result<(), FenceError> {
        let mark: FenceMark = token.into();
        if resource.is_empty() || resource.len() > LONGEST_NAME {
            return Err(Fenced::unnamed().into());
        }
        let sequence = match mark.sequence().map(i64::try_from) {
            None => Value::Null,
            Some(Ok(number)) => Value::Int(number),
            Some(Err(_)) => return Err(Fenced::malformed().into()),
        };
        let resource = Value::Bytes(resource.as_bytes());
        let values = [resource, Value::Int(mark.token().into()), sequence];
        if transaction.run_statement(&self.pass, &values).await?.is_some() {
            return Ok(());
        }
        // By a snapshot that is younger than the wait for the row.
        let row = transaction.run_statement(&self.highest, &[resource]).await?;
        let row = row.ok_or_else(|| StoreError::corrupt().because("a look has no row"))?;
        let (highest, most) = read(&row)?;
        mark.check(highest, || most)?;
        // It would pass now: the mark was taken away meanwhile.
        Err(FenceError::Again(StoreError::corrupt().because("a mark has gone")))
    }
}

/// By the rule of [`FenceMark::check`]: `$1` resource, `$2` token, `$3` number. No row: refused.
fn pass(table: &str, idle_limit: Duration) -> String {
    let limit = idle_limit.as_millis();
    let setting = "idle_in_transaction_session_timeout";
    format!(
        "WITH settings AS MATERIALIZED (
            SELECT CASE WHEN current_setting('{setting}')::interval
                BETWEEN interval '1 microsecond' AND interval '{limit} milliseconds'
                THEN NULL ELSE set_config('{setting}', '{limit}', true) END,
                CASE current_setting('synchronous_commit')
                WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END
        )
        INSERT INTO {table} AS f (resource, token, sequence)
        SELECT $1, $2::bigint, $3::bigint FROM settings
        WHERE $2::bigint <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + {AHEAD_MICROS}
            OR EXISTS (SELECT FROM {table} AS f WHERE f.resource = $1 AND f.token = $2::bigint)
        ON CONFLICT (resource) DO UPDATE SET token = excluded.token, sequence = excluded.sequence
        WHERE f.token < excluded.token
            OR f.token = excluded.token
            AND (f.sequence IS NULL OR f.sequence < excluded.sequence)
        RETURNING 1"
    )
}

/// The mark of `$1`, nulls where there is none, and the greatest token that is believed.
fn highest(table: &str) -> String {
    format!(
        "SELECT f.token, f.sequence,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + {AHEAD_MICROS}
        FROM (SELECT 1) AS one LEFT JOIN {table} AS f ON f.resource = $1"
    )
}

fn read(row: &Row) -> Result<(Option<FenceMark>, FencingToken), StoreError> {
    let corrupt = |error| StoreError::corrupt().because(error);
    let most = FencingToken::try_from(row.int(2)?).map_err(corrupt)?;
    if row.cell(0) == Some(&Cell::Null) {
        return Ok((None, most));
    }
    let mark = FenceMark::new(FencingToken::try_from(row.int(0)?).map_err(corrupt)?);
    let mark = match row.cell(1) {
        Some(Cell::Null) => mark,
        _ => mark.numbered(
            u64::try_from(row.int(1)?).map_err(|error| StoreError::corrupt().because(error))?,
        ),
    };
    Ok((Some(mark), most))
}

impl From<SqlError> for FenceError {
    fn from(error: SqlError) -> Self {
        if error.is_rolled_back() { Self::Again(error.into()) } else { Self::Store(error.into()) }
    }
}

impl From<StoreError> for FenceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_a_limit_that_cannot_work_are_refused() {
        let error = FenceTable::new("a;b", IDLE_LIMIT).unwrap_err();
        assert_eq!(error.field, "table");
        for limit in [Duration::ZERO, LONGEST_LIMIT * 2] {
            assert_eq!(FenceTable::new("marks", limit).unwrap_err().field, "idle_limit");
        }
    }
}
