//! Retries of an operation, without tower.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use steadfast_core::{Attempt, Classify, Deadline, TimeSource, Verdict, parts::Alarm};

use crate::{
    budget::Budget,
    idempotency::Idempotency,
    layer::{RetryLayer, Shared},
    policy::Outcome,
    replay::CloneReplay,
};

impl<C, X, I, M> RetryLayer<C, X, CloneReplay<I, M>> {
    /// Makes an operation, and makes it again as the layer sends a request again: the same rules,
    /// the same classifier, the same budget. The closure is told which attempt it makes.
    ///
    /// By default only what certainly was not executed is made again; [`idempotent`] gives the
    /// caller's word. The future holds clones of what it needs, so it can be spawned if those and
    /// `operation` can.
    ///
    /// ```
    /// use std::io;
    /// use steadfast_retry::RetryLayer;
    ///
    /// # let mut runtime = tokio::runtime::Builder::new_current_thread();
    /// # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let retry = RetryLayer::default().idempotent();
    /// let read = retry.run(|attempt| async move {
    ///     match attempt.number() {
    ///         1 | 2 => Err(io::Error::from(io::ErrorKind::TimedOut)),
    ///         number => Ok(number),
    ///     }
    /// });
    /// assert_eq!(read.await.unwrap(), 3);
    /// # });
    /// ```
    ///
    /// # Errors
    /// That of the last attempt.
    ///
    /// # Panics
    /// When `operation` does; where it is to be made again, outside a tokio runtime with time
    /// enabled.
    ///
    /// # Cancellation
    /// Dropping it drops the attempt that is under way, or the wait; a retry that was not begun is
    /// given back to the budget.
    ///
    /// [`idempotent`]: Self::idempotent
    pub fn run<T, E, F, Fut>(
        &self,
        operation: F,
    ) -> impl Future<Output = Result<T, E>> + use<C, X, I, M, T, E, F, Fut>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E> + Clone,
        I: Idempotency<()> + Clone,
    {
        self.runs().run(None, operation)
    }

    /// As [`run`](Self::run), and decides on no attempt that could not begin before the deadline.
    /// An attempt that is under way is not ended by it: give it to what the operation calls, or put
    /// a timeout round this.
    pub fn run_until<T, E, F, Fut>(
        &self,
        deadline: Deadline,
        operation: F,
    ) -> impl Future<Output = Result<T, E>> + use<C, X, I, M, T, E, F, Fut>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E> + Clone,
        I: Idempotency<()> + Clone,
    {
        self.runs().run(Some(deadline), operation)
    }

    fn runs(&self) -> Runs<C, I>
    where
        C: Clone,
        I: Clone,
    {
        Runs {
            shared: Arc::clone(&self.shared),
            budget: self.budget.clone(),
            classifier: self.classifier.clone(),
            idempotency: self.replay.idempotency().clone(),
        }
    }
}

/// What the attempts of one operation are judged and allowed by.
struct Runs<C, I> {
    shared: Arc<Shared>,
    budget: Budget,
    classifier: C,
    idempotency: I,
}

impl<C, I: Idempotency<()>> Runs<C, I> {
    async fn run<T, E, F, Fut>(self, deadline: Option<Deadline>, mut operation: F) -> Result<T, E>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let mut end = End { shared: &self.shared, outcome: Outcome::Cancelled };
        self.budget.deposit();
        let (mut attempt, mut previous) = (Attempt::FIRST, Duration::ZERO);
        loop {
            let output = operation(attempt).await;
            let verdict = self.classifier.classify(output.as_ref());
            if verdict == Verdict::Success {
                end.outcome = Outcome::Success;
                return output;
            }
            let is_idempotent = || self.idempotency.is_idempotent(&());
            let next = self.shared.next(
                &self.budget,
                (verdict, attempt),
                &mut previous,
                deadline,
                is_idempotent,
            );
            let (delay, withdrawal) = match next {
                Ok(next) => next,
                Err(outcome) => {
                    self.shared.telemetry.given_up(attempt, outcome, None);
                    end.outcome = outcome;
                    return output;
                }
            };
            self.shared.telemetry.retrying(attempt, delay);
            // What has failed may hold a connection, for which the next attempt waits.
            drop(output);
            wait(delay).await;
            withdrawal.spend();
            attempt = attempt.next();
        }
    }
}

/// Reports how a run has ended; one that is dropped was cancelled.
struct End<'a> {
    shared: &'a Shared,
    outcome: Outcome,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.shared.telemetry.ended(self.outcome);
    }
}

async fn wait(delay: Duration) {
    let mut alarm = pin!(Alarm::new());
    alarm.as_mut().set(Deadline::after(TimeSource::Tokio.now(), delay).instant());
    poll_fn(|cx| alarm.as_mut().poll(cx)).await;
}
