//! One call, over all its attempts.

use std::{sync::Arc, time::Duration};

use rand::rngs::SmallRng;
use steadfast_core::{Attempt, Deadline, TimeSource, Verdict};

use crate::{
    budget::Withdrawal,
    lanes::Lane,
    layer::{RetryLayer, Shared},
    policy::{Outcome, Pace, is_in_time},
    replay::{CannotReplay, Ended, Replay},
};

/// What one call carries from attempt to attempt; `V` is what is kept of its request. Dropped
/// before it has ended, it counts as cancelled.
pub(crate) struct Call<S, C, X, P, V> {
    pub(crate) lane: Arc<Lane<S, RetryLayer<C, X, P>>>,
    saved: V,
    deadline: Option<Deadline>,
    attempt: Attempt,
    /// From the first failure on.
    pace: Option<Pace<SmallRng>>,
    has_ended: bool,
}

/// An attempt that will be made after a wait.
pub(crate) struct Next<Q> {
    pub(crate) request: Q,
    pub(crate) delay: Duration,
    pub(crate) withdrawal: Withdrawal,
}

impl<S, C, X, P, V> Call<S, C, X, P, V> {
    #[inline(always)]
    pub(crate) fn new(lane: &Arc<Lane<S, RetryLayer<C, X, P>>>, saved: V, deadline: Option<Deadline>) -> Self {
        Self { lane: Arc::clone(lane), saved, deadline, attempt: Attempt::FIRST, pace: None, has_ended: false }
    }

    /// The call has ended.
    #[inline(always)]
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.has_ended = true;
        self.shared().telemetry.ended(outcome);
    }

    /// The call has ended with a failure that is given to the caller.
    pub(crate) fn give_up(&mut self, outcome: Outcome, why: Option<CannotReplay>) {
        self.shared().telemetry.given_up(self.attempt, outcome, why);
        self.end(outcome);
    }

    pub(crate) const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Whether an attempt may still begin, `delay` from now. Reads no clock when there is no
    /// deadline.
    pub(crate) fn is_in_time(&self, delay: Duration) -> bool {
        self.deadline.is_none() || is_in_time(self.deadline, TimeSource::Tokio.now(), delay)
    }

    /// What follows an attempt that ended with `verdict`: another one, or nothing, and then the
    /// call has ended.
    ///
    /// The budget comes last of all questions, so that nothing is charged for a retry that is not
    /// made; and the request is prepared before the wait, so that nothing can go wrong after it.
    pub(crate) fn after_failure<Req>(&mut self, verdict: Verdict, ended: Ended) -> Option<Next<P::Request>>
    where
        P: Replay<Req, Saved = V>,
    {
        match self.try_next(verdict, ended) {
            Ok(next) => {
                self.shared().telemetry.retrying(self.attempt, next.delay);
                self.attempt = self.attempt.next();
                Some(next)
            }
            Err((outcome, why)) => {
                self.give_up(outcome, why);
                None
            }
        }
    }

    fn try_next<Req>(
        &mut self,
        verdict: Verdict,
        ended: Ended,
    ) -> Result<Next<P::Request>, (Outcome, Option<CannotReplay>)>
    where
        P: Replay<Req, Saved = V>,
    {
        let RetryLayer { shared, budget, replay, .. } = &self.lane.layer;
        let Shared { policy, splitter, .. } = &**shared;
        let given_up = |outcome| (outcome, None);
        let cost = policy.permits(verdict, self.attempt, || replay.is_idempotent(&self.saved)).map_err(given_up)?;
        let pace = self.pace.get_or_insert_with(|| Pace { rng: splitter.split(), previous: Duration::ZERO });
        let delay = policy.wait(verdict.retry_after(), self.attempt, pace).map_err(given_up)?;
        if !self.is_in_time(delay) {
            return Err(given_up(Outcome::Deadline));
        }
        let withdrawal = budget.try_withdraw(cost).map_err(|_| given_up(Outcome::BudgetExhausted))?;
        let again = replay.again(&mut self.saved, self.attempt.next(), ended);
        // On an error the withdrawal is dropped, and so refunded.
        let request = again.map_err(|why| (Outcome::NotRepeatable, Some(why)))?;
        Ok(Next { request, delay, withdrawal })
    }

    #[inline(always)]
    fn shared(&self) -> &Shared {
        &self.lane.layer.shared
    }
}

impl<S, C, X, P, V> Drop for Call<S, C, X, P, V> {
    #[inline]
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared().telemetry.ended(Outcome::Cancelled);
        }
    }
}
