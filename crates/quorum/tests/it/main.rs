//! The rules against models that know nothing but the definition, and every known trap.
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod analysis;
#[cfg(feature = "call")]
mod call;
mod closed;
mod decide;
mod rules;
#[cfg(feature = "call")]
mod shape;
mod tally;
mod traps;
