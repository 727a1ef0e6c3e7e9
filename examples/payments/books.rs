//! What was charged, by the word of the books themselves.

use std::collections::HashMap;

use deadpool_postgres::Pool;
use rusqlite::Connection;
use steadfast::store::connect;

use crate::Failure;

/// The numbers of the charges of each payment.
#[derive(Default)]
pub(crate) struct Charges(HashMap<i64, Vec<i64>>);

impl Charges {
    /// Of numbers of charges, and what each was for.
    pub(crate) fn of(charges: impl Iterator<Item = (i64, i64)>) -> Self {
        let mut all = Self::default();
        for (number, payment) in charges {
            all.0.entry(payment).or_default().push(number);
        }
        all
    }

    pub(crate) fn of_payment(&self, payment: i64) -> &[i64] {
        self.0.get(&payment).map_or(&[], Vec::as_slice)
    }
}

const ALL: &str = "SELECT number, payment FROM charges";

/// Books in a file of SQLite.
pub(crate) fn open_sqlite(file: &str) -> Result<(), Failure> {
    let table = "CREATE TABLE charges (number INTEGER PRIMARY KEY, payment INTEGER NOT NULL)";
    Connection::open(file)?.execute_batch(table)?;
    Ok(())
}

pub(crate) fn of_sqlite(file: &str) -> Result<Charges, Failure> {
    let db = Connection::open(file)?;
    let mut all = db.prepare(ALL)?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Charges::of(rows.collect::<Result<Vec<_>, _>>()?.into_iter()))
}

/// Books in PostgreSQL.
pub(crate) async fn open_postgres(url: &str) -> Result<Pool, Failure> {
    let pool = connect(url).await?;
    let table = "CREATE TABLE charges (number BIGSERIAL PRIMARY KEY, payment BIGINT NOT NULL)";
    pool.get().await?.batch_execute(table).await?;
    Ok(pool)
}

pub(crate) async fn of_postgres(pool: &Pool) -> Result<Charges, Failure> {
    let rows = pool.get().await?.query(ALL, &[]).await?;
    Ok(Charges::of(rows.iter().map(|row| (row.get(0), row.get(1)))))
}
