//! What became of one rule's faults.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{FaultKind, RuleSnapshot};

/// The counts of one rule of one plan.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) name: Arc<str>,
    pub(crate) kind: FaultKind,
    would_strike: AtomicU64,
    struck: AtomicU64,
    skipped: AtomicU64,
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Decided in a dry run.
    WouldStrike,
    /// Injected.
    Struck,
    /// Decided, and could not be done.
    Skipped,
}

impl Tally {
    pub(crate) const fn new(name: Arc<str>, kind: FaultKind) -> Self {
        Self {
            name,
            kind,
            would_strike: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        }
    }

    pub(crate) fn count(&self, end: End) {
        let counter = match end {
            End::WouldStrike => &self.would_strike,
            End::Struck => &self.struck,
            End::Skipped => &self.skipped,
        };
        // Relaxed, here and below: a count orders nothing.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> RuleSnapshot {
        RuleSnapshot {
            name: Arc::clone(&self.name),
            kind: self.kind,
            would_strike: self.would_strike.load(Ordering::Relaxed),
            struck: self.struck.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}
