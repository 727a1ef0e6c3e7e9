//! deadpool-postgres.

use deadpool_postgres::{Object, Pool, PoolError, Transaction};
use steadfast_core::Executed;

use super::{
    InTransaction, Row, Sql, SqlError, Statement, Value,
    tokio_postgres::{before, not_connected, run_prepared, run_unnamed, types},
};
use crate::StoreError;

impl Sql for Pool {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        let mut object = self.get().await.map_err(pool_error)?;
        object.run_statement(statement, values).await
    }
}

impl Sql for Object {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        if self.is_closed() {
            return Err(not_connected());
        }
        if !statement.is_named() {
            return run_unnamed(self, statement, values).await;
        }
        let prepared = self.prepare_typed_cached(statement.text(), &types(values)).await;
        run_prepared(self, &prepared.map_err(before)?, values).await
    }
}

impl InTransaction for Transaction<'_> {}

impl Sql for Transaction<'_> {
    async fn run_statement(
        &mut self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        if !statement.is_named() {
            return run_unnamed(self.client(), statement, values).await;
        }
        let prepared = self.prepare_typed_cached(statement.text(), &types(values)).await;
        run_prepared(self.client(), &prepared.map_err(before)?, values).await
    }
}

/// No connection was had, so nothing was executed.
pub(super) fn pool_error(error: PoolError) -> SqlError {
    match error {
        PoolError::Backend(error) => before(error),
        // All are busy, or a server does not accept one.
        PoolError::Timeout(_) => {
            StoreError::timed_out().executed_as(Executed::No).because(error).into()
        }
        PoolError::NoRuntimeSpecified => StoreError::misconfigured().because(error).into(),
        _ => StoreError::unavailable(Executed::No).because(error).into(),
    }
}
