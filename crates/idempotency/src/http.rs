//! Idempotency keys over HTTP: the layer of a server.

mod body;
mod fingerprint;
mod future;
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
    fingerprint::{HttpFingerprint, RequestFingerprint},
    future::ResponseFuture,
    layer::{IdempotencyLayer, Unscoped},
    options::{MissingKey, NoPrincipal, OnStream},
    reply::{KeptHeaders, KeptResponse, KeptResponseError, Meaning, Reply, ReplyPolicy},
    service::IdempotencyService,
    statuses::Statuses,
    whole::ReplyBody,
};
