//! The crate from outside.
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[cfg(feature = "tokio")]
mod fence;
mod model;
