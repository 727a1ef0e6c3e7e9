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
    /// `None` once the verdict is given, so that dropping a settled permit is a look at one pointer.
    lane: Option<Arc<Lane<Shared>>>,
    admission: Admission,
    /// The code of the service panicked.
    panicked: bool,
}

impl Permit {
    #[inline(always)]
    pub(crate) fn new(lane: &Arc<Lane<Shared>>, admission: Admission) -> Self {
        Self { lane: Some(Arc::clone(lane)), admission, panicked: false }
    }

    /// A permit that owes nothing.
    #[inline(always)]
    pub(crate) const fn settled() -> Self {
        Self { lane: None, admission: Admission::NONE, panicked: false }
    }

    /// Hands over what this permit owes, and leaves a settled one.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Self {
        Self { lane: self.lane.take(), ..*self }
    }

    /// Says what became of the call.
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        self.settle(verdict);
    }

    // Always: what is left of it for a plain success is a read of one word. All the rest is out of line, and takes what it needs by
    // value: a permit whose address is taken lives in memory, and with it the future that holds it.
    #[inline(always)]
    pub(crate) fn settle(&mut self, verdict: Verdict) {
        // A future polled again after it was ready must not speak twice.
        let Some(lane) = self.lane.take() else { return };
        if verdict == Verdict::Success && lane.is_unchanged_by_success(self.admission) {
            lane.report.call(CallOutcome::Success);
        } else {
            settle(lane, self.admission, verdict);
        }
    }

    /// Runs code of the service under this permit. If it panics, the call has failed: a service that panics is not healthy.
    #[inline(always)]
    pub(crate) fn run<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(&mut self.panicked);
        let value = code();
        mem::forget(unwinding);
        value
    }
}

#[cold]
#[inline(never)]
#[expect(clippy::needless_pass_by_value, reason = "the caller has no more use for the lane")]
fn settle(lane: Arc<Lane<Shared>>, admission: Admission, verdict: Verdict) {
    let (outcome, call) = match verdict {
        Verdict::Success => (Outcome::Success, CallOutcome::Success),
        // The service is healthy; the caller is not.
        Verdict::Permanent => (Outcome::Success, CallOutcome::Permanent),
        Verdict::Repeatable { .. } => (Outcome::Success, CallOutcome::Repeatable),
        Verdict::Transient { .. } => (Outcome::Failure, CallOutcome::Failure),
        Verdict::Throttled { .. } => (Outcome::Throttled, CallOutcome::Throttled),
        Verdict::Ignored => (Outcome::Nothing { dropped: false }, CallOutcome::Ignored),
    };
    finish(&lane, admission, outcome, call);
}

#[cold]
#[inline(never)]
#[expect(clippy::needless_pass_by_value, reason = "the caller has no more use for the lane")]
fn abandon(lane: Arc<Lane<Shared>>, admission: Admission, panicked: bool) {
    if panicked {
        finish(&lane, admission, Outcome::Failure, CallOutcome::Failure);
    } else {
        finish(&lane, admission, Outcome::Nothing { dropped: true }, CallOutcome::Cancelled);
    }
}

fn finish(lane: &Lane<Shared>, admission: Admission, outcome: Outcome, call: CallOutcome) {
    lane.settle(lane.index(), admission, outcome);
    lane.report.call(if admission.is_would_refuse() { CallOutcome::WouldRefuse } else { call });
}

/// Dropped only by a panic: on the way of a success it costs nothing.
struct Unwinding<'a>(&'a mut bool);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        *self.0 = true;
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            abandon(lane, self.admission, self.panicked);
        }
    }
}
