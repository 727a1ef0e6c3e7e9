//! A claim that is completed in the transaction of its own operation.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use steadfast_core::{Grounds, Refusal, RefusalKind, parts::lock};

use crate::{
    Claim, ClaimTerms, ClaimToken, Fingerprint, OnAbandoned, RecordId, StoreError, StoredReply,
    shared::Shared,
};

/// What an operation of a [transactional](crate::IdempotencyConfig::transactional) handle has done
/// for its key.
#[derive(Debug)]
pub(crate) struct Settlement {
    id: RecordId,
    pub(crate) attempt: NonZeroU32,
    token: ClaimToken,
    retention: Duration,
    limit: Duration,
    most_reply_bytes: usize,
    #[cfg(feature = "postgres")]
    statement: Option<steadfast_store::Statement>,
    /// Of the last transaction: one before may have been rolled back. Nothing foreign runs under
    /// it.
    reply: Mutex<Option<StoredReply>>,
}

/// What a store writes to complete a claim in a transaction of the operation's own, and only if the
/// record is in flight or abandoned under this token: **one that is done already must not be
/// completed again**, for another effect would come with it.
///
/// For stores outside of this crate; see [`Claim::completion`]. `Debug` shows nothing of it.
#[must_use]
pub struct Completion<'a> {
    claim: &'a Claim,
    settlement: &'a Settlement,
    stored: StoredReply,
}

/// A claim was not completed in the operation's transaction, **which must be rolled back**: return
/// the error, and drop the transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// The claim is another's, or this operation has completed it in an earlier transaction whose
    /// commit went through after all. What this transaction has done must not count.
    #[error("the claim is lost: the transaction must be rolled back")]
    Lost,
    /// The handle is not [transactional](crate::IdempotencyConfig::transactional).
    #[error("the handle is not transactional: the transaction must be rolled back")]
    NotTransactional,
    /// The statement failed, and the transaction with it.
    #[error("the claim was not completed: the transaction must be rolled back")]
    Store(#[source] StoreError),
    /// The response to keep has a body that broke off.
    #[cfg(feature = "http")]
    #[error("the response was not kept: the transaction must be rolled back")]
    Body(#[source] steadfast_core::http::BodyFailed),
}

impl Settlement {
    /// Of a claim, if the handle is transactional.
    pub(crate) fn new(
        shared: &Shared,
        id: &RecordId,
        attempt: NonZeroU32,
        terms: &ClaimTerms,
    ) -> Option<Arc<Self>> {
        let settings = &shared.settings;
        let settlement = || Self {
            id: id.clone(),
            attempt,
            token: terms.token,
            retention: terms.retention,
            limit: settings.store_limit,
            most_reply_bytes: settings.most_reply_bytes,
            #[cfg(feature = "postgres")]
            statement: shared.completion.clone(),
            reply: Mutex::default(),
        };
        settings.is_transactional.then(|| Arc::new(settlement()))
    }

    /// What the last transaction has stored, if it was committed.
    pub(crate) fn reply(&self) -> Option<StoredReply> {
        lock(&self.reply).clone()
    }
}

impl Claim {
    /// What completes this claim in a transaction, for a store outside of this crate that is
    /// [transactional](crate::Store::is_transactional): it writes it there, and says
    /// [`applied`](Completion::applied).
    ///
    /// # Errors
    /// When the handle is not transactional.
    pub fn completion(&self, reply: &Bytes) -> Result<Completion<'_>, CompleteError> {
        let settlement = self.settlement.as_deref().ok_or(CompleteError::NotTransactional)?;
        let stored = StoredReply::within(settlement.most_reply_bytes, reply.clone());
        Ok(Completion { claim: self, settlement, stored })
    }

    /// The same of a reply that cannot be kept.
    #[cfg(all(feature = "http", any(feature = "postgres", feature = "sqlite")))]
    pub(crate) fn completion_without_reply(&self) -> Result<Completion<'_>, CompleteError> {
        let settlement = self.settlement.as_deref().ok_or(CompleteError::NotTransactional)?;
        Ok(Completion { claim: self, settlement, stored: StoredReply::NotKept })
    }

    #[cfg(feature = "http")]
    pub(crate) const fn is_transactional(&self) -> bool {
        self.settlement.is_some()
    }

    /// Whether it was completed in a transaction, which may have been committed.
    #[cfg(feature = "http")]
    pub(crate) fn is_completed(&self) -> bool {
        self.settlement.as_ref().is_some_and(|settlement| settlement.reply().is_some())
    }
}

