//! The crate from outside.
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[cfg(feature = "contract")]
mod contract;
#[cfg(feature = "tokio")]
mod fence;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tokio")]
mod marks;
#[cfg(feature = "tokio")]
mod memory;
mod model;
