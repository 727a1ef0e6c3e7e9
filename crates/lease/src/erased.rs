//! A store whose type is forgotten.

use std::pin::Pin;

use crate::{AcquireReply, AcquireTerms, LeaseName, Nonce, RenewReply, Store, StoreError, View};

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`Store`] with its futures in boxes, so that the client has no type parameter. A box a call is
/// little where each call already awaits a store.
///
/// The methods have names of their own: where both traits are in scope, equal ones would make every
/// call ambiguous (E0034).
pub(crate) trait Erased: Send + Sync {
    fn boxed_acquire<'a>(
        &'a self,
        name: &'a LeaseName,
        terms: &'a AcquireTerms,
    ) -> Answer<'a, AcquireReply>;

    fn boxed_renew<'a>(&'a self, name: &'a LeaseName, nonce: Nonce) -> Answer<'a, RenewReply>;

    fn boxed_release<'a>(&'a self, name: &'a LeaseName, nonce: Nonce) -> Answer<'a, bool>;

    fn boxed_observe<'a>(&'a self, name: &'a LeaseName, seen: Option<&'a View>)
    -> Answer<'a, View>;
}

impl<S: Store> Erased for S {
    fn boxed_acquire<'a>(
        &'a self,
        name: &'a LeaseName,
        terms: &'a AcquireTerms,
    ) -> Answer<'a, AcquireReply> {
        Box::pin(self.acquire(name, terms))
    }

    fn boxed_renew<'a>(&'a self, name: &'a LeaseName, nonce: Nonce) -> Answer<'a, RenewReply> {
        Box::pin(self.renew(name, nonce))
    }

    fn boxed_release<'a>(&'a self, name: &'a LeaseName, nonce: Nonce) -> Answer<'a, bool> {
        Box::pin(self.release(name, nonce))
    }

    fn boxed_observe<'a>(
        &'a self,
        name: &'a LeaseName,
        seen: Option<&'a View>,
    ) -> Answer<'a, View> {
        Box::pin(self.observe(name, seen))
    }
}
