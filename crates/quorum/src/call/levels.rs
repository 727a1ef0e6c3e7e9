//! Results as they firm up.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tower_service::Service;

use super::{
    answers::{Answer, Answers},
    drive::{Drive, Event},
    error::CallError,
    losers::Conduct,
    telemetry::Outcome,
};
use crate::Decision;

/// How firm a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One node has said yes: a first idea, which may be old.
    One,
    /// A quorum has.
    Quorum,
    /// Every node that was called has answered, or has failed.
    All,
}

/// A level that was reached.
#[non_exhaustive]
pub struct Reached<Res, Err> {
    /// The level.
    pub level: Level,
    /// What was answered since the level before.
    pub answers: Vec<Answer<Res, Err>>,
    /// How long it took from the start of the call.
    pub elapsed: Duration,
}

impl<Res, Err> fmt::Debug for Reached<Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, answers, elapsed } = self;
        f.debug_struct("Reached").field("level", level).field("answers", answers).field("elapsed", elapsed).finish()
    }
}

/// The levels of one call, as they are reached: one, quorum, all. Made by [`QuorumCall::levels`](crate::QuorumCall::levels).
///
/// Ends with an error if the quorum cannot be reached, or not in time; the error holds what was answered since the level
/// before. After the quorum it ends at the deadline, without [`Level::All`], and [`into_answers`](Self::into_answers) has
/// what came last. Whoever has heard enough drops it: that cancels the calls of nodes that are still out or detaches them,
/// as it was [planned](crate::Plan). (R. Guerraoui, M. Pavlovic, D.-A. Seredinschi: *Incremental Consistency Guarantees for
/// Replicated Objects*, OSDI 2016.)
pub struct Levels<S, Req, P, const WORDS: usize = 1>
where
    S: Service<Req>,
    P: Conduct<S, Req, WORDS>,
{
    drive: Drive<S, Req, P, WORDS>,
    /// The last level that was given out.
    reached: Option<Level>,
    /// Whether every node has answered.
    is_complete: bool,
    is_done: bool,
}

impl<S, Req, P, const WORDS: usize> Levels<S, Req, P, WORDS>
where
    S: Service<Req>,
    P: Conduct<S, Req, WORDS>,
{
    pub(super) const fn new(drive: Drive<S, Req, P, WORDS>) -> Self {
        Self { drive, reached: None, is_complete: false, is_done: false }
    }

    /// Ends it, and takes what was answered since the last level. Nodes that are still out are cancelled or detached, as it
    /// was planned.
    #[must_use]
    pub fn into_answers(mut self) -> Answers<S::Response, S::Error, WORDS> {
        self.stop()
    }

    pub(super) fn stop(&mut self) -> Answers<S::Response, S::Error, WORDS> {
        self.is_done = true;
        self.drive.finish()
    }

    fn reach(&mut self, level: Level) -> Reached<S::Response, S::Error> {
        self.reached = Some(level);
        self.is_done = level == Level::All;
        if level == Level::Quorum {
            self.drive.settle(Outcome::Won);
        }
        Reached { level, elapsed: self.drive.elapsed(), answers: self.drive.take_answers() }
    }

    /// The level that was reached and not given out.
    fn next_level(&self) -> Option<Level> {
        match self.reached {
            None if self.drive.yes() > 0 => Some(Level::One),
            // A quorum of nobody has nobody's yes.
            None | Some(Level::One) if self.drive.decision() == Decision::Won => Some(Level::Quorum),
            Some(Level::Quorum) if self.is_complete => Some(Level::All),
            _ => None,
        }
    }
}

impl<S, Req, P, const WORDS: usize> Stream for Levels<S, Req, P, WORDS>
where
    S: Service<Req>,
    Req: Clone,
    P: Conduct<S, Req, WORDS>,
{
    type Item = Result<Reached<S::Response, S::Error>, CallError<S::Response, S::Error, WORDS>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        this.drive.begin();
        loop {
            if let Some(level) = this.next_level() {
                return Poll::Ready(Some(Ok(this.reach(level))));
            }
            let event = ready!(this.drive.poll_event(cx));
            let (outcome, end): (_, fn(_) -> _) = match (this.drive.decision(), event) {
                (Decision::Won, Event::AllAnswered) => {
                    this.is_complete = true;
                    continue;
                }
                (Decision::Won, Event::TimeIsOver) => {
                    // What was answered since the quorum is kept for whoever takes it.
                    this.is_done = true;
                    this.drive.let_go();
                    return Poll::Ready(None);
                }
                (Decision::Won | Decision::Pending, Event::Answered) => continue,
                (Decision::Pending, Event::TimeIsOver) => (Outcome::Incomplete, CallError::incomplete),
                (Decision::Lost, _) | (Decision::Pending, Event::AllAnswered) => (Outcome::Lost, CallError::lost),
            };
            this.is_done = true;
            this.drive.settle(outcome);
            return Poll::Ready(Some(Err(end(this.drive.finish()))));
        }
    }
}

impl<S, Req, P, const WORDS: usize> fmt::Debug for Levels<S, Req, P, WORDS>
where
    S: Service<Req>,
    P: Conduct<S, Req, WORDS>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").field("reached", &self.reached).finish_non_exhaustive()
    }
}
