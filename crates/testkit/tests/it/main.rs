//! The suite is itself tested: honest layers pass, and each broken one is caught by the clauses
//! meant for it.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[cfg(all(feature = "servers", unix))]
mod clocks;
mod faulty;
mod honest;
mod probe;
#[cfg(all(feature = "servers", unix))]
mod replicas;
#[cfg(all(feature = "servers", unix))]
mod servers;
mod verdicts;
