//! One admission.

use std::{mem, sync::Arc};

use steadfast_core::{Verdict, parts::Lane};

use crate::{
    report::CallOutcome,
    shared::{Admission, Outcome, Shared},
};

/// A call that was let in. It owes the circuit one verdict; dropping it is the verdict "cancelled".
///
/// It carries the epoch it was let in under: what it says after the circuit has changed its state changes nothing. A cancelled call
/// counts for nothing, gives its place among the probes to another, and counts as slow if it had been under way
/// for longer than a slow call may take.
#[derive(Debug)]
#[must_use = "dropping a permit says that the call was cancelled"]
pub struct Permit {
    lane: Arc<Lane<Shared>>,
    admission: Admission,
    state: PermitState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermitState {
    Idle,
    /// The code of the service panicked.
    Panicked,
    Settled,
}

impl Permit {
    #[inline]
    pub(crate) const fn new(lane: Arc<Lane<Shared>>, admission: Admission) -> Self {
        Self { lane, admission, state: PermitState::Idle }
    }

    /// Says what became of the call.
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        self.settle(verdict);
    }

    #[inline]
    pub(crate) fn settle(&mut self, verdict: Verdict) {
        let (outcome, call) = match verdict {
            Verdict::Success => (Outcome::Success, CallOutcome::Success),
            // The service is healthy; the caller is not.
            Verdict::Permanent => (Outcome::Success, CallOutcome::Permanent),
            Verdict::Transient { .. } => (Outcome::Failure, CallOutcome::Failure),
            Verdict::Throttled { .. } => (Outcome::Throttled, CallOutcome::Throttled),
            Verdict::Ignored => (Outcome::Nothing { dropped: false }, CallOutcome::Ignored),
        };
        self.finish(outcome, call);
    }

    // Always: what is left of it for a plain success is a read of one word.
    #[inline(always)]
    fn finish(&mut self, outcome: Outcome, call: CallOutcome) {
        // A future polled again after it was ready must not speak twice.
        if self.state == PermitState::Settled {
            return;
        }
        self.state = PermitState::Settled;
        self.lane.settle(self.lane.index(), self.admission, outcome);
        self.lane.report.call(if self.admission.is_would_refuse() { CallOutcome::WouldRefuse } else { call });
    }

    #[cold]
    fn abandon(&mut self) {
        match self.state {
            PermitState::Settled => {}
            PermitState::Idle => self.finish(Outcome::Nothing { dropped: true }, CallOutcome::Cancelled),
            PermitState::Panicked => self.finish(Outcome::Failure, CallOutcome::Failure),
        }
    }

    /// Runs code of the service under this permit. If it panics, the call has failed: a service that panics is not healthy.
    #[inline]
    pub(crate) fn run<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(&mut self.state);
        let value = code();
        mem::forget(unwinding);
        value
    }
}

/// Dropped only by a panic: on the way of a success it costs nothing.
struct Unwinding<'a>(&'a mut PermitState);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if *self.0 == PermitState::Idle {
            *self.0 = PermitState::Panicked;
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.state != PermitState::Settled {
            self.abandon();
        }
    }
}
