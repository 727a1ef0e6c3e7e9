//! When a closed circuit opens. Pure.

use std::num::NonZeroU32;

use steadfast_core::{Counts, Ratio};

use crate::state::Cause;

/// The rules by which a closed circuit opens. Any one of them is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TripRules {
    pub(crate) failure_ratio: Option<Ratio>,
    pub(crate) slow_ratio: Option<Ratio>,
    pub(crate) consecutive_failures: Option<NonZeroU32>,
    /// Below this many outcomes in the window no ratio says anything. Not for the consecutive rule.
    pub(crate) minimum_calls: u64,
}

impl TripRules {
    /// The rule that says open, if one does. A ratio opens when it is reached.
    pub(crate) fn judge(&self, counts: Counts, failures_in_a_row: u32) -> Option<Cause> {
        if self.consecutive_failures.is_some_and(|limit| failures_in_a_row >= limit.get()) {
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

    const RULES: TripRules = TripRules {
        failure_ratio: Some(Ratio::HALF),
        slow_ratio: Some(Ratio::ONE),
        consecutive_failures: NonZeroU32::new(5),
        minimum_calls: 10,
    };

    fn judge(total: u64, failures: u64, slow: u64, failures_in_a_row: u32) -> Option<Cause> {
        RULES.judge(Counts { total, failures, slow }, failures_in_a_row)
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
        assert_eq!(rules.judge(Counts { total: 100, failures: 0, slow: 0 }, 0), None);
        assert_eq!(
            rules.judge(Counts { total: 100, failures: 1, slow: 0 }, 0),
            Some(Cause::FailureRatio)
        );
    }
}
