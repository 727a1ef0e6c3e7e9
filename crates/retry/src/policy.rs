//! Whether a failed attempt is followed by another, and when. No clock, no chance of its own, no
//! I/O.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use rand::{Rng, RngExt};
use steadfast_core::{Attempt, Backoff, Deadline, Executed, Pushback, Verdict, parts::Labels};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The verdict was success, at whichever attempt.
    Success,
    /// A failure that no retry would mend: permanent, ignored, or of the service's readiness.
    Failed,
    /// The last attempt failed too.
    AttemptsExhausted,
    /// The budget did not cover another attempt.
    BudgetExhausted,
    /// The request may have been executed and is not idempotent, or it could not be had a second
    /// time.
    NotRepeatable,
    /// The next attempt would have begun at the deadline or after it.
    Deadline,
    /// The service asked for a longer wait than is allowed, or not to be asked again.
    RetryAfter,
    /// The call was dropped before it ended.
    Cancelled,
}

impl Labels for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Success,
        Self::Failed,
        Self::AttemptsExhausted,
        Self::BudgetExhausted,
        Self::NotRepeatable,
        Self::Deadline,
        Self::RetryAfter,
        Self::Cancelled,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::BudgetExhausted => "budget_exhausted",
            Self::NotRepeatable => "not_repeatable",
            Self::Deadline => "deadline",
            Self::RetryAfter => "retry_after",
            Self::Cancelled => "cancelled",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// What a retry takes from the budget, by the failure it answers.
///
/// 1 each by default, which makes the budget's bound one of attempts. A failure that may have cost
/// the service its full work, such as a timeout, can be made dearer; the bound then holds for the
/// sum of the costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// After a failure that was not executed.
    pub not_executed: NonZeroU32,
    /// After a failure that may have been executed.
    pub maybe_executed: NonZeroU32,
    /// After the service had too much to do.
    pub throttled: NonZeroU32,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            not_executed: NonZeroU32::MIN,
            maybe_executed: NonZeroU32::MIN,
            throttled: NonZeroU32::MIN,
        }
    }
}

/// The rules of retrying, as plain data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) attempts: NonZeroU32,
    pub(crate) backoff: Backoff,
    pub(crate) retry_after_limit: Duration,
    pub(crate) costs: Costs,
}

impl Policy {
    /// Whether no request is ever sent again.
    #[inline]
    pub(crate) fn is_single(&self) -> bool {
        self.attempts == NonZeroU32::MIN
    }

    /// Whether the failure of `attempt` may be answered with a retry, and what that costs.
    pub(crate) fn permits(
        &self,
        verdict: Verdict,
        attempt: Attempt,
        is_idempotent: impl FnOnce() -> bool,
    ) -> Result<NonZeroU32, Outcome> {
        let (cost, is_safe) = match verdict {
            Verdict::Success => return Err(Outcome::Success),
            Verdict::Permanent | Verdict::Ignored => return Err(Outcome::Failed),
            Verdict::Transient { pushback: Pushback::Never, .. }
            | Verdict::Throttled { pushback: Pushback::Never, .. } => {
                return Err(Outcome::RetryAfter);
            }
            Verdict::Transient { executed, .. } | Verdict::Repeatable { executed, .. } => {
                match executed {
                    Executed::No => (self.costs.not_executed, true),
                    Executed::Maybe => (self.costs.maybe_executed, false),
                }
            }
            Verdict::Throttled { executed, .. } => (self.costs.throttled, executed == Executed::No),
        };
        if attempt.number() >= self.attempts.get() {
            return Err(Outcome::AttemptsExhausted);
        }
        if is_safe || is_idempotent() { Ok(cost) } else { Err(Outcome::NotRepeatable) }
    }

    /// How long to wait after the failure of `attempt`: what the service asked for, and on top of
    /// it the backoff, or a draw from up to half of what was asked, whichever is longer. Clients
    /// that were told the same moment would otherwise all come back in it, or within a backoff that
    /// is short beside it, and perhaps constant. `previous` is the backoff drawn before, and
    /// becomes the new one.
    pub(crate) fn wait(
        &self,
        retry_after: Option<Duration>,
        attempt: Attempt,
        previous: &mut Duration,
        rng: &mut impl Rng,
    ) -> Result<Duration, Outcome> {
        let asked = retry_after.unwrap_or(Duration::ZERO);
        if asked > self.retry_after_limit {
            return Err(Outcome::RetryAfter);
        }
        *previous = self.backoff.delay(attempt.number() - 1, *previous, rng);
        Ok(asked.saturating_add((*previous).max(spread(asked, rng))))
    }
}

/// Uniform from nothing to half of what was asked. Draws nothing when nothing was asked.
fn spread(asked: Duration, rng: &mut impl Rng) -> Duration {
    // What does not fit is 584 years.
    match u64::try_from(asked.as_nanos() / 2).unwrap_or(u64::MAX) {
        0 => Duration::ZERO,
        most => Duration::from_nanos(rng.random_range(0..=most)),
    }
}

/// Whether an attempt that begins `delay` after `now` begins before the deadline.
pub(crate) fn is_in_time(deadline: Option<Deadline>, now: Instant, delay: Duration) -> bool {
    deadline.is_none_or(|deadline| deadline.remaining(now) > delay)
}

#[cfg(test)]
mod tests {
    use steadfast_core::parts::Splitter;

    use super::*;

