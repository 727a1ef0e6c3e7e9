//! sqlx.

use bytes::Bytes;
use sqlx::{
    Column, Decode, Error, PgConnection, PgPool, Postgres, Row as _, Transaction, Type, TypeInfo,
    postgres::{PgArguments, PgDatabaseError, PgRow, PgSeverity},
    query::Query,
};
use steadfast_core::Executed;

use super::{Cell, InTransaction, Row, Sql, SqlError, Statement, Value, foreign_type};
use crate::StoreError;

impl Sql for PgPool {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        if statement.is_named() {
            let mut connection = self.acquire().await.map_err(before)?;
            return connection.run_statement(statement, values).await;
        }
        // The driver prepares in one round trip and runs in another: within a transaction both meet
        // the same connection of the server's.
        let mut transaction = self.begin().await.map_err(before)?;
        let answer = transaction.run_statement(statement, values).await;
        let answer = answer.map_err(SqlError::before_execution)?;
        transaction.commit().await.map_err(sql_error)?;
        Ok(answer)
    }
}

impl InTransaction for Transaction<'_, Postgres> {}

impl Sql for Transaction<'_, Postgres> {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        PgConnection::run_statement(self, statement, values).await
    }
}

/// Behind a pooler an unnamed statement must be run in a transaction.
impl InTransaction for PgConnection {}

impl Sql for PgConnection {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        let query = sqlx::query(statement.text()).persistent(statement.is_named());
        let query = values.iter().fold(query, bind);
        let answer = query.fetch_optional(self).await.map_err(sql_error)?;
        answer.as_ref().map(row).transpose()
    }
}

fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    value: &Value<'q>,
) -> Query<'q, Postgres, PgArguments> {
    match *value {
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Int(int) => query.bind(int),
        Value::Text(text) => query.bind(text),
        Value::Null => query.bind(None::<String>),
    }
}

fn row(row: &PgRow) -> Result<Row, SqlError> {
    (0..row.len()).map(|at| cell(row, at)).collect::<Result<Box<_>, _>>().map(Row)
}

fn cell(row: &PgRow, at: usize) -> Result<Cell, SqlError> {
    fn of<'a, T: Decode<'a, Postgres> + Type<Postgres>>(
        row: &'a PgRow,
        at: usize,
        cell: impl FnOnce(T) -> Cell,
    ) -> Result<Cell, SqlError> {
        let value = row.try_get::<Option<T>, _>(at).map_err(sql_error)?;
        Ok(value.map_or(Cell::Null, cell))
    }
    match row.column(at).type_info().name() {
        "BYTEA" => of(row, at, |bytes: &[u8]| Cell::Bytes(Bytes::copy_from_slice(bytes))),
        "INT8" => of(row, at, Cell::Int),
        "INT4" => of(row, at, |int: i32| Cell::Int(int.into())),
        "INT2" => of(row, at, |int: i16| Cell::Int(int.into())),
        "BOOL" => of(row, at, |bool: bool| Cell::Int(bool.into())),
        "TEXT" | "VARCHAR" | "NAME" => of(row, at, Cell::Text),
        name => Err(foreign_type(at, name)),
    }
}

/// No connection was had, so nothing was executed.
fn before(error: Error) -> SqlError {
    sql_error(error).before_execution()
}

fn sql_error(error: Error) -> SqlError {
    let answer = match &error {
        Error::Database(answer) => answer,
        Error::PoolTimedOut => {
            return StoreError::timed_out().executed_as(Executed::No).because(error).into();
        }
        Error::Configuration(_) | Error::InvalidArgument(_) | Error::Encode(_) => {
            return StoreError::misconfigured().because(error).into();
        }
        Error::ColumnDecode { .. } | Error::Decode(_) => {
            return StoreError::corrupt().because(error).into();
        }
        _ => return StoreError::unavailable(Executed::Maybe).because(error).into(),
    };
    let Some(answer) = answer.try_downcast_ref::<PgDatabaseError>() else {
        return StoreError::unavailable(Executed::Maybe).because(error).into();
    };
    let error = SqlError::of_state(answer.code(), answer.message());
    match answer.severity() {
        PgSeverity::Fatal | PgSeverity::Panic => error.perhaps_executed(),
        _ => error,
    }
}
