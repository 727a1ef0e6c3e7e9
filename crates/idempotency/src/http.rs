//! Idempotency keys over HTTP: the layer of a server, and that of clients.

mod body;
mod client;
mod fingerprint;
mod future;
mod key;
mod layer;
mod options;
mod read;
#[allow(dead_code, unreachable_pub, reason = "the service is joined to it next")]
mod reply;
mod run;
mod service;
mod statuses;
mod whole;

pub use self::{
    body::{AsIs, RequestBody, WrapBody},
    client::{IdempotencyKeyLayer, IdempotencyKeyService, PostAndPatch, WantsKey},
    fingerprint::{HttpFingerprint, RequestFingerprint},
    future::ResponseFuture,
    key::{derive, new_key},
    layer::{IdempotencyLayer, Unscoped},
    options::{MissingKey, NoPrincipal, OnStream},
    reply::{KeptHeaders, KeptResponse, KeptResponseError, Meaning, Reply, ReplyPolicy},
    service::IdempotencyService,
    statuses::Statuses,
    whole::ReplyBody,
};
