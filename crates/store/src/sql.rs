//! Statements, and what they answer: a seam over the drivers of PostgreSQL.

use std::{fmt, sync::Arc};

use bytes::Bytes;

mod error;
mod table;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;

#[cfg(feature = "deadpool")]
mod connect;
#[cfg(feature = "deadpool")]
mod deadpool;
#[cfg(feature = "sqlx")]
mod sqlx;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "deadpool")]
pub use self::connect::{connect, connect_with};
#[cfg(feature = "tokio-postgres")]
pub use self::tokio_postgres::SharedClient;
pub use self::{
    error::SqlError,
    table::{Table, settings},
};
use crate::StoreError;

/// Runs statements of PostgreSQL: a pool, a connection, or a transaction of some driver.
///
/// It is implemented for `tokio_postgres::Transaction` and [`SharedClient`], for deadpool's `Pool`,
/// `Object` and `Transaction`, and for sqlx's `PgPool`, `PgConnection` and `Transaction`. One for
/// another driver runs the text with its parameters, and makes its errors by
/// [`SqlError::of_state`]:
///
/// ```
/// use steadfast_store::{Row, Sql, SqlError, Statement, Value};
///
/// /// Answers every statement with its first parameter.
/// struct Echo;
///
/// impl Sql for Echo {
///     async fn run_statement(
///         &mut self,
///         statement: &Statement,
///         values: &[Value<'_>],
///     ) -> Result<Option<Row>, SqlError> {
///         assert!(statement.text().starts_with("SELECT"));
///         Ok(values.first().map(|value| Row::new([value.into()])))
///     }
/// }
/// ```
///
/// What a statement does outside of a transaction stands when it has returned. Dropped before, it
/// is done or not.
pub trait Sql: Send {
    /// Runs one statement, and returns the first row of its answer, if there is one.
    ///
    /// The name is none of a driver's: a trait's method would hide those that a driver's
    /// transaction has by `Deref`.
    ///
    /// # Errors
    /// [`SqlError`], as the server or the driver reports it.
    fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Row>, SqlError>> + Send;
}

/// Runs all its statements in one transaction, as a fence and a completion need: over a pool each
/// statement would be a transaction of its own, and what follows would not be bound to it.
///
/// It is implemented for the transactions of tokio-postgres, deadpool and sqlx, and for sqlx's
/// `PgConnection`, which a transaction there lends as: whether that one has begun a transaction its
/// type does not tell.
#[diagnostic::on_unimplemented(
    message = "`{Self}` runs each statement in a transaction of its own",
    note = "begin a transaction and pass `&mut transaction`"
)]
pub trait InTransaction: Sql {}

impl<S: InTransaction> InTransaction for &mut S {}

impl<S: Sql> Sql for &mut S {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        S::run_statement(self, statement, values).await
    }
}

/// The text of a statement, and whether a connection prepares it. Clones share the text.
///
/// Parameters are `$1`, `$2` and so on. A statement that is used again has the same text, since
/// connections know it by that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    text: Arc<str>,
    is_named: bool,
}

impl Statement {
    /// A statement that each connection prepares once, under a name: one round trip from then on,
    /// and no planning.
    #[must_use]
    pub fn named(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), is_named: true }
    }

    /// A statement that leaves nothing behind in its connection, for a pooler in transaction mode,
    /// where a name may be another client's. It is parsed and planned each time.
    ///
    /// tokio-postgres and deadpool run it in one round trip. sqlx asks the server twice, between
    /// which a pooler may change it: its pool runs the statement in a transaction, in four round
    /// trips.
    #[must_use]
    pub fn unnamed(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), is_named: false }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a connection prepares it under a name.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.is_named
    }
}

/// A parameter of a statement. `Debug` shows no value, since drivers log parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `bytea`.
    Bytes(&'a [u8]),
    /// `bigint`.
    Int(i64),
    /// `text`.
    Text(&'a str),
    /// Null, of the type that the statement makes of it.
    Null,
}

/// One value of an answer. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// `bytea`.
    Bytes(Bytes),
    /// `smallint`, `integer`, `bigint`, or `boolean` as 0 and 1.
    Int(i64),
    /// `text`.
    Text(String),
    /// Null of any type.
    Null,
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Box<[Cell]>);

impl Row {
    /// A row of these cells.
    #[must_use]
    pub fn new(cells: impl IntoIterator<Item = Cell>) -> Self {
        Self(cells.into_iter().collect())
    }

