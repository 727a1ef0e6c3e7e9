//! One call, over all its attempts.

use std::{sync::Arc, time::Duration};

use steadfast_core::{Attempt, Deadline, TimeSource, Verdict};

use crate::{
    budget::Withdrawal,
    lanes::Lane,
    layer::{RetryLayer, Shared},
    policy::{Outcome, is_in_time},
    replay::{CannotReplay, Ended, Replay},
};

/// What one call carries from attempt to attempt; `V` is what is kept of its request. Dropped
/// before it has ended, it counts as cancelled.
pub(crate) struct Call<S, C, X, P, V> {
    pub(crate) lane: Arc<Lane<S, RetryLayer<C, X, P>>>,
    saved: V,
    pub(crate) deadline: Option<Deadline>,
    attempt: Attempt,
    /// The backoff drawn before this attempt.
    previous: Duration,
    has_ended: bool,
}

/// An attempt that will be made after a wait.
pub(crate) struct Next<Q> {
    pub(crate) request: Q,
    pub(crate) delay: Duration,
    pub(crate) withdrawal: Withdrawal,
}

/// Why there is no further attempt, and why the request could not be had again if that is it.
type GivenUp = (Outcome, Option<CannotReplay>);

impl<S, C, X, P, V> Call<S, C, X, P, V> {
    #[inline(always)]
    pub(crate) fn new(
        lane: &Arc<Lane<S, RetryLayer<C, X, P>>>,
        saved: V,
        deadline: Option<Deadline>,
    ) -> Self {
        Self {
            lane: Arc::clone(lane),
            saved,
            deadline,
            attempt: Attempt::FIRST,
            previous: Duration::ZERO,
            has_ended: false,
        }
    }

    /// The call has ended.
    #[inline(always)]
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.has_ended = true;
        self.shared().telemetry.ended(outcome);
    }

    /// The call has ended with a failure that is given to the caller.
    pub(crate) fn give_up(&mut self, (outcome, why): GivenUp) {
        self.shared().telemetry.given_up(self.attempt, outcome, why);
        self.end(outcome);
    }

    /// Whether an attempt may still begin, `delay` from now. Reads no clock when there is no
    /// deadline.
    pub(crate) fn is_in_time(&self, delay: Duration) -> bool {
        self.deadline.is_none() || is_in_time(self.deadline, TimeSource::Tokio.now(), delay)
    }

    /// What follows an attempt that ended with `verdict`: another one, or the reason why there is
    /// none.
    ///
    /// The request is prepared before the wait, so that nothing can go wrong after it.
    pub(crate) fn after_failure<Req>(
        &mut self,
        verdict: Verdict,
        ended: Ended,
    ) -> Result<Next<P::Request>, GivenUp>
    where
        P: Replay<Req, Saved = V>,
    {
        let RetryLayer { shared, budget, replay, .. } = &self.lane.layer;
        let is_idempotent = || replay.is_idempotent(&self.saved);
        let (delay, withdrawal) = shared
            .next(budget, (verdict, self.attempt), &mut self.previous, self.deadline, is_idempotent)
            .map_err(|outcome| (outcome, None))?;
        let again = replay.again(&mut self.saved, self.attempt.next(), ended);
        // On an error the withdrawal is dropped, and so refunded.
        let request = again.map_err(|why| (Outcome::NotRepeatable, Some(why)))?;
        shared.telemetry.retrying(self.attempt, delay);
        self.attempt = self.attempt.next();
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
