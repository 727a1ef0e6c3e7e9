//! Idempotency keys over HTTP: the layer of a server.

mod body;
mod fingerprint;
mod future;
mod layer;
mod options;
mod read;
mod run;
mod service;
mod whole;

pub use self::{
    body::{AsIs, RequestBody, WrapBody},
    fingerprint::{HttpFingerprint, RequestFingerprint},
    future::ResponseFuture,
    layer::{IdempotencyLayer, Unscoped},
    options::{MissingKey, NoPrincipal, OnStream},
    service::IdempotencyService,
    whole::ReplyBody,
};
