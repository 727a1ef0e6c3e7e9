//! The layer of servers.

mod axum;
mod bodies;
mod callers;
#[cfg(feature = "tonic")]
mod grpc_replies;
mod keys;
mod refusals;
mod replies;
mod support;
mod wire;
