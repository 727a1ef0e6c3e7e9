//! What one body is told and tells, from its head to its end.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use steadfast_core::{
    Deadline,
    parts::{Alarm, Lane},
};

use super::error::Stalled;
use crate::{
    explorers::Exploration,
    shared::{CLOCK, Shared},
    telemetry::BodyEnd,
};

/// The waits of one body, which owes its limit exactly one outcome. Dropped without one, its reader
/// had no use for the rest.
pub(super) struct Watch {
    limit: Arc<Lane<Shared>>,
    whole: Option<Duration>,
    /// When the whole must have ended.
    end: Option<Instant>,
    /// Of a body of this side; its limit is set when it happens.
    stalled: Stalled,
    /// Where the layer reads that the body has stalled.
    tells: Option<Arc<OnceLock<Stalled>>>,
    /// Made at the first wait.
    alarm: Option<Pin<Box<Alarm>>>,
    phase: Phase,
    /// The longest wait so far that ended within its limit, unless there was none.
    longest: Option<Duration>,
    /// The longest of those that explored, which are samples already.
    told: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The reader does not wait.
    Idle,
    /// Waiting since `since`, for `limit` at most, which the end of the whole may have cut short.
    Waiting {
        since: Instant,
        limit: Duration,
        cut: bool,
    },
    /// Waiting since `since`, beyond the limit.
    Exploring {
        since: Instant,
        exploration: Exploration,
    },
    Over,
}

impl Watch {
    pub(super) fn new(
        limit: Arc<Lane<Shared>>,
        whole: Option<Duration>,
        stalled: Stalled,
        tells: Option<Arc<OnceLock<Stalled>>>,
    ) -> Self {
        let end = whole.map(|whole| Deadline::after(CLOCK.now(), whole).instant());
        let (alarm, phase) = (None, Phase::Idle);
        Self { limit, whole, end, stalled, tells, alarm, phase, longest: None, told: None }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The next frame has not come yet. What the body ends with, once it has waited for too long.
    #[inline(never)]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        if matches!(self.phase, Phase::Idle) {
            let Some(at) = self.wait() else { return Poll::Pending };
            self.alarm().set(at);
        }
        // Without an alarm only the frame ends the wait.
        let Some(alarm) = &mut self.alarm else { return Poll::Pending };
        ready!(alarm.as_mut().poll(cx));
        if let Some(at) = self.go_on() {
            self.alarm().set(at);
            ready!(self.alarm().poll(cx));
        }
        Poll::Ready(self.stall())
    }

    /// A frame has come, an end or an error.
    #[inline(always)]
    pub(super) fn came(&mut self, is_error: bool) {
        if !matches!(self.phase, Phase::Idle) {
            self.arrived(is_error);
        }
    }

    /// The body is at its end.
    pub(super) fn ended(&mut self) {
        if self.is_over() {
            return;
        }
        self.phase = Phase::Over;
        if let Some(longest) = self.longest
            && self.told.is_none_or(|told| told < longest)
        {
            let now = CLOCK.now();
            self.limit.success(now, longest, false);
            self.limit.show(now);
        }
        self.limit.telemetry.body_ended(BodyEnd::Ended);
    }

    /// The body has broken off.
    pub(super) fn failed(&mut self) {
        self.phase = Phase::Over;
        self.limit.telemetry.body_ended(BodyEnd::Failed);
    }

    fn alarm(&mut self) -> Pin<&mut Alarm> {
        self.alarm.get_or_insert_with(|| Box::pin(Alarm::new())).as_mut()
    }

    /// The reader has to wait. When it is to give up, unless never.
    fn wait(&mut self) -> Option<Instant> {
        if self.end.is_none() && self.limit.is_endless() {
            return None;
        }
        let now = CLOCK.now();
        let limit = self.limit.limit(now);
        self.limit.shows(limit);
        let left = self.left(now);
        let (cut, limit) = (left <= limit, left.min(limit));
        self.phase = Phase::Waiting { since: now, limit, cut };
        Some(Deadline::after(now, limit).instant())
    }

    /// The timer has rung. When the reader is to give up instead, if it may go on.
    #[cold]
    fn go_on(&mut self) -> Option<Instant> {
        let Phase::Waiting { since, limit, cut: false } = self.phase else { return None };
        let exploration = self.limit.expired(since, limit, self.left(since))?;
        self.phase = Phase::Exploring { since, exploration };
        Some(Deadline::after(since, exploration.until).instant())
    }

    /// What is left of the whole.
    fn left(&self, now: Instant) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(now))
    }

    #[inline(never)]
    fn arrived(&mut self, is_error: bool) {
        match self.phase {
            Phase::Waiting { since, limit, .. } if self.limit.learns() && !is_error => {
                let waited = CLOCK.now().saturating_duration_since(since);
                if waited <= limit {
                    self.longest = self.longest.max(Some(waited));
                } else {
                    // The reader came late, or the process stood still: how long the frame took is
                    // not known.
                    self.limit.late();
                }
            }
            Phase::Exploring { since, exploration } => {
                let waited = CLOCK.now().saturating_duration_since(since);
                self.limit.explored(since, &exploration, !is_error);
                if !is_error && waited <= exploration.until {
                    self.told = self.told.max(Some(waited));
                }
            }
            _ => {}
        }
        self.phase = Phase::Idle;
    }

    /// The time is over.
    #[cold]
    fn stall(&mut self) -> Stalled {
        let (limit, explored, whole) = match self.phase {
            Phase::Waiting { cut: true, .. } => (self.whole.unwrap_or_default(), None, true),
            Phase::Waiting { limit, .. } => (limit, None, false),
            Phase::Exploring { since, exploration } => {
                self.limit.explored_in_vain(since, &exploration);
                (exploration.limit, Some(exploration.length()), false)
            }
            Phase::Idle | Phase::Over => (Duration::ZERO, None, false),
        };
        self.phase = Phase::Over;
        let explored = explored.unwrap_or_default();
        let stalled = Stalled { limit, explored, whole, ..self.stalled }
            .with_handle(self.limit.telemetry.handle());
        if let Some(tells) = &self.tells {
            // It is written once: the body is over.
            let _ = tells.set(stalled);
        }
        let end = if whole { BodyEnd::Overdue } else { BodyEnd::Stalled };
        self.limit.telemetry.body_ended(end);
        self.limit.telemetry.stalled(&stalled);
        self.limit.show(CLOCK.now());
        stalled
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Phase::Exploring { since, exploration } = &self.phase {
            self.limit.exploring_ended(*since, exploration);
        }
        if !self.is_over() {
            self.limit.telemetry.body_ended(BodyEnd::Dropped);
        }
    }
}
