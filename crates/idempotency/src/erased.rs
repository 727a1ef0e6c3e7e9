//! A store whose type is forgotten.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;

use crate::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, Store, StoreError, View,
};

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`Store`] with its futures in boxes, so that the handle has no type parameter. A box a call is
/// little where each call already awaits a store.
///
/// Each call is made at the first poll of its future: a store that panics then panics where that is
/// caught.
///
/// The methods have names of their own: where both traits are in scope, equal ones would make every
/// call ambiguous (E0034).
pub(crate) trait Erased: Send + Sync {
    fn boxed_claim<'a>(&'a self, id: &'a RecordId, terms: &'a ClaimTerms)
    -> Answer<'a, ClaimReply>;

    fn boxed_renew<'a>(
        &'a self,
        id: &'a RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Answer<'a, Change>;

    fn boxed_complete<'a>(
        &'a self,
        id: &'a RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Answer<'a, Change>;

    fn boxed_release<'a>(&'a self, id: &'a RecordId, token: ClaimToken) -> Answer<'a, Change>;

    fn boxed_abandon<'a>(
        &'a self,
        id: &'a RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Answer<'a, Change>;

    fn boxed_look<'a>(&'a self, id: &'a RecordId) -> Answer<'a, Option<View>>;

    fn boxed_forget<'a>(&'a self, id: &'a RecordId) -> Answer<'a, bool>;

    fn boxed_purge_expired(&self, most: usize) -> Answer<'_, usize>;

    fn boxed_census(&self) -> Answer<'_, Option<Census>>;
}

impl<S: Store> Erased for S {
    fn boxed_claim<'a>(
        &'a self,
        id: &'a RecordId,
        terms: &'a ClaimTerms,
    ) -> Answer<'a, ClaimReply> {
        Box::pin(async move { self.claim(id, terms).await })
    }

    fn boxed_renew<'a>(
        &'a self,
        id: &'a RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Answer<'a, Change> {
        Box::pin(async move { self.renew(id, token, lease, retention).await })
    }

    fn boxed_complete<'a>(
        &'a self,
        id: &'a RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Answer<'a, Change> {
        Box::pin(async move { self.complete(id, token, reply, retention).await })
    }

    fn boxed_release<'a>(&'a self, id: &'a RecordId, token: ClaimToken) -> Answer<'a, Change> {
        Box::pin(async move { self.release(id, token).await })
    }

    fn boxed_abandon<'a>(
        &'a self,
        id: &'a RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Answer<'a, Change> {
        Box::pin(async move { self.abandon(id, token, retention).await })
    }

    fn boxed_look<'a>(&'a self, id: &'a RecordId) -> Answer<'a, Option<View>> {
        Box::pin(async move { self.look(id).await })
    }

    fn boxed_forget<'a>(&'a self, id: &'a RecordId) -> Answer<'a, bool> {
        Box::pin(async move { self.forget(id).await })
    }

    fn boxed_purge_expired(&self, most: usize) -> Answer<'_, usize> {
        Box::pin(async move { self.purge_expired(most).await })
    }

    fn boxed_census(&self) -> Answer<'_, Option<Census>> {
        Box::pin(async move { self.census().await })
    }
}
