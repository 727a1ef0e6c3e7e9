//! Version vectors: which updates a replica has seen; and dots, the names of single updates.
//!
//! D. S. Parker et al.: *Detection of Mutual Inconsistency in Distributed Systems* (1983). A version vector counts updates where
//! a vector clock counts events. The structure, its comparisons and its merge are the same, so they are one type here with two
//! names: a second type would repeat every method and keep nothing apart that a variable's name does not.

use crate::{NodeId, VectorClock};

/// The set of all updates up to a count for each replica: a [`VectorClock`] that counts updates only. As *causal context* it says
/// what a reader has seen.
pub type VersionVector = VectorClock;

/// The name of one event or update: the `counter`-th of `node`.
///
/// Unique as long as no two nodes share a [`NodeId`], and no node forgets its count: one that lost its state goes on under a new
/// [`NodeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dot {
    /// Who.
    pub node: NodeId,
    /// Which of its events, from 1. A counter of 0 names none.
    pub counter: u64,
}

impl Dot {
    /// The `counter`-th event of `node`.
    #[must_use]
    pub const fn new(node: NodeId, counter: u64) -> Self {
        Self { node, counter }
    }
}
