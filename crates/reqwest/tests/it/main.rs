//! Stacks round reqwest's client, on real sockets.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod executed;
mod fidelity;
mod hops;
mod layers;
mod support;
