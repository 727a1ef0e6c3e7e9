//! Where leases are kept.

use std::sync::Arc;

use steadfast_store::StoreError;

use crate::{AcquireReply, AcquireTerms, LeaseName, Nonce, RenewReply, View};

/// Where leases are kept. Written with plain `async fn`s:
///
/// ```
/// # use std::{sync::Mutex, time::Duration, collections::HashMap};
/// # use steadfast_lease::{
/// #     AcquireReply, AcquireTerms, LeaseName, Nonce, RenewReply, Slot, Store, StoreError, View,
/// # };
/// /// A store without a clock: its leases end when it is told so.
/// #[derive(Default)]
/// struct Shelf {
///     slots: Mutex<HashMap<LeaseName, Slot>>,
///     now: Duration,
/// }
///
/// impl Store for Shelf {
///     async fn acquire(
///         &self,
///         name: &LeaseName,
///         terms: &AcquireTerms,
///     ) -> Result<AcquireReply, StoreError> {
///         let mut slots = self.slots.lock().unwrap();
///         let slot = slots.entry(name.clone()).or_default();
///         slot.acquire(terms, self.now, 0).map_err(|error| StoreError::full().because(error))
///     }
///     // and so on
/// #     async fn renew(&self, _: &LeaseName, _: Nonce) -> Result<RenewReply, StoreError> {
/// #         unreachable!()
/// #     }
/// #     async fn release(&self, _: &LeaseName, _: Nonce) -> Result<bool, StoreError> {
/// #         unreachable!()
/// #     }
/// #     async fn observe(&self, _: &LeaseName, _: Option<&View>) -> Result<View, StoreError> {
/// #         unreachable!()
/// #     }
/// }
/// ```
///
/// Each operation is what the method of [`Slot`](crate::Slot) of its name does to the record of
/// `name`, alone with it and at the store's own time. **Each may be repeated**, because its answer
/// may have been lost; and each may be dropped at any point, and is then applied or not.
///
/// The tokens of one name only grow, as far as the store keeps what it has confirmed; a store says
/// where it does not. It need not count time by a clock that runs with the holder's: that rates of
/// the two are within the holder's [`Margin`](crate::Margin) is enough.
///
/// The feature `contract` has a suite that every store passes.
pub trait Store: Send + Sync + 'static {
    /// Grants the lease if it is not held, or is held under the nonce of `terms`: then the token
    /// stays, and it lasts for a whole TTL from now on. An acquisition that is not granted writes
    /// nothing.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them. After one that says
    /// [`Executed::Maybe`](steadfast_core::Executed::Maybe) the lease may have been granted: ask
    /// again with the same nonce, or release it by that.
    fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> impl Future<Output = Result<AcquireReply, StoreError>> + Send;

    /// Has the lease last for a whole TTL from now on, the one that it was granted for, if it is
    /// held under this nonce.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them. That the lease is not the caller's
    /// is no error, but an answer.
    fn renew(
        &self,
        name: &LeaseName,
        nonce: Nonce,
    ) -> impl Future<Output = Result<RenewReply, StoreError>> + Send;

    /// Ends the lease if it is held under this nonce, and says whether it was. The last token is
    /// kept, for a week at least.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn release(
        &self,
        name: &LeaseName,
        nonce: Nonce,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The lease as it is now; given the view that was `seen` last, waits until it
    /// [is another](View::is_same): held, released, expired, or under another token.
    ///
    /// It may answer sooner with what was seen, and by a watch, a notification or a look each
    /// second, as the store can: a change is seen within some seconds. What came between two views
    /// is not told.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    fn observe(
        &self,
        name: &LeaseName,
        seen: Option<&View>,
    ) -> impl Future<Output = Result<View, StoreError>> + Send;
}

impl<S: Store> Store for Arc<S> {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        S::acquire(self, name, terms).await
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        S::renew(self, name, nonce).await
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        S::release(self, name, nonce).await
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        S::observe(self, name, seen).await
    }
}
