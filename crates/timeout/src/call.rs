//! One call, from when it begins to wait to its one outcome.

use std::{
    fmt, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{Deadline, Verdict, parts::Lane};

use crate::{
    error::Elapsed,
    shared::{CLOCK, Shared},
    telemetry::Outcome,
};

/// What the panic says when a future is polled that has returned its output.
const AFTER_ITS_END: &str = "polled after it had ended";

/// Owes the limit exactly one outcome. Dropped without one, the call was cancelled.
pub(crate) struct Call {
    limit: Arc<Lane<Shared>>,
    deadline: Option<Deadline>,
    phase: Phase,
    is_retry: bool,
    /// While the inner future is being polled. Still set in `drop`, it has panicked.
    inside: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Not polled yet, or never found pending.
    Fresh,
    /// Waiting since `since`, for `limit` at most, which the deadline may have cut short.
    Waiting {
        since: Instant,
        limit: Duration,
        cut: bool,
    },
    /// The deadline had passed before the call.
    Refused,
    Ended,
}

impl Call {
    #[inline]
    pub(crate) const fn new(
        limit: Arc<Lane<Shared>>,
        deadline: Option<Deadline>,
        is_retry: bool,
    ) -> Self {
        Self { limit, deadline, phase: Phase::Fresh, is_retry, inside: false }
    }

    /// A call that is not made, because its deadline has passed.
    #[cold]
    pub(crate) fn refused(limit: Arc<Lane<Shared>>) -> Self {
        limit.telemetry.ended(Outcome::DeadlinePassed);
        Self { limit, deadline: None, phase: Phase::Refused, is_retry: false, inside: false }
    }

    #[inline]
    pub(crate) const fn enter(&mut self) {
        self.inside = true;
    }

    #[inline]
    pub(crate) const fn leave(&mut self) {
        self.inside = false;
    }

    /// The call has to wait. When it is to be given up, unless never.
    ///
    /// # Panics
    /// When the call has ended: a fused future, polled again, would begin a second one.
    pub(crate) fn wait(&mut self) -> Option<Instant> {
        assert!(!matches!(self.phase, Phase::Ended), "{AFTER_ITS_END}");
        if self.deadline.is_none() && self.limit.is_endless() {
            return None;
        }
        let now = CLOCK.now();
        let limit = self.limit.limit(now);
        self.limit.telemetry.limit_is(|| limit);
        let left = self.deadline.map_or(Duration::MAX, |deadline| deadline.remaining(now));
        let (cut, limit) = (left < limit, left.min(limit));
        self.phase = Phase::Waiting { since: now, limit, cut };
        Some(Deadline::after(now, limit).instant())
    }

    /// The call has ended by itself, and is judged by `judge` if its latency matters.
    #[inline(always)]
    pub(crate) fn completed(&mut self, judge: impl FnOnce() -> Verdict) {
        // Before the classifier runs, so that its panic is not counted as a cancellation too.
        let phase = mem::replace(&mut self.phase, Phase::Ended);
        self.limit.telemetry.ended(Outcome::Completed);
        if let Phase::Waiting { since, limit, cut } = phase
            && self.limit.learns()
            && judge() == Verdict::Success
        {
            self.sample(since, limit, cut);
        }
    }

    /// The time is over.
    ///
    /// # Panics
    /// When the call has ended, which leaves its timer set.
    pub(crate) fn timed_out(&mut self) -> Elapsed {
        let Phase::Waiting { since, limit, cut } = self.phase else { panic!("{AFTER_ITS_END}") };
        self.phase = Phase::Ended;
        // The timer has just fired: its instant is near enough, and saves reading the clock.
        let now = Deadline::after(since, limit).instant();
        if cut {
            self.limit.interrupted(now, limit);
        } else {
            self.limit.timeout(now, limit);
        }
        self.limit.show(now);
        self.limit.telemetry.ended(Outcome::TimedOut);
        self.limit.telemetry.timed_out(limit);
        Elapsed::after(limit)
    }

    /// The refusal of a call that was never made.
    ///
    /// # Panics
    /// When the call was made: its future was polled after it had ended.
    pub(crate) fn refusal(&mut self) -> Elapsed {
        assert!(matches!(self.phase, Phase::Refused), "{AFTER_ITS_END}");
        self.phase = Phase::Ended;
        Elapsed::before_the_call()
    }

    #[inline(never)]
    fn sample(&self, since: Instant, limit: Duration, cut: bool) {
        let now = CLOCK.now();
        let latency = now.saturating_duration_since(since);
        if latency <= limit {
            self.limit.success(now, latency, self.is_retry);
        } else if cut {
            self.limit.interrupted(now, limit);
        } else {
            self.limit.late(now, limit);
        }
        self.limit.show(now);
    }

    #[cold]
    #[inline(never)]
    fn cancelled(&self) {
        // A future that panicked was not slow.
        if let Phase::Waiting { since, limit, .. } = self.phase
            && self.limit.learns()
            && !self.inside
        {
            let now = CLOCK.now();
            // Beyond its limit the call waited only because its timer was not polled: the process
            // stood still.
            let waited = now.saturating_duration_since(since).min(limit);
            self.limit.interrupted(now, waited);
            self.limit.show(now);
        }
        self.limit.telemetry.ended(Outcome::Cancelled);
    }
}

impl Drop for Call {
    #[inline(always)]
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Fresh | Phase::Waiting { .. }) {
            self.cancelled();
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("limit", &self.limit.telemetry.name())
            .field("deadline", &self.deadline)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
