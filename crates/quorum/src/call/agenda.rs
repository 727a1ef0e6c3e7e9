//! What all calls of one service have in common.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use steadfast_core::parts::Lane;

use super::{pace::Pace, telemetry::Telemetry};
use crate::{Nodes, Rule};

pub(crate) struct Agenda<P, const WORDS: usize> {
    pub(crate) rule: Box<dyn Rule<WORDS> + Send + Sync>,
    /// The nodes by place.
    pub(crate) order: Box<[usize]>,
    /// The place at which the next call begins, if calls take turns.
    pub(crate) turn: Option<AtomicUsize>,
    /// The members that have a service, and those that have none.
    pub(crate) present: Nodes<WORDS>,
    pub(crate) absent: Nodes<WORDS>,
    pub(crate) pace: Pace,
    pub(crate) telemetry: Telemetry,
    pub(crate) plan: P,
}

/// One thread's hold on it: each call has one, and threads that call do not write the same reference count.
pub(crate) type Hold<P, const WORDS: usize> = Arc<Lane<Agenda<P, WORDS>>>;

impl<P, const WORDS: usize> Agenda<P, WORDS> {
    /// The place of the node that the next call prefers.
    pub(crate) fn next_turn(&self) -> usize {
        // Relaxed: the word stands for itself. It may wrap, and then one call begins where another did.
        let turn = self.turn.as_ref().map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed));
        turn % self.order.len().max(1)
    }

    /// All places, the preferred one first.
    pub(crate) fn places(&self, first: usize) -> impl Iterator<Item = usize> + Clone + use<P, WORDS> {
        (first..self.order.len()).chain(0..first)
    }

    /// All nodes, the preferred one first.
    pub(crate) fn preference(&self, first: usize) -> impl Iterator<Item = usize> + Clone {
        self.places(first).map(|place| self.order[place])
    }
}

impl<P, const WORDS: usize> fmt::Debug for Agenda<P, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agenda").field("order", &self.order).field("pace", &self.pace).finish_non_exhaustive()
    }
}
