//! How many calls were refused.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::state::{Refusals, State};

/// Counted in lanes: a client that meets an open circuit calls it as fast as it can.
#[derive(Debug)]
pub(crate) struct RefusalLanes(Box<[Lane]>);

/// Aligned to two cache lines, because processors fetch lines in pairs.
// Not modelled by loom: counts that nothing is decided by.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    open: AtomicU64,
    half_open: AtomicU64,
    forced_open: AtomicU64,
}

impl RefusalLanes {
    pub(super) fn new(lanes: usize) -> Self {
        Self((0..lanes).map(|_| Lane::default()).collect())
    }

    /// One more call that was refused in `state`.
    pub(super) fn add(&self, lane: usize, state: State) {
        let lane = &self.0[lane];
        let count = match state {
            State::Open => &lane.open,
            State::ForcedOpen => &lane.forced_open,
            // No other state refuses.
            _ => &lane.half_open,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> Refusals {
        let sum = |count: fn(&Lane) -> &AtomicU64| {
            self.0.iter().map(|lane| count(lane).load(Ordering::Relaxed)).sum()
        };
        Refusals {
            open: sum(|lane| &lane.open),
            half_open: sum(|lane| &lane.half_open),
            forced_open: sum(|lane| &lane.forced_open),
        }
    }
}
