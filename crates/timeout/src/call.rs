//! One call, from when it begins to wait to its one outcome.

use std::{
    fmt, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{Deadline, Verdict, parts::Lane};

use crate::{
    error::Elapsed,
    explorers::Exploration,
    shared::{CLOCK, Shared},
    telemetry::Outcome,
};

/// What the panic says when a future is polled that has returned its output.
const AFTER_ITS_END: &str = "polled after it had ended";

/// A failure that comes with less than this left came at the deadline: a header tells the peer of
/// whole milliseconds, rounded down, and timers are a millisecond wide.
const NEAR: Duration = Duration::from_millis(1);

/// Owes the limit exactly one outcome. Dropped without one, the call was cancelled.
pub(crate) struct Call {
    limit: Arc<Lane<Shared>>,
    deadline: Option<Deadline>,
    phase: Phase,
    is_retry: bool,
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
    /// Waiting since `since`, beyond its limit.
    Exploring {
        since: Instant,
        exploration: Exploration,
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
        Self { limit, deadline, phase: Phase::Fresh, is_retry }
    }

    /// A call that is not made, because its deadline has passed.
    #[cold]
    pub(crate) fn refused(limit: Arc<Lane<Shared>>) -> Self {
        limit.telemetry.ended(Outcome::DeadlinePassed);
        Self { limit, deadline: None, phase: Phase::Refused, is_retry: false }
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
        self.limit.shows(limit);
        let left = self.deadline.map_or(Duration::MAX, |deadline| deadline.remaining(now));
        let (cut, limit) = (left < limit, left.min(limit));
        self.phase = Phase::Waiting { since: now, limit, cut };
        Some(Deadline::after(now, limit).instant())
    }

    /// The call's timer has rung. When it is to be given up instead, if it may go on.
    #[cold]
    pub(crate) fn go_on(&mut self) -> Option<Instant> {
        let Phase::Waiting { since, limit, cut: false } = self.phase else { return None };
        let most = self.deadline.map_or(Duration::MAX, |deadline| deadline.remaining(since));
        let exploration = self.limit.expired(since, limit, most)?;
        self.phase = Phase::Exploring { since, exploration };
        Some(Deadline::after(since, exploration.until).instant())
    }

    /// The call has ended by itself, and is judged by `judge` if that matters. Whether it failed
    /// just as its deadline was over: then it has [timed out](Self::timed_out) instead.
    #[inline(always)]
    pub(crate) fn completed(&mut self, judge: impl FnOnce() -> Verdict) -> bool {
        let matters = match self.phase {
            Phase::Waiting { .. } => {
                self.limit.learns() || self.deadline.is_some() && self.limit.judges()
            }
            Phase::Exploring { .. } => true,
            _ => false,
        };
        if matters {
            // Should the classifier panic, the call is dropped without an outcome, and counts as
            // cancelled.
            let verdict = judge();
            return self.judged(verdict);
        }
        self.phase = Phase::Ended;
        self.limit.telemetry.ended(Outcome::Completed);
        false
    }

    #[inline(never)]
    fn judged(&mut self, verdict: Verdict) -> bool {
        let (since, limit) = match self.phase {
            Phase::Waiting { since, limit, .. } => (since, limit),
            Phase::Exploring { since, exploration } => {
                self.phase = Phase::Ended;
                self.limit.telemetry.ended(Outcome::Completed);
                self.limit.explored(since, &exploration, verdict == Verdict::Success);
                return false;
            }
            _ => return false,
        };
        if verdict.is_failure() && self.fails_at_the_deadline(since) {
            return true;
        }
        self.phase = Phase::Ended;
        self.limit.telemetry.ended(Outcome::Completed);
        match verdict {
            Verdict::Success if self.limit.learns() => self.sample(since, limit),
            Verdict::Permanent | Verdict::Repeatable { .. } => self.limit.replied(),
            _ => {}
        }
        false
    }

    /// Whether a failure comes when the deadline is over, or so near to it that the failure is the
    /// deadline's own: the service has the same one, or was told of it.
    fn fails_at_the_deadline(&mut self, since: Instant) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let now = CLOCK.now();
        let is_over = deadline.remaining(now) < NEAR;
        if is_over {
            let limit = now.saturating_duration_since(since);
            self.phase = Phase::Waiting { since, limit, cut: true };
        }
        is_over
    }

    /// The time is over.
    ///
    /// # Panics
    /// When the call has ended, which leaves its timer set.
    pub(crate) fn timed_out(&mut self) -> Elapsed {
        let phase = mem::replace(&mut self.phase, Phase::Ended);
        let (since, elapsed) = match phase {
            Phase::Waiting { limit, cut: true, .. } => return self.cut_short(limit),
            Phase::Waiting { since, limit, .. } => (since, Elapsed::after(limit)),
            Phase::Exploring { since, exploration } => {
                self.limit.explored_in_vain(since, &exploration);
                let explored = exploration.length();
                (since, Elapsed::after(exploration.limit).with_explored(explored))
            }
            Phase::Fresh | Phase::Refused | Phase::Ended => panic!("{AFTER_ITS_END}"),
        };
        let Elapsed { limit, explored, .. } = elapsed;
        // The timer has just fired: its instant is near enough, and saves reading the clock.
        self.limit.show(Deadline::after(since, limit + explored).instant());
        self.failed(elapsed)
    }

    /// The caller's deadline has cut the call after it had waited for `waited`.
    fn cut_short(&self, waited: Duration) -> Elapsed {
        // Read, because the timer may have been polled late: a run of cuts that began in the past
        // would be taken for a long one.
        if self.limit.cut(CLOCK.now(), waited) {
            return self.failed(Elapsed::after(waited));
        }
        self.limit.telemetry.ended(Outcome::DeadlineCut);
        self.limit.telemetry.deadline_cut(waited);
        self.by_name(Elapsed::at_the_deadline(waited))
    }

    /// The service has not answered in time.
    fn failed(&self, elapsed: Elapsed) -> Elapsed {
        self.limit.telemetry.ended(Outcome::TimedOut);
        self.limit.telemetry.timed_out(elapsed.limit, elapsed.explored);
        self.by_name(elapsed)
    }

    fn by_name(&self, elapsed: Elapsed) -> Elapsed {
        elapsed.with_handle(self.limit.telemetry.handle())
    }

    /// The refusal of a call that was never made.
    ///
    /// # Panics
    /// When the call was made: its future was polled after it had ended.
    pub(crate) fn refusal(&mut self) -> Elapsed {
        assert!(matches!(self.phase, Phase::Refused), "{AFTER_ITS_END}");
        self.phase = Phase::Ended;
        self.by_name(Elapsed::before_the_call())
    }

    #[inline(never)]
    fn sample(&self, since: Instant, limit: Duration) {
        let now = CLOCK.now();
        let latency = now.saturating_duration_since(since);
        if latency <= limit {
            self.limit.success(now, latency, self.is_retry);
        } else {
            self.limit.late();
        }
        self.limit.show(now);
    }

    /// What a caller's own patience ends is no sample: it says nothing of the latency, and an
    /// explorer only gives its place back.
    #[cold]
    #[inline(never)]
    fn cancelled(&self) {
        if let Phase::Exploring { since, exploration } = &self.phase {
            self.limit.exploring_ended(*since, exploration);
        }
        self.limit.telemetry.ended(Outcome::Cancelled);
    }
}

impl Drop for Call {
    #[inline(always)]
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Refused | Phase::Ended) {
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
