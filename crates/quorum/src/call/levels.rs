//! Results as they firm up.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use steadfast_core::Classify;
use tower_service::Service;

use super::{
    answers::{Answer, Answers},
    driver::{Driver, Event},
    error::CallError,
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
        f.debug_struct("Reached")
            .field("level", level)
            .field("answers", answers)
            .field("elapsed", elapsed)
            .finish()
    }
}

/// The levels of one call, as they are reached: one, quorum, all. Made by
/// [`QuorumCall::levels`](crate::QuorumCall::levels).
///
/// Ends with an error if the quorum cannot be reached, or not in time; the error holds what was
/// answered since the level before. After the quorum it ends at the deadline, without
/// [`Level::All`], and [`into_answers`](Self::into_answers) has what came last. A caller that knows
/// enough drops it: that cancels the calls of nodes that are still out, or
/// [detaches](crate::OnDecided) them. (R. Guerraoui, M. Pavlovic, D.-A. Seredinschi: *Incremental
/// Consistency Guarantees for Replicated Objects*, OSDI 2016.)
pub struct Levels<S: Service<Req>, Req, C, D, const WORDS: usize = 1> {
    driver: Driver<S, Req, C, D, WORDS>,
    /// The last level that was given out.
    reached: Option<Level>,
    /// Whether every node has answered.
    is_complete: bool,
    is_done: bool,
}

impl<S: Service<Req>, Req, C, D, const WORDS: usize> Levels<S, Req, C, D, WORDS> {
    pub(super) const fn new(driver: Driver<S, Req, C, D, WORDS>) -> Self {
        Self { driver, reached: None, is_complete: false, is_done: false }
    }

    /// Ends it, and takes what was answered since the last level. The calls of nodes that are still
    /// out are cancelled or detached.
    #[must_use]
    pub fn into_answers(mut self) -> Answers<S::Response, S::Error, WORDS> {
        self.stop()
    }

    pub(super) fn stop(&mut self) -> Answers<S::Response, S::Error, WORDS> {
        self.is_done = true;
        // The clock was last read in a poll that may be long ago.
        self.driver.begin();
        self.driver.finish()
    }

    fn reach(&mut self, level: Level) -> Reached<S::Response, S::Error> {
        self.reached = Some(level);
        self.is_done = level == Level::All;
        if level == Level::Quorum {
            self.driver.settle(Outcome::Won);
        }
        Reached { level, elapsed: self.driver.elapsed(), answers: self.driver.take_answers() }
    }

    /// The level that was reached and not given out.
    fn next_level(&self) -> Option<Level> {
        match self.reached {
            None if self.driver.yes() > 0 => Some(Level::One),
            // A rule by which no node at all is a quorum is won without a yes.
            None | Some(Level::One) if self.driver.decision() == Decision::Won => {
                Some(Level::Quorum)
            }
            Some(Level::Quorum) if self.is_complete => Some(Level::All),
            _ => None,
        }
    }
}

impl<S, Req, C, D, const WORDS: usize> Stream for Levels<S, Req, C, D, WORDS>
where
    S: Service<Req>,
    Req: Clone,
    C: Classify<S::Response, S::Error>,
{
    type Item = Result<Reached<S::Response, S::Error>, CallError<S::Response, S::Error, WORDS>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        this.driver.begin();
        loop {
            if let Some(level) = this.next_level() {
                return Poll::Ready(Some(Ok(this.reach(level))));
            }
            let event = ready!(this.driver.poll_event(cx));
            let outcome = match (this.driver.decision(), event) {
                (Decision::Won, Event::AllAnswered) => {
                    this.is_complete = true;
                    continue;
                }
                (Decision::Won, Event::TimeIsOver) => {
                    // What was answered since the quorum is kept for `into_answers`.
                    this.is_done = true;
                    this.driver.let_go();
                    return Poll::Ready(None);
                }
                (Decision::Won | Decision::Pending, Event::Answered) => continue,
                (Decision::Pending, Event::TimeIsOver) => Outcome::Incomplete,
                (Decision::Lost, _) | (Decision::Pending, Event::AllAnswered) => Outcome::Lost,
            };
            this.is_done = true;
            this.driver.settle(outcome);
            let answers = this.driver.finish();
            return Poll::Ready(Some(Err(match outcome {
                Outcome::Incomplete => CallError::incomplete(answers),
                _ => CallError::lost(answers, this.driver.rule()),
            })));
        }
    }
}

impl<S: Service<Req>, Req, C, D, const WORDS: usize> fmt::Debug for Levels<S, Req, C, D, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").field("reached", &self.reached).finish_non_exhaustive()
    }
}
