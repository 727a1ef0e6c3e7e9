//! Registers: one value under one name, on several replicas that write without asking each other.
//!
//! The first and the last are those of M. Shapiro et al.: *A Comprehensive Study of Convergent and
//! Commutative Replicated Data Types* (2011). What happens when two replicas write differs:
//!
//! | | two concurrent writes | a write that follows another | costs |
//! |---|---|---|---|
//! | [`LwwRegister`] | the newer stamp wins, the other is lost unseen | wins if its stamp is newer: see below | a stamp |
//! | [`CausalRegister`] | the newer stamp wins, the other is handed to the caller | always wins | a stamp and two vectors |
//! | [`Siblings`](crate::Siblings) | both stay, the reader decides | always wins | a vector, and a dot a value |
//!
//! Under an [`Hlc`](crate::Hlc) that hears of each merge a later write has the newer stamp; under a
//! wall clock it need not.
//!
//! All three converge: their merges are commutative, associative and idempotent, so replicas that
//! have heard the same agree, whatever the order.

mod causal;
mod lww;

pub use self::{
    causal::{CausalRegister, MergeOutcome},
    lww::LwwRegister,
};