    /// The cell of this column, counted from 0.
    #[must_use]
    pub fn cell(&self, column: usize) -> Option<&Cell> {
        self.0.get(column)
    }

    /// The number in this column.
    ///
    /// # Errors
    /// [`Corrupt`](crate::StoreErrorKind::Corrupt) where there is none.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        match self.cell(column) {
            Some(Cell::Int(int)) => Ok(*int),
            other => Err(unlike(column, "a number", other)),
        }
    }

    /// The bytes in this column. Clones of a row share them.
    ///
    /// # Errors
    /// [`Corrupt`](crate::StoreErrorKind::Corrupt) where there are none.
    pub fn bytes(&self, column: usize) -> Result<Bytes, StoreError> {
        match self.cell(column) {
            Some(Cell::Bytes(bytes)) => Ok(bytes.clone()),
            other => Err(unlike(column, "bytes", other)),
        }
    }

    /// The text in this column.
    ///
    /// # Errors
    /// [`Corrupt`](crate::StoreErrorKind::Corrupt) where there is none.
    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        match self.cell(column) {
            Some(Cell::Text(text)) => Ok(text),
            other => Err(unlike(column, "a text", other)),
        }
    }
}

fn unlike(column: usize, expected: &str, found: Option<&Cell>) -> StoreError {
    let found = match found {
        None => "nothing",
        Some(Cell::Bytes(_)) => "bytes",
        Some(Cell::Int(_)) => "a number",
        Some(Cell::Text(_)) => "a text",
        Some(Cell::Null) => "null",
    };
    StoreError::corrupt().because(format!("column {column} has {found} in place of {expected}"))
}

impl From<&Value<'_>> for Cell {
    fn from(value: &Value<'_>) -> Self {
        match *value {
            Value::Bytes(bytes) => Self::Bytes(Bytes::copy_from_slice(bytes)),
            Value::Int(int) => Self::Int(int),
            Value::Text(text) => Self::Text(text.into()),
            Value::Null => Self::Null,
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes(len {})", bytes.len()),
            Self::Int(_) => f.write_str("Int(..)"),
            Self::Text(text) => write!(f, "Text(len {})", text.len()),
            Self::Null => f.write_str("Null"),
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes(len {})", bytes.len()),
            Self::Int(_) => f.write_str("Int(..)"),
            Self::Text(text) => write!(f, "Text(len {})", text.len()),
            Self::Null => f.write_str("Null"),
        }
    }
}

/// Why a column is of no type that a [`Cell`] has.
#[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
fn foreign_type(column: usize, name: &str) -> SqlError {
    let because = format!("column {column} is of type {name}");
    StoreError::misconfigured().because(because).into()
}

/// How often a statement is run that the server rolls back for the sake of others.
const MOST_RUNS: u32 = 16;

/// Runs a statement that is a transaction of its own, up to 16 times while the server
/// [rolls it back for the sake of others](SqlError::is_rolled_back).
///
/// # Errors
/// As [`Sql::run_statement`].
///
/// # Cancellation
/// As that of one statement.
pub async fn run_repeatedly<D: Sql>(
    db: &mut D,
    statement: &Statement,
    values: &[Value<'_>],
) -> Result<Option<Row>, SqlError> {
    let mut runs = 0;
    loop {
        let answer = db.run_statement(statement, values).await;
        runs += 1;
        if runs == MOST_RUNS || !answer.as_ref().is_err_and(SqlError::is_rolled_back) {
            return answer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreErrorKind;

    #[test]
    fn neither_a_parameter_nor_an_answer_is_shown() {
        let values = [Value::Bytes(b"secret"), Value::Int(42), Value::Text("key"), Value::Null];
        assert_eq!(format!("{values:?}"), "[Bytes(len 6), Int(..), Text(len 3), Null]");
        let row = Row::new(values.iter().map(Cell::from));
        assert_eq!(format!("{row:?}"), "Row([Bytes(len 6), Int(..), Text(len 3), Null])");
    }

    #[test]
    fn a_cell_that_is_of_another_type_or_missing_is_a_corrupt_record() {
        let row = Row::new([Cell::Int(1), Cell::Text("a".into()), Cell::Null]);
        assert_eq!((row.int(0).unwrap(), row.text(1).unwrap()), (1, "a"));
        for error in [row.int(1).unwrap_err(), row.bytes(2).unwrap_err(), row.text(3).unwrap_err()]
        {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        }
    }
}
