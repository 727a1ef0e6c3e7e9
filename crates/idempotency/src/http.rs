//! Idempotency keys over HTTP: the layer of a server, and that of clients.

mod body;
mod claim;
mod client;
mod fingerprint;
mod future;
mod key;
mod layer;
mod options;
mod read;
mod reply;
mod run;
mod service;
mod statuses;

#[cfg(feature = "axum")]
pub use self::claim::NoClaim;
pub use self::{
    body::{AsIs, RequestBody, WrapBody},
    claim::HttpClaim,
    client::{IdempotencyKeyLayer, IdempotencyKeyService, PostAndPatch, WantsKey},
    fingerprint::{HttpFingerprint, RequestFingerprint},
    future::ResponseFuture,
    key::{derive, new_key},
    layer::{IdempotencyLayer, Unscoped},
    options::{MissingKey, NoPrincipal, OnStream},
    reply::{KeptHeaders, KeptResponse, KeptResponseError, Meaning, Reply, ReplyBody, ReplyPolicy},
    service::IdempotencyService,
    statuses::Statuses,
};
