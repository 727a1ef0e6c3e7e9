//! Completions in a transaction of SQLite.

use bytes::Bytes;
use http::Response;
use rusqlite::Transaction;

use super::{HttpClaim, Settled};
use crate::{CompleteError, SqliteStore, http::reply};

impl HttpClaim {
    /// Stores the response in `transaction`, so that it stands or falls with what the handler has
    /// done there, and returns it for the caller: as [`SqliteStore::complete_claim`] does. The
    /// store is that of the layer's handle, and the transaction one of its file.
    ///
    /// It blocks, as SQLite does: call it where the connection is, in `spawn_blocking`. The
    /// response is stored whatever it says, and it is to be returned to the layer with its
    /// extensions, and no other body than this one; one in its place, such as that of a commit that
    /// failed, has the layer ask the store what has become of the transaction, and answer with what
    /// there is.
    ///
    /// ```no_run
    /// # #[cfg(feature = "axum")]
    /// # mod payments {
    /// use axum::{body::Body, response::Response};
    /// use rusqlite::{Connection, TransactionBehavior::Immediate};
    /// use steadfast_idempotency::{SqliteStore, http::HttpClaim};
    /// use tokio::task::spawn_blocking;
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// // A handler of axum, but for what it makes of its errors.
    /// async fn pay(claim: HttpClaim, store: SqliteStore) -> Result<Response, BoxError> {
    ///     let reply = spawn_blocking(move || {
    ///         let mut db = Connection::open("payments.db")?;
    ///         let tx = db.transaction_with_behavior(Immediate)?;
    ///         tx.execute("UPDATE accounts SET balance = balance - 5 WHERE id = 1", [])?;
    ///         let reply = claim.complete_blocking(&store, &tx, Response::new("paid".into()))?;
    ///         tx.commit()?;
    ///         Ok::<_, BoxError>(reply)
    ///     });
    ///     Ok(reply.await??.map(Body::from))
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`SqliteStore::complete_claim`]. The transaction must be rolled back then.
    pub fn complete_blocking(
        &self,
        store: &SqliteStore,
        transaction: &Transaction<'_>,
        response: Response<Bytes>,
    ) -> Result<Response<Bytes>, CompleteError> {
        let (mut response, record) = reply::keep_whole(response, &self.options.terms);
        let completion = match &record {
            Some(record) => self.claim.completion(record)?,
            None => self.claim.completion_without_reply()?,
        };
        store.write_completion(transaction, completion)?;
        response.extensions_mut().insert(Settled(record.unwrap_or_default()));
        Ok(response)
    }
}
