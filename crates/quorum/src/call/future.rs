//! The future of a call.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tower_service::Service;

use super::{
    answers::Answers,
    drive::{Drive, Event},
    error::CallError,
    losers::Conduct,
    telemetry::Outcome,
};
use crate::Decision;

/// The future of a [`QuorumCall`](crate::QuorumCall): the answers, at the earliest moment at which a quorum has said yes or
/// none can any more.
///
/// Dropping it cancels the calls of nodes or detaches them, as it was [planned](crate::Plan).
pub struct QuorumFuture<S, Req, P, const WORDS: usize = 1>
where
    S: Service<Req>,
    P: Conduct<S, Req, WORDS>,
{
    drive: Drive<S, Req, P, WORDS>,
}

impl<S, Req, P, const WORDS: usize> QuorumFuture<S, Req, P, WORDS>
where
    S: Service<Req>,
    P: Conduct<S, Req, WORDS>,
{
    pub(super) const fn new(drive: Drive<S, Req, P, WORDS>) -> Self {
        Self { drive }
    }
}

impl<S, Req, P, const WORDS: usize> Future for QuorumFuture<S, Req, P, WORDS>
where
    S: Service<Req>,
    Req: Clone,
    P: Conduct<S, Req, WORDS>,
{
    type Output = Result<Answers<S::Response, S::Error, WORDS>, CallError<S::Response, S::Error, WORDS>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let drive = &mut self.drive;
        drive.begin();
        loop {
            let event = ready!(drive.poll_event(cx));
            let (outcome, end): (_, fn(_) -> _) = match (drive.decision(), event) {
                (Decision::Won, _) => (Outcome::Won, Ok),
                (Decision::Lost, _) | (Decision::Pending, Event::AllAnswered) => {
                    (Outcome::Lost, |answers| Err(CallError::lost(answers)))
                }
                (Decision::Pending, Event::TimeIsOver) => {
                    (Outcome::Incomplete, |answers| Err(CallError::incomplete(answers)))
                }
                (Decision::Pending, Event::Answered) => continue,
            };
            drive.settle(outcome);
            return Poll::Ready(end(drive.finish()));
        }
    }
}

impl<S, Req, P, const WORDS: usize> fmt::Debug for QuorumFuture<S, Req, P, WORDS>
where
    S: Service<Req>,
    P: Conduct<S, Req, WORDS>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumFuture").field("decision", &self.drive.decision()).finish_non_exhaustive()
    }
}
