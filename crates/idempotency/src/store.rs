//! Where records are kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use steadfast_store::StoreError;

use crate::{Census, Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, View};

/// Where records are kept. Written with plain `async fn`s:
///
/// ```
/// # use std::{sync::Mutex, time::Duration, collections::HashMap};
/// # use bytes::Bytes;
/// # use steadfast_idempotency::{
/// #     Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, Slot, Store, StoreError, View,
/// # };
/// /// A store without a clock: its leases end when it is told so.
/// #[derive(Default)]
/// struct Shelf {
///     slots: Mutex<HashMap<RecordId, Slot>>,
///     now: Duration,
/// }
///
/// impl Store for Shelf {
///     async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
///         let mut slots = self.slots.lock().unwrap();
///         Ok(slots.entry(id.clone()).or_default().claim(terms, self.now))
///     }
///     // and so on
/// #     async fn renew(
/// #         &self, _: &RecordId, _: ClaimToken, _: Duration, _: Duration,
/// #     ) -> Result<Change, StoreError> { unreachable!() }
/// #     async fn complete(
/// #         &self, _: &RecordId, _: ClaimToken, _: Bytes, _: Duration,
/// #     ) -> Result<Change, StoreError> { unreachable!() }
/// #     async fn release(&self, _: &RecordId, _: ClaimToken) -> Result<Change, StoreError> {
/// #         unreachable!()
/// #     }
/// #     async fn abandon(
/// #         &self, _: &RecordId, _: ClaimToken, _: Duration,
/// #     ) -> Result<Change, StoreError> { unreachable!() }
/// #     async fn look(&self, _: &RecordId) -> Result<Option<View>, StoreError> { unreachable!() }
/// #     async fn forget(&self, _: &RecordId) -> Result<bool, StoreError> { unreachable!() }
/// #     async fn purge_expired(&self, _: usize) -> Result<usize, StoreError> { unreachable!() }
/// }
/// ```
///
/// Each operation is what the method of [`Slot`](crate::Slot) of its name does to the record `id`,
/// alone with it and at the store's own time. **Each may be repeated**, because its answer may have
/// been lost; and each may be dropped at any point, and is then applied or not, now or soon after:
/// a claim that was dropped may come behind its own release, which is therefore said twice.
///
/// The feature `contract` has a suite that every store passes.
pub trait Store: Send + Sync + 'static {
    /// Claims the key, or says why it cannot be had.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them. After one that says
    /// [`Executed::Maybe`](steadfast_core::Executed::Maybe) the key may be claimed: claim again
    /// with the same token, or release it.
    fn claim(
        &self,
        id: &RecordId,
        terms: &ClaimTerms,
    ) -> impl Future<Output = Result<ClaimReply, StoreError>> + Send;

    /// Holds the claim for a whole lease from now on.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> impl Future<Output = Result<Change, StoreError>> + Send;

    /// Keeps the reply.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them;
    /// [`Full`](crate::StoreErrorKind::Full) when the reply is too large for the room that is left.
    /// A store has room for a [`NotKept`](crate::StoredReply::NotKept) wherever it has granted a
    /// claim.
    fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> impl Future<Output = Result<Change, StoreError>> + Send;

    /// Frees the key: this attempt was certainly not executed.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn release(
        &self,
        id: &RecordId,
        token: ClaimToken,
    ) -> impl Future<Output = Result<Change, StoreError>> + Send;

    /// Says that the operation may have been executed and that its outcome is not known.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> impl Future<Output = Result<Change, StoreError>> + Send;

    /// The record as it is now.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn look(&self, id: &RecordId) -> impl Future<Output = Result<Option<View>, StoreError>> + Send;

    /// Removes the record whatever its state, and says whether there was one.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn forget(&self, id: &RecordId) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Removes up to `most` records that have expired, and says how many. A store whose records
    /// vanish by themselves removes none.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn purge_expired(&self, most: usize) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Whether an operation can complete its claim in a transaction of its own, as a handle needs
    /// whose configuration is `transactional`. As it comes: no.
    fn is_transactional(&self) -> bool {
        false
    }

    /// The statement that completes a claim in a transaction: `$1` is the name of the record, `$2`
    /// the token, `$3` the reply, `$4` the retention in microseconds. It answers with a row if the
    /// record is in flight or abandoned under this token, and is done now; with none otherwise,
    /// also if it was done already. As it comes there is none.
    #[cfg(feature = "postgres")]
    fn completion_statement(&self) -> Option<steadfast_store::Statement> {
        None
    }

    /// How many keys are not done, of all that the store keeps; `None` from a store that could not
    /// count them without reading everything from its server, as this provided method says.
    ///
    /// It may read all records: for every minute, and not for every request.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn census(&self) -> impl Future<Output = Result<Option<Census>, StoreError>> + Send {
        async { Ok(None) }
    }
}

impl<S: Store> Store for Arc<S> {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        S::claim(self, id, terms).await
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        S::renew(self, id, token, lease, retention).await
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        S::complete(self, id, token, reply, retention).await
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        S::release(self, id, token).await
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        S::abandon(self, id, token, retention).await
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        S::look(self, id).await
    }

    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        S::forget(self, id).await
    }

    async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        S::purge_expired(self, most).await
    }

    fn is_transactional(&self) -> bool {
        S::is_transactional(self)
    }

    #[cfg(feature = "postgres")]
    fn completion_statement(&self) -> Option<steadfast_store::Statement> {
        S::completion_statement(self)
    }

    async fn census(&self) -> Result<Option<Census>, StoreError> {
        S::census(self).await
    }
}
