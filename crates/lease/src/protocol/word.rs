//! The whole of a holder's state in one word.

use std::time::Duration;

use super::{Loss, Status, held};
use crate::terms::Margin;

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Released,
    Lost(Loss),
}

/// The deadline in nanoseconds, or how the lease ended. One word, so that threads which share it
/// never see the one without the other: a look that finds the deadline passed replaces it by the
/// loss, and from then on no renewal can move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u64);

const RELEASED: u64 = 0;
const UNANSWERED: u64 = 1;
const NOT_RENEWED: u64 = 2;
const TAKEN: u64 = 3;
const REVOKED: u64 = 4;
/// The first that is a deadline. What ends within 16 ns of its clock's beginning has ended.
const FIRST: u64 = 16;

impl Word {
    pub(crate) const fn until(deadline: u64) -> Self {
        Self(if deadline >= FIRST { deadline } else { UNANSWERED })
    }

    pub(crate) const fn deadline(self) -> Option<u64> {
        if self.0 >= FIRST { Some(self.0) } else { None }
    }

    pub(crate) const fn end(self) -> Option<End> {
        match self.0 {
            RELEASED => Some(End::Released),
            UNANSWERED => Some(End::Lost(Loss::Unanswered)),
            NOT_RENEWED => Some(End::Lost(Loss::NotRenewed)),
            TAKEN => Some(End::Lost(Loss::Taken)),
            REVOKED => Some(End::Lost(Loss::Revoked)),
            _ => None,
        }
    }

    /// The comparisons of `is_valid`. The first is for a clock that has just begun to count, and
    /// shows a time below the codes of the ends.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) const fn is_valid(self, now: u64) -> bool {
        self.0 >= FIRST && now < self.0
    }

    /// After a look at the clock.
    pub(crate) const fn at(self, now: u64, overdue: Loss) -> Self {
        match self.deadline() {
            Some(deadline) if now >= deadline => Self(code(End::Lost(overdue))),
            _ => self,
        }
    }

    /// After a renewal until `deadline`: never back, and not after the end.
    pub(crate) const fn moved_to(self, deadline: u64) -> Self {
        match self.deadline() {
            Some(until) if deadline > until => Self(deadline),
            _ => self,
        }
    }

    /// After an end. The first is the one that counts.
    pub(crate) const fn ended(self, end: End) -> Self {
        if self.deadline().is_some() { Self(code(end)) } else { self }
    }

    pub(crate) fn status(self, now: u64, ttl: Duration, margin: Margin, overdue: Loss) -> Status {
        let word = self.at(now, overdue);
        match (word.end(), word.deadline()) {
            (Some(End::Released), _) => Status::Released,
            (Some(End::Lost(loss)), _) => Status::Lost(loss),
            (None, Some(deadline)) => held(now, deadline, ttl, margin),
            // No word is neither: `until` makes none.
            (None, None) => Status::Lost(overdue),
        }
    }
}

const fn code(end: End) -> u64 {
    match end {
        End::Released => RELEASED,
        End::Lost(Loss::Unanswered) => UNANSWERED,
        End::Lost(Loss::NotRenewed) => NOT_RENEWED,
        End::Lost(Loss::Taken) => TAKEN,
        End::Lost(Loss::Revoked) => REVOKED,
    }
}
