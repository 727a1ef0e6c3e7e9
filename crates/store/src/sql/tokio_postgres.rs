//! tokio-postgres.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use steadfast_core::Executed;
use tokio_postgres::{
    Client, Transaction,
    error::Severity,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::{Cell, InTransaction, Row, Sql, SqlError, Statement, Value, foreign_type};
use crate::StoreError;

/// A client of tokio-postgres that all clones share, with the statements it has prepared.
///
/// Its statements go over one connection, one behind the other: what waits for a row there holds up
/// the rest. A pool has no such bounds, and makes a connection that has ended anew, which a client
/// does not.
#[derive(Clone)]
pub struct SharedClient {
    client: Arc<Client>,
    prepared: Arc<Mutex<HashMap<Arc<str>, tokio_postgres::Statement>>>,
}

/// The texts of a program are few; from here on they are run unnamed.
const MOST_PREPARED: usize = 256;

impl SharedClient {
    /// Shares `client`, whose connection runs in a task of the caller's.
    #[must_use]
    pub fn new(client: impl Into<Arc<Client>>) -> Self {
        Self { client: client.into(), prepared: Arc::default() }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn prepare(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<tokio_postgres::Statement>, tokio_postgres::Error> {
        // Whatever panics under it leaves a whole map.
        let prepared = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = {
            let prepared = prepared();
            let known = prepared.get(statement.text()).cloned();
            if known.is_none() && prepared.len() >= MOST_PREPARED {
                return Ok(None);
            }
            known
        };
        if known.is_some() {
            return Ok(known);
        }
        // Two tasks may prepare the same text: the later takes the place of the earlier, which is
        // closed with its last use.
        let made = self.client.prepare_typed(statement.text(), &types(values)).await?;
        prepared().insert(Arc::clone(&statement.text), made.clone());
        Ok(Some(made))
    }
}

impl Sql for SharedClient {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        if self.client.is_closed() {
            return Err(not_connected());
        }
        let prepared = match statement.is_named {
            true => self.prepare(statement, values).await.map_err(before)?,
            false => None,
        };
        match prepared {
            Some(prepared) => run_prepared(&self.client, &prepared, values).await,
            None => run_unnamed(&self.client, statement, values).await,
        }
    }
}

impl InTransaction for Transaction<'_> {}

/// A transaction has no place for prepared statements: it runs them unnamed, in one round trip.
impl Sql for Transaction<'_> {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        run_unnamed(self.client(), statement, values).await
    }
}

pub(super) async fn run_prepared(
    client: &Client,
    prepared: &tokio_postgres::Statement,
    values: &[Value<'_>],
) -> Result<Option<Row>, SqlError> {
    let parameters: Vec<_> = values.iter().map(Parameter).collect();
    let parameters: Vec<_> = parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
    let rows = client.query(prepared, &parameters).await.map_err(sql_error)?;
    rows.first().map(row).transpose()
}

pub(super) async fn run_unnamed(
    client: &Client,
    statement: &Statement,
    values: &[Value<'_>],
) -> Result<Option<Row>, SqlError> {
    let parameters: Vec<_> = values.iter().map(Parameter).collect();
    let parameters: Vec<_> =
        parameters.iter().map(|value| (value as &(dyn ToSql + Sync), sql_type(value.0))).collect();
    let rows = client.query_typed(statement.text(), &parameters).await.map_err(sql_error)?;
    rows.first().map(row).transpose()
}

pub(super) fn types(values: &[Value<'_>]) -> Vec<Type> {
    values.iter().map(sql_type).collect()
}

fn sql_type(value: &Value<'_>) -> Type {
    match value {
        Value::Bytes(_) => Type::BYTEA,
        Value::Int(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Null => Type::UNKNOWN,
    }
}

/// A value as the driver takes it. The driver logs parameters by their `Debug`, which shows none.
#[derive(Debug)]
struct Parameter<'a>(&'a Value<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
            Value::Int(int) => int.to_sql(ty, out),
            Value::Text(text) => text.to_sql(ty, out),
            Value::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(ty: &Type) -> bool {
        // Of these types statements are prepared; that of null is the server's choice.
        let _ = ty;
        true
    }

    to_sql_checked!();
}

fn row(row: &tokio_postgres::Row) -> Result<Row, SqlError> {
    let cells = row.columns().iter().enumerate();
    cells.map(|(at, column)| cell(row, at, column.type_())).collect::<Result<Box<_>, _>>().map(Row)
}

fn cell(row: &tokio_postgres::Row, at: usize, ty: &Type) -> Result<Cell, SqlError> {
    fn of<'a, T: FromSql<'a>>(
        row: &'a tokio_postgres::Row,
        at: usize,
        cell: impl FnOnce(T) -> Cell,
    ) -> Result<Cell, SqlError> {
        let value = row.try_get::<_, Option<T>>(at).map_err(sql_error)?;
        Ok(value.map_or(Cell::Null, cell))
    }
    match *ty {
        Type::BYTEA => of(row, at, |bytes: &[u8]| Cell::Bytes(Bytes::copy_from_slice(bytes))),
        Type::INT8 => of(row, at, Cell::Int),
        Type::INT4 => of(row, at, |int: i32| Cell::Int(int.into())),
        Type::INT2 => of(row, at, |int: i16| Cell::Int(int.into())),
        Type::BOOL => of(row, at, |bool: bool| Cell::Int(bool.into())),
        Type::TEXT | Type::VARCHAR | Type::NAME => of(row, at, Cell::Text),
        _ => Err(foreign_type(at, ty.name())),
    }
}

pub(super) fn not_connected() -> SqlError {
    StoreError::unavailable(Executed::No).because("the connection has ended").into()
}

/// What stands before a statement that has not been sent.
pub(super) fn before(error: tokio_postgres::Error) -> SqlError {
    sql_error(error).before_execution()
}

pub(super) fn sql_error(error: tokio_postgres::Error) -> SqlError {
    match error.as_db_error() {
        Some(answer) => {
            let error = SqlError::of_state(answer.code().code(), answer.message());
            match answer.parsed_severity() {
                Some(Severity::Fatal | Severity::Panic) => error.perhaps_executed(),
                _ => error,
            }
        }
        // Of the kinds that are left most end a connection, and none can be told from another.
        None => StoreError::unavailable(Executed::Maybe).because(error).into(),
    }
}

impl fmt::Debug for SharedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedClient")
            .field("is_closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}