impl Completion<'_> {
    /// The record.
    #[must_use]
    pub const fn id(&self) -> &RecordId {
        &self.settlement.id
    }

    /// Whose claim it is.
    #[must_use]
    pub const fn token(&self) -> ClaimToken {
        self.settlement.token
    }

    /// What to keep as the reply: a frame, with no reply in it if it is too long to be kept.
    #[must_use]
    pub fn reply(&self) -> Bytes {
        self.stored.encode()
    }

    /// How long the record is kept from now on.
    #[must_use]
    pub const fn retention(&self) -> Duration {
        self.settlement.retention
    }

    /// How long the statement may take.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.settlement.limit
    }

    /// The statement has completed the record, and the transaction can be committed.
    pub fn applied(self) {
        *lock(&self.settlement.reply) = Some(self.stored);
        self.claim.hold.settle();
    }
}

impl ClaimTerms {
    /// The terms of a claim that is completed in the transaction that makes it, with a token of its
    /// own: no lease, and a record that was committed without a completion is taken over.
    #[must_use]
    pub fn within_transaction(fingerprint: Fingerprint, retention: Duration) -> Self {
        Self {
            // The generator of the thread: seeded by the system, and never in step with another.
            token: ClaimToken::generate(&mut rand::rng()),
            fingerprint,
            lease: Duration::ZERO,
            retention,
            on_abandoned: OnAbandoned::Takeover,
        }
    }
}

impl fmt::Debug for Completion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").finish_non_exhaustive()
    }
}

impl Refusal for CompleteError {
    /// The operation ends with it, and its handle finds out what has become of the key.
    fn grounds(&self) -> Grounds {
        Grounds::maybe_executed(match self {
            Self::Lost => RefusalKind::Conflict,
            Self::NotTransactional | Self::Store(_) => RefusalKind::Unavailable,
            #[cfg(feature = "http")]
            Self::Body(_) => RefusalKind::Unavailable,
        })
    }
}

#[cfg(feature = "postgres")]
mod sql {
    use bytes::Bytes;
    use steadfast_store::{InTransaction, Value, within};

    use super::{CompleteError, Completion};
    use crate::{Claim, postgres::micros};

    impl Claim {
        /// Stores the reply in `transaction`, so that it stands or falls with what the operation
        /// has done there, and returns it for the caller. The transaction is one of tokio-postgres,
        /// deadpool or sqlx in the database of the store, and the handle is
        /// [transactional](crate::IdempotencyConfig::transactional).
        ///
        /// From here on the transaction holds the claim's record: commit it soon.
        ///
        /// ```no_run
        /// # #[cfg(feature = "deadpool")]
        /// # mod payments {
        /// use bytes::Bytes;
        /// use deadpool_postgres::Pool;
        /// use steadfast_idempotency::Claim;
        ///
        /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
        ///
        /// async fn pay(claim: Claim, db: Pool) -> Result<Bytes, BoxError> {
        ///     let mut client = db.get().await?;
        ///     let mut tx = client.transaction().await?;
        ///     tx.execute("UPDATE accounts SET balance = balance - 5 WHERE id = 1", &[]).await?;
        ///     let reply = claim.complete(&mut tx, "receipt".into()).await?;
        ///     tx.commit().await?;
        ///     Ok(reply)
        /// }
        /// # }
        /// ```
        ///
        /// # Errors
        /// When the claim is lost, or the store fails: in a transaction that is stricter than READ
        /// COMMITTED also where the claim was renewed, at a third of its lease, after the first
        /// statement. The transaction must be rolled back then.
        ///
        /// # Panics
        /// Outside of a tokio runtime with a timer.
        pub async fn complete<T: InTransaction>(
            &self,
            transaction: &mut T,
            reply: Bytes,
        ) -> Result<Bytes, CompleteError> {
            self.completion(&reply)?.write_in(transaction).await?;
            Ok(reply)
        }
    }

    impl Completion<'_> {
        /// Writes it in a transaction of PostgreSQL.
        pub(crate) async fn write_in<T: InTransaction>(
            self,
            transaction: &mut T,
        ) -> Result<(), CompleteError> {
            let statement = self.settlement.statement.as_ref();
            let statement = statement.ok_or(CompleteError::NotTransactional)?;
            let (token, frame) = (self.token().to_bytes(), self.reply());
            let values = [
                Value::Bytes(self.id().as_bytes()),
                Value::Bytes(&token),
                Value::Bytes(&frame),
                micros(self.retention()),
            ];
            let complete = transaction.run_statement(statement, &values);
            let row = within(self.limit(), complete).await;
            if row.map_err(|error| CompleteError::Store(error.into()))?.is_none() {
                return Err(CompleteError::Lost);
            }
            self.applied();
            Ok(())
        }
    }
}
