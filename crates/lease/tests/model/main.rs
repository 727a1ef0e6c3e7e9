//! Every state that the crate's rules can come to, within bounds.
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod explore;
mod fence;
mod lease;
mod world;
