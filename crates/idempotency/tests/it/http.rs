//! The layer of servers.

mod axum;
mod bodies;
mod callers;
#[cfg(feature = "axum")]
mod claims;
mod contract;
#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "tonic")]
mod grpc_replies;
mod hostile;
mod keys;
mod many;
mod order;
mod refusals;
mod replies;
mod shape;
mod sockets;
#[cfg(all(feature = "axum", feature = "sqlite"))]
mod sqlite;
mod streams;
mod support;
#[cfg(all(feature = "axum", feature = "deadpool"))]
mod transactional;
mod wire;
