//! Claims and completions in a transaction of the caller's.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::Transaction;

use super::SqliteStore;
use crate::{
    Change, Claim, ClaimReply, ClaimTerms, ClaimToken, CompleteError, Completion, RecordId, Slot,
    State, StoreError,
};

/// In a transaction of the caller's, on a connection of its own to the same file: what is done
/// there stands or falls with the rest of it. These methods block.
///
/// Begin it with [`TransactionBehavior::Immediate`](rusqlite::TransactionBehavior::Immediate), on a
/// connection with a `busy_timeout`: one that has read first is refused by SQLite where it would
/// have to wait. Until it ends nothing else writes to the file, claims and renewals of other keys
/// among it.
impl SqliteStore {
    /// Claims the key in a transaction: for consumers without a handle, which claim, act and
    /// complete in one. The [terms](ClaimTerms::within_transaction) need no lease then.
    ///
    /// ```no_run
    /// # fn example(
    /// #     db: &mut rusqlite::Connection,
    /// #     store: steadfast_idempotency::SqliteStore,
    /// #     id: steadfast_idempotency::RecordId,
    /// #     message: &'static [u8],
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use rusqlite::TransactionBehavior::Immediate;
    /// use steadfast_idempotency::{Change, ClaimReply, ClaimTerms, Fingerprint, StoredReply};
    ///
    /// let week = Duration::from_secs(7 * 86_400);
    /// let terms = ClaimTerms::within_transaction(Fingerprint::of([message]), week);
    ///
    /// let tx = db.transaction_with_behavior(Immediate)?;
    /// match store.claim_in(&tx, &id, &terms)? {
    ///     ClaimReply::Claimed { .. } => {
    ///         tx.execute("UPDATE stock SET left = left - 1", [])?;
    ///         let reply = StoredReply::Kept("booked".into()).encode();
    ///         let change = store.complete_in(&tx, &id, terms.token, reply, week)?;
    ///         assert_eq!(change, Change::Applied);
    ///         tx.commit()?;
    ///     }
    ///     ClaimReply::Done { .. } => println!("a copy of a message that was worked off"),
    ///     other => println!("for later, or for an operator: {other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub fn claim_in(
        &self,
        transaction: &Transaction<'_>,
        id: &RecordId,
        terms: &ClaimTerms,
    ) -> Result<ClaimReply, StoreError> {
        self.records.change(transaction, id, |slot, now| slot.claim(terms, now))
    }

    /// Completes a claim in a transaction: one that was made in it, or before.
    ///
    /// If it is [`Lost`](Change::Lost) another has taken the key over, or an earlier transaction
    /// has completed the claim after all, and this one must be rolled back.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub fn complete_in(
        &self,
        transaction: &Transaction<'_>,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        self.records.change(transaction, id, |slot, now| {
            if is_done(slot) { Change::Lost } else { slot.complete(token, reply, retention, now) }
        })
    }

    /// Completes the claim of an operation of a
    /// [transactional](crate::IdempotencyConfig::transactional) handle, and returns the reply for
    /// its caller.
    ///
    /// ```no_run
    /// # mod payments {
    /// use bytes::Bytes;
    /// use rusqlite::{Connection, TransactionBehavior::Immediate};
    /// use steadfast_idempotency::{Claim, SqliteStore};
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// /// Where it may block: in `spawn_blocking`.
    /// fn pay(claim: &Claim, db: &mut Connection, store: &SqliteStore) -> Result<Bytes, BoxError> {
    ///     let tx = db.transaction_with_behavior(Immediate)?;
    ///     tx.execute("UPDATE accounts SET balance = balance - 5 WHERE id = 1", [])?;
    ///     let reply = store.complete_claim(&tx, claim, "receipt".into())?;
    ///     tx.commit()?;
    ///     Ok(reply)
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the claim is lost, or the store fails. The transaction must be rolled back then.
    pub fn complete_claim(
        &self,
        transaction: &Transaction<'_>,
        claim: &Claim,
        reply: Bytes,
    ) -> Result<Bytes, CompleteError> {
        self.write_completion(transaction, claim.completion(&reply)?)?;
        Ok(reply)
    }

    pub(crate) fn write_completion(
        &self,
        transaction: &Transaction<'_>,
        completion: Completion<'_>,
    ) -> Result<(), CompleteError> {
        let (token, retention) = (completion.token(), completion.retention());
        let kept = completion.reply();
        let change = self.complete_in(transaction, completion.id(), token, kept, retention);
        match change.map_err(CompleteError::Store)? {
            Change::Applied => {
                completion.applied();
                Ok(())
            }
            Change::Lost => Err(CompleteError::Lost),
        }
    }
}

fn is_done(slot: &Slot) -> bool {
    slot.0.as_ref().is_some_and(|record| matches!(record.state, State::Done { .. }))
}
