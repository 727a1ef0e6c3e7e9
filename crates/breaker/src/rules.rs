//! When a closed circuit opens. Pure.

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod simulated;

use std::num::NonZeroU32;

use steadfast_core::{Counts, Ratio};

use crate::state::Cause;

/// The rules by which a closed circuit opens. Any one of them is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TripRules {
    pub(crate) failure_ratio: Option<Ratio>,
    pub(crate) slow_ratio: Option<Ratio>,
    pub(crate) consecutive_failures: Option<ConsecutiveFailures>,
    /// Below this many outcomes in the window no ratio says anything. Not for the consecutive rule.
    pub(crate) minimum_calls: u64,
}

/// So many failures in a row, the last of which ended at least `span` nanoseconds after the first.
///
/// The number alone tells a dead service from chance: in a million calls of which 30 % fail, each
/// for itself, ten in a row are to be expected four times. It does not tell a dead service from a
/// pause: at 100 calls a second ten of them fail in a tenth of a second, and an open circuit would
/// refuse many more than have failed. That is what the span is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ConsecutiveFailures {
    pub(crate) limit: NonZeroU32,
    pub(crate) span: u64,
}

/// Failures with no success between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureRun {
    failures: u32,
    /// When the first of them ended, and the last.
    began: u64,
    latest: u64,
}

impl FailureRun {
    /// Takes in one failure that ended at `now`.
    pub(crate) fn extend(&mut self, now: u64) {
        if self.failures == 0 {
            *self = Self { failures: 0, began: now, latest: now };
        }
        self.failures = self.failures.saturating_add(1);
        // Clocks are read before the lock is taken, so failures may come in out of order.
        self.began = self.began.min(now);
        self.latest = self.latest.max(now);
    }

    /// A success has ended it.
    pub(crate) fn end(&mut self) {
        self.failures = 0;
    }

    pub(crate) const fn failures(self) -> u32 {
        self.failures
    }
}

impl ConsecutiveFailures {
    pub(crate) fn are_reached(self, run: FailureRun) -> bool {
        run.failures >= self.limit.get() && run.latest - run.began >= self.span
    }
}

impl TripRules {
    /// The rule that says open, if one does. A ratio opens when it is reached.
    pub(crate) fn judge(&self, counts: Counts, run: FailureRun) -> Option<Cause> {
        if self.consecutive_failures.is_some_and(|limit| limit.are_reached(run)) {
            return Some(Cause::ConsecutiveFailures);
        }
        if counts.total < self.minimum_calls {
            return None;
        }
        // A ratio of zero asks for one such call: a circuit must not open on successes alone.
        let reached = |ratio: Option<Ratio>, part| {
            part > 0 && ratio.is_some_and(|r| r.is_reached(part, counts.total))
        };
        if reached(self.failure_ratio, counts.failures) {
            Some(Cause::FailureRatio)
        } else if reached(self.slow_ratio, counts.slow) {
            Some(Cause::SlowCallRatio)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: ConsecutiveFailures =
        ConsecutiveFailures { limit: NonZeroU32::new(5).unwrap(), span: 500 };
    const RULES: TripRules = TripRules {
        failure_ratio: Some(Ratio::HALF),
        slow_ratio: Some(Ratio::ONE),
        consecutive_failures: Some(FIVE),
        minimum_calls: 10,
    };

    /// So many failures, the last of them `span` after the first.
    fn run(failures: u32, span: u64) -> FailureRun {
        let mut run = FailureRun::default();
        (0..failures).for_each(|n| run.extend(if n + 1 == failures { 1000 + span } else { 1000 }));
        run
    }

    fn judge(total: u64, failures: u64, slow: u64, failures_in_a_row: u32) -> Option<Cause> {
        RULES.judge(Counts { total, failures, slow }, run(failures_in_a_row, 500))
    }

    #[test]
    fn a_ratio_opens_when_it_is_reached() {
        assert_eq!(judge(10, 4, 0, 0), None);
        assert_eq!(judge(10, 5, 0, 0), Some(Cause::FailureRatio));
        assert_eq!(judge(10, 0, 9, 0), None);
        assert_eq!(judge(10, 0, 10, 0), Some(Cause::SlowCallRatio));
    }

    #[test]
    fn below_the_minimum_only_the_consecutive_rule_speaks() {
        assert_eq!(judge(9, 9, 9, 4), None);
        assert_eq!(judge(5, 5, 0, 5), Some(Cause::ConsecutiveFailures));
    }

    #[test]
    fn a_ratio_of_zero_does_not_open_on_successes() {
        let rules = TripRules { failure_ratio: Some(Ratio::ZERO), ..RULES };
        assert_eq!(rules.judge(Counts { total: 100, failures: 0, slow: 0 }, run(0, 0)), None);
        assert_eq!(
            rules.judge(Counts { total: 100, failures: 1, slow: 0 }, run(0, 0)),
            Some(Cause::FailureRatio)
        );
    }
}
