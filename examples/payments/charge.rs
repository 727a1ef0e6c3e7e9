//! What the handler of a payment does: charges once, whatever happens in between.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use deadpool_postgres::Pool;
use rusqlite::{Connection, TransactionBehavior::Immediate};
use steadfast::idempotency::{SqliteStore, http::HttpClaim};
use tokio::task::spawn_blocking;

use crate::{Failure, bank::BankClient};

/// A busy file is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// In a bank that knows nothing of keys. A run that took its key over asks first: the run before
/// may have charged.
pub(crate) async fn at_bank(
    bank: &BankClient,
    claim: Option<&HttpClaim>,
    payment: i64,
) -> Result<Response, Failure> {
    let is_takeover = claim.is_some_and(|claim| claim.attempt().get() > 1);
    let charged = if is_takeover { bank.find(payment).await? } else { None };
    let number = match charged {
        Some(number) => number,
        None => bank.charge(payment).await?,
    };
    Ok(receipt(number, claim).map(Body::from))
}

/// In the PostgreSQL of the keys: charge and receipt stand or fall together.
pub(crate) async fn in_postgres(
    pool: &Pool,
    claim: Option<&HttpClaim>,
    payment: i64,
) -> Result<Response, Failure> {
    let mut client = pool.get().await?;
    let mut tx = client.transaction().await?;
    let insert = "INSERT INTO charges (payment) VALUES ($1) RETURNING number";
    let number = tx.query_one(insert, &[&payment]).await?.get(0);
    let receipt = receipt(number, claim).map(Body::from);
    let reply = match claim {
        Some(claim) => claim.complete(&mut tx, receipt).await?.into_response(),
        None => receipt,
    };
    tx.commit().await?;
    Ok(reply)
}

/// In the file of the keys, likewise. SQLite blocks.
pub(crate) async fn in_sqlite(
    file: String,
    store: SqliteStore,
    claim: Option<HttpClaim>,
    payment: i64,
) -> Result<Response, Failure> {
    let reply = spawn_blocking(move || {
        let mut db = Connection::open(file)?;
        db.busy_timeout(PATIENCE)?;
        let tx = db.transaction_with_behavior(Immediate)?;
        tx.execute("INSERT INTO charges (payment) VALUES (?1)", [payment])?;
        let receipt = receipt(tx.last_insert_rowid(), claim.as_ref());
        let reply = match claim {
            Some(claim) => claim.complete_blocking(&store, &tx, receipt)?,
            None => receipt,
        };
        tx.commit()?;
        Ok::<_, Failure>(reply)
    });
    Ok(reply.await??.map(Body::from))
}

/// The number of the charge, and which run of the handler tells it.
fn receipt(number: i64, claim: Option<&HttpClaim>) -> axum::http::Response<Bytes> {
    let attempt = claim.map_or(1, |claim| claim.attempt().get());
    Response::new(format!("{number} {attempt}").into())
}
