//! Leases in real servers: names and terms that no other test has.

use std::time::Duration;

use rand::RngExt;
use steadfast_lease::{
    AcquireReply, AcquireTerms, FencingToken, HolderName, LeaseName, Nonce, Store,
};

pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn some_name() -> LeaseName {
    LeaseName::new(format!("it/{:032x}", rand::rng().random::<u128>())).unwrap()
}

/// An hour, for a holder of its own.
pub(crate) fn terms() -> AcquireTerms {
    AcquireTerms {
        nonce: Nonce::generate(&mut rand::rng()),
        holder: HolderName::new(format!("holder {:x}", rand::rng().random::<u32>())).unwrap(),
        ttl: LONG,
        floor: None,
    }
}

pub(crate) fn token(number: u64) -> FencingToken {
    FencingToken::try_from(number).unwrap()
}

/// The token of a grant.
pub(crate) async fn granted(
    store: &impl Store,
    name: &LeaseName,
    terms: &AcquireTerms,
) -> FencingToken {
    match store.acquire(name, terms).await.unwrap() {
        AcquireReply::Granted { token, .. } => token,
        held => panic!("{held:?}, but it is free"),
    }
}

pub(crate) async fn is_held(store: &impl Store, name: &LeaseName) -> bool {
    matches!(store.acquire(name, &terms()).await.unwrap(), AcquireReply::Held { .. })
}
