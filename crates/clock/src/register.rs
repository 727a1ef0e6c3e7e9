//! Registers: one value under one name, on several replicas that write without asking each other.
//!
//! What happens when two of them write differs:
//!
//! | | two concurrent writes | a write that follows another | costs |
//! |---|---|---|---|
//! | [`LwwRegister`] | the newer stamp wins, the other is lost unseen | wins if its stamp is newer: always under an [`Hlc`](crate::Hlc) that hears of each merge, not under a wall clock | a stamp |
//! | [`CausalRegister`] | the newer stamp wins, the other is handed to the caller | always wins | a stamp and two vectors |
//! | [`MultiValueRegister`] | both stay, the reader decides | always wins | a vector, and a dot a value |
//!
//! All three converge: their merges are commutative, associative and idempotent, so replicas that have heard the same agree,
//! whatever the order.

mod causal;
mod lww;
mod multi_value;

#[cfg(test)]
mod comparison;

pub use self::{
    causal::{CausalRegister, MergeOutcome},
    lww::LwwRegister,
    multi_value::MultiValueRegister,
};
