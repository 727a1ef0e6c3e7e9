//! What all calls of one service have in common.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{config::Settings, pace::Pace, telemetry::Telemetry};
use crate::{Nodes, Rule};

pub(crate) struct Shared<const WORDS: usize> {
    pub(crate) rule: Box<dyn Rule<WORDS> + Send + Sync>,
    /// The number of the node at each place.
    pub(crate) order: Box<[usize]>,
    /// The place at which the next call begins, if calls take turns.
    turn: Option<AtomicUsize>,
    /// The members that have a service, and those that have none.
    pub(crate) present: Nodes<WORDS>,
    pub(crate) absent: Nodes<WORDS>,
    pub(crate) pace: Pace,
    pub(crate) telemetry: Telemetry,
}

impl<const WORDS: usize> Shared<WORDS> {
    pub(crate) fn new(
        rule: impl Rule<WORDS> + Send + Sync + 'static,
        order: Vec<usize>,
        present: Nodes<WORDS>,
        settings: Settings,
    ) -> Self {
        Self {
            absent: rule.members() - present,
            rule: Box::new(rule),
            order: order.into(),
            turn: settings.rotates.then(AtomicUsize::default),
            present,
            pace: settings.pace,
            telemetry: Telemetry::new(settings.name),
        }
    }

    /// The place of the node that the next call prefers.
    pub(crate) fn next_turn(&self) -> usize {
        // Relaxed: no other memory depends on it. When the count wraps, one node's turn comes
        // twice.
        self.turn
            .as_ref()
            .map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed) % self.order.len().max(1))
    }

    /// All places, the preferred one first.
    pub(crate) fn places(&self, first: usize) -> impl Iterator<Item = usize> + Clone + use<WORDS> {
        (first..self.order.len()).chain(0..first)
    }

    /// The numbers of all nodes, the preferred one first.
    pub(crate) fn preference(&self, first: usize) -> impl Iterator<Item = usize> + Clone {
        self.places(first).map(|place| self.order[place])
    }
}

impl<const WORDS: usize> fmt::Debug for Shared<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, pace, .. } = self;
        f.debug_struct("Shared").field("order", order).field("pace", pace).finish_non_exhaustive()
    }
}
