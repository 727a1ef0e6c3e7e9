//! Claims and completions in a transaction of the caller's.

use std::time::Duration;

use bytes::Bytes;
use steadfast_store::{InTransaction, Sql, StoreError, Value, within};

use super::{MOST_CLAIMS, PostgresStore, claim_values, micros, reply};
use crate::{Change, ClaimReply, ClaimTerms, ClaimToken, RecordId};

/// For consumers without a handle: the claim, the effect and the reply in one transaction, which
/// all stand or fall with it. The [terms](ClaimTerms::within_transaction) need no lease, because
/// nothing is seen of a claim before its commit.
///
/// ```no_run
/// # #[cfg(feature = "deadpool")]
/// # async fn example(
/// #     pool: deadpool_postgres::Pool,
/// #     store: steadfast_idempotency::PostgresStore<deadpool_postgres::Pool>,
/// #     id: steadfast_idempotency::RecordId,
/// #     message: &'static [u8],
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use steadfast_idempotency::{Change, ClaimReply, ClaimTerms, Fingerprint, StoredReply};
///
/// let week = Duration::from_secs(7 * 86_400);
/// let terms = ClaimTerms::within_transaction(Fingerprint::of([message]), week);
///
/// let mut client = pool.get().await?;
/// let mut tx = client.transaction().await?;
/// match store.claim_in(&mut tx, &id, &terms).await? {
///     ClaimReply::Claimed { .. } => {
///         tx.execute("UPDATE stock SET left = left - 1", &[]).await?;
///         let reply = StoredReply::Kept("booked".into()).encode();
///         let change = store.complete_in(&mut tx, &id, terms.token, reply, week).await?;
///         assert_eq!(change, Change::Applied);
///         tx.commit().await?;
///     }
///     ClaimReply::Done { .. } => println!("a copy of a message that was worked off"),
///     other => println!("for later, or for an operator: {other:?}"),
/// }
/// # Ok(()) }
/// ```
impl<D: Sql + Clone + Sync + 'static> PostgresStore<D> {
    /// Claims the key in a transaction.
    ///
    /// It waits for a transaction that has claimed the same key and is under way, as long as
    /// `call_limit` and the transaction's own `lock_timeout` let it.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them. After one the transaction can only
    /// be rolled back: such as after a wait in vain, and in one that is stricter than READ
    /// COMMITTED when another was quicker.
    pub async fn claim_in<T: InTransaction>(
        &self,
        transaction: &mut T,
        id: &RecordId,
        terms: &ClaimTerms,
    ) -> Result<ClaimReply, StoreError> {
        let (fingerprint, token) = (terms.fingerprint.to_bytes(), terms.token.to_bytes());
        let values = claim_values(id, terms, &fingerprint, &token);
        let claim = async {
            for _ in 0..MOST_CLAIMS {
                let row = transaction.run_statement(&self.texts.claim_in, &values).await?;
                if let Some(reply) = row.map_or(Ok(None), |row| reply(&row, terms))? {
                    return Ok(reply);
                }
            }
            Ok(ClaimReply::InFlight { left: self.config.lock_wait })
        };
        within(self.config.call_limit, claim).await
    }

    /// Completes a claim in a transaction: one that was made in it, or before.
    ///
    /// If it is [`Lost`](Change::Lost) another has taken the key over, or an earlier transaction
    /// has completed the claim after all, and this one must be rolled back. Until it ends, it holds
    /// the record's row.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them. After one the transaction can only
    /// be rolled back.
    pub async fn complete_in<T: InTransaction>(
        &self,
        transaction: &mut T,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (id, token) = (Value::Bytes(id.as_bytes()), token.to_bytes());
        let values = [id, Value::Bytes(&token), Value::Bytes(&reply), micros(retention)];
        let complete = transaction.run_statement(&self.texts.complete_in, &values);
        Ok(match within(self.config.call_limit, complete).await? {
            Some(_) => Change::Applied,
            None => Change::Lost,
        })
    }
}
