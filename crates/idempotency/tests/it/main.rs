//! Tests of the crate from outside.
#![cfg(all(feature = "tokio", feature = "contract"))]
#![allow(clippy::unwrap_used, reason = "tests")]

mod memory;