    const POLICY: Policy = Policy {
        attempts: NonZeroU32::new(3).unwrap(),
        backoff: Backoff::NONE,
        retry_after_limit: Duration::from_secs(30),
        costs: Costs {
            not_executed: NonZeroU32::MIN,
            maybe_executed: NonZeroU32::new(2).unwrap(),
            throttled: NonZeroU32::new(3).unwrap(),
        },
    };

    fn permits(verdict: Verdict, is_idempotent: bool) -> Result<u32, Outcome> {
        POLICY.permits(verdict, Attempt::FIRST, || is_idempotent).map(NonZeroU32::get)
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let throttled = Verdict::throttled();
        for is_idempotent in [false, true] {
            assert_eq!(permits(Verdict::Success, is_idempotent), Err(Outcome::Success));
            assert_eq!(permits(Verdict::Permanent, is_idempotent), Err(Outcome::Failed));
            assert_eq!(permits(Verdict::Ignored, is_idempotent), Err(Outcome::Failed));
            assert_eq!(permits(Verdict::transient(Executed::No), is_idempotent), Ok(1));
            assert_eq!(permits(throttled, is_idempotent), Ok(3));
        }
        assert_eq!(permits(Verdict::transient(Executed::Maybe), true), Ok(2));
        assert_eq!(
            permits(Verdict::transient(Executed::Maybe), false),
            Err(Outcome::NotRepeatable)
        );
    }

    #[test]
    fn what_is_repeatable_is_repeated_like_a_transient_failure() {
        let repeatable = |executed| Verdict::Repeatable { executed, retry_after: None };
        assert_eq!(permits(repeatable(Executed::No), false), Ok(1));
        assert_eq!(permits(repeatable(Executed::Maybe), true), Ok(2));
        assert_eq!(permits(repeatable(Executed::Maybe), false), Err(Outcome::NotRepeatable));
    }

    #[test]
    fn a_service_that_asks_not_to_be_asked_again_is_not() {
        let pushback = Pushback::Never;
        for executed in [Executed::No, Executed::Maybe] {
            for verdict in [
                Verdict::Transient { executed, pushback },
                Verdict::Throttled { executed, pushback },
            ] {
                assert_eq!(permits(verdict, true), Err(Outcome::RetryAfter));
            }
        }
    }

    #[test]
    fn attempts_are_counted_from_the_first() {
        let verdict = Verdict::transient(Executed::No);
        let second = Attempt::FIRST.next();
        assert!(POLICY.permits(verdict, second, || true).is_ok());
        assert_eq!(
            POLICY.permits(verdict, second.next(), || true),
            Err(Outcome::AttemptsExhausted)
        );
    }

    #[test]
    fn retry_after_is_a_lower_bound_for_the_wait_and_has_an_upper_one_itself() {
        let backoff = Backoff::constant(Duration::from_secs(1)).unwrap();
        let policy = Policy { backoff, ..POLICY };
        let (mut rng, mut previous) = (Splitter::seeded(1).split(), Duration::ZERO);
        let mut wait = |asked: Option<u64>| {
            policy.wait(asked.map(Duration::from_secs), Attempt::FIRST, &mut previous, &mut rng)
        };
        assert_eq!(wait(None), Ok(Duration::from_secs(1)));
        assert_eq!(wait(Some(0)), Ok(Duration::from_secs(1)));
        let spread: Vec<_> = (0..1000).map(|_| wait(Some(30)).unwrap()).collect();
        assert!(
            spread.iter().all(|wait| (31..=45).contains(&wait.as_secs())),
            "the backoff at least, half of it at most"
        );
        assert_eq!(wait(Some(31)), Err(Outcome::RetryAfter));
        assert_eq!(wait(Some(u64::MAX)), Err(Outcome::RetryAfter));
    }

    #[test]
    fn clients_told_the_same_moment_are_spread_in_proportion_whatever_the_backoff() {
        let short =
            Backoff::exponential(Duration::from_millis(1), Duration::from_millis(1)).unwrap();
        for backoff in [Backoff::NONE, Backoff::constant(Duration::from_millis(1)).unwrap(), short]
        {
            let (policy, splitter) = (Policy { backoff, ..POLICY }, Splitter::seeded(7));
            for asked in
                [Duration::from_millis(100), Duration::from_secs(2), Duration::from_secs(30)]
            {
                let wait = || {
                    policy.wait(
                        Some(asked),
                        Attempt::FIRST,
                        &mut Duration::default(),
                        &mut splitter.split(),
                    )
                };
                let mut waits: Vec<_> = (0..1000).map(|_| wait().unwrap()).collect();
                waits.sort_unstable();
                assert!(waits[0] >= asked && waits[999] <= asked.mul_f64(1.5));
                assert!(waits[999] - waits[0] > asked.mul_f64(0.45), "{backoff:?} after {asked:?}");
                let median = waits[500] - asked;
                assert!(
                    (asked / 5..asked / 3).contains(&median),
                    "{backoff:?} after {asked:?}: {median:?}"
                );
            }
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn an_attempt_at_the_deadline_is_too_late() {
        let now = Instant::now();
        let deadline = Some(Deadline::after(now, Duration::from_secs(1)));
        assert!(is_in_time(deadline, now, Duration::from_millis(999)));
        assert!(!is_in_time(deadline, now, Duration::from_secs(1)));
        assert!(!is_in_time(deadline, now + Duration::from_secs(2), Duration::ZERO));
        assert!(!is_in_time(deadline, now, Duration::MAX));
        assert!(is_in_time(None, now, Duration::MAX));
    }
}
