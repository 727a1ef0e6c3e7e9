//! The future of a call.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use steadfast_core::Classify;
use tower_service::Service;

use super::{
    answers::Answers,
    driver::{Driver, Event},
    error::CallError,
    telemetry::Outcome,
};
use crate::Decision;

/// The future of a [`QuorumCall`](crate::QuorumCall): the answers, at the earliest moment at which
/// a quorum has said yes or none can any more.
///
/// Dropping it cancels the calls of nodes that are under way, or [detaches](crate::OnDecided) them.
pub struct QuorumFuture<S: Service<Req>, Req, C, D, const WORDS: usize = 1> {
    driver: Driver<S, Req, C, D, WORDS>,
}

impl<S: Service<Req>, Req, C, D, const WORDS: usize> QuorumFuture<S, Req, C, D, WORDS> {
    pub(super) const fn new(driver: Driver<S, Req, C, D, WORDS>) -> Self {
        Self { driver }
    }
}

impl<S, Req, C, D, const WORDS: usize> Future for QuorumFuture<S, Req, C, D, WORDS>
where
    S: Service<Req>,
    Req: Clone,
    C: Classify<S::Response, S::Error>,
{
    type Output =
        Result<Answers<S::Response, S::Error, WORDS>, CallError<S::Response, S::Error, WORDS>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let driver = &mut self.driver;
        // It would be counted a second time, and won without an answer.
        assert!(!driver.is_over(), "polled after it had ended");
        driver.begin();
        loop {
            let event = ready!(driver.poll_event(cx));
            let outcome = match (driver.decision(), event) {
                (Decision::Won, _) => Outcome::Won,
                (Decision::Lost, _) | (Decision::Pending, Event::AllAnswered) => Outcome::Lost,
                (Decision::Pending, Event::TimeIsOver) => Outcome::Incomplete,
                (Decision::Pending, Event::Answered) => continue,
            };
            driver.settle(outcome);
            let answers = driver.finish();
            return Poll::Ready(match outcome {
                Outcome::Won => Ok(answers),
                Outcome::Incomplete => Err(CallError::incomplete(answers)),
                Outcome::Lost | Outcome::Cancelled => Err(CallError::lost(answers, driver.rule())),
            });
        }
    }
}

impl<S: Service<Req>, Req, C, D, const WORDS: usize> fmt::Debug
    for QuorumFuture<S, Req, C, D, WORDS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumFuture")
            .field("decision", &self.driver.decision())
            .finish_non_exhaustive()
    }
}
