//! The layer over services that fail in every way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attempts;
mod budget;
mod cancel;
mod contract;
mod reconfigure;
mod replay_by;
mod run;
mod shape;
mod support;
mod templates;
mod traps;
mod waits;

#[cfg(feature = "http")]
mod attempt_header;
#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "http")]
mod sockets;
#[cfg(feature = "tracing")]
mod tracing;
