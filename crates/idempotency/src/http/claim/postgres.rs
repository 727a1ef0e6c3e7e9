//! Completions in a transaction of PostgreSQL.

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::{HttpClaim, Settled};
use crate::{
    CompleteError,
    http::reply::{self, ReplyBody},
};

impl HttpClaim {
    /// Stores the response in `transaction`, so that it stands or falls with what the handler has
    /// done there, and returns it for the caller: as [`Claim::complete`] does.
    ///
    /// The response is stored whatever it says, and it is to be returned as it is, to the layer:
    /// one in its place, such as that of a commit that failed, has the layer ask the store what
    /// has become of the transaction, and answer with what there is.
    ///
    /// [`Claim::complete`]: crate::Claim::complete
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "deadpool", feature = "axum"))]
    /// # mod payments {
    /// use axum::{body::Body, response::{IntoResponse, Response}};
    /// use deadpool_postgres::Pool;
    /// use steadfast_idempotency::http::HttpClaim;
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// // A handler of axum, but for what it makes of its errors.
    /// async fn pay(claim: HttpClaim, db: Pool) -> Result<Response, BoxError> {
    ///     let mut client = db.get().await?;
    ///     let mut tx = client.transaction().await?;
    ///     tx.execute("UPDATE accounts SET balance = balance - 5 WHERE id = 1", &[]).await?;
    ///     let receipt = Response::new(Body::from("paid"));
    ///     let reply = claim.complete(&mut tx, receipt).await?;
    ///     tx.commit().await?;
    ///     Ok(reply.into_response())
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Claim::complete`], and when the response's body breaks off. The transaction must be
    /// rolled back then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with a timer.
    pub async fn complete<T, B>(
        &self,
        transaction: &mut T,
        response: Response<B>,
    ) -> Result<Response<ReplyBody<B>>, CompleteError>
    where
        T: steadfast_store::InTransaction,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let kept = reply::keep(response, &self.options.terms).await;
        let (mut response, record) = kept.map_err(CompleteError::Body)?;
        let completion = match &record {
            Some(record) => self.claim.completion(record)?,
            None => self.claim.completion_without_reply()?,
        };
        completion.write_in(transaction).await?;
        response.extensions_mut().insert(Settled(record.unwrap_or_default()));
        Ok(response)
    }
}
