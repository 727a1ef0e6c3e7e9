//! Tests of the crate from outside.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod cancel;
mod contract;
mod detach;
mod faults;
mod hostile;
#[cfg(feature = "http")]
mod http;
mod injected;
mod shape;
mod support;
mod switches;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod telemetry;
