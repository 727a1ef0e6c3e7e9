//! What the nodes answered, and when.

use std::{fmt, time::Duration};

use steadfast_core::{Verdict, parts::Rounded};

use super::progress::Progress;
use crate::Nodes;

/// What one node answered.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answer<Res, Err> {
    /// The node.
    pub node: usize,
    /// Its response or its error.
    pub result: Result<Res, Err>,
    /// How the [classifier](crate::QuorumCall::classify) judged it. [`Verdict::Success`] is a vote
    /// for yes, anything else one for no.
    pub verdict: Verdict,
    /// When it came, counted from the start of the call. Answers that one poll finds share one
    /// reading of the clock.
    pub after: Duration,
}

impl<Res, Err> Answer<Res, Err> {
    /// Whether it is a vote for yes.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        self.verdict == Verdict::Success
    }
}

impl<Res, Err> fmt::Debug for Answer<Res, Err> {
    /// Without the response and the error: what they hold may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, result, verdict, after } = self;
        let is_ok = result.is_ok();
        f.debug_struct("Answer")
            .field("node", node)
            .field("is_ok", &is_ok)
            .field("verdict", verdict)
            .field("after", after)
            .finish_non_exhaustive()
    }
}

/// What all nodes answered until a call was decided, in the order in which it came.
#[derive(Clone)]
pub struct Answers<Res, Err, const WORDS: usize = 1> {
    answers: Vec<Answer<Res, Err>>,
    progress: Progress<WORDS>,
    present: Nodes<WORDS>,
    elapsed: Duration,
}

impl<Res, Err, const WORDS: usize> Answers<Res, Err, WORDS> {
    pub(super) const fn new(
        answers: Vec<Answer<Res, Err>>,
        progress: Progress<WORDS>,
        present: Nodes<WORDS>,
        elapsed: Duration,
    ) -> Self {
        Self { answers, progress, present, elapsed }
    }

    /// Every answer.
    #[must_use]
    pub fn all(&self) -> &[Answer<Res, Err>] {
        &self.answers
    }

    /// The responses that are votes for yes, by node.
    pub fn replies(&self) -> impl Iterator<Item = (usize, &Res)> {
        let yes = self.answers.iter().filter(|answer| answer.is_yes());
        yes.filter_map(|answer| Some((answer.node, answer.result.as_ref().ok()?)))
    }

    /// The responses that are votes for yes, by node, taken out.
    pub fn into_replies(self) -> impl Iterator<Item = (usize, Res)> {
        let yes = self.answers.into_iter().filter(Answer::is_yes);
        yes.filter_map(|answer| Some((answer.node, answer.result.ok()?)))
    }

    /// The errors, by node. A response that was judged a failure is no error: see
    /// [`all`](Self::all).
    pub fn errors(&self) -> impl Iterator<Item = (usize, &Err)> {
        self.answers.iter().filter_map(|answer| Some((answer.node, answer.result.as_ref().err()?)))
    }

    /// The nodes that voted yes.
    #[must_use]
    pub const fn yes(&self) -> Nodes<WORDS> {
        self.progress.yes()
    }

    /// The nodes that voted no, those [absent](crate::QuorumCall::absent) from the call among them.
    #[must_use]
    pub const fn no(&self) -> Nodes<WORDS> {
        self.progress.no()
    }

    /// The nodes that were called and had not answered: cancelled since, or
    /// [detached](crate::OnDecided).
    #[must_use]
    pub fn out(&self) -> Nodes<WORDS> {
        self.progress.out()
    }

    /// The nodes that were not called.
    #[must_use]
    pub fn uncalled(&self) -> Nodes<WORDS> {
        self.present - self.progress.called()
    }

    /// How long it took from the start of the call until it was decided. Where an answer decided
    /// it, that is the time of the last one, [`Answer::after`]: a node whose poll blocks the thread
    /// is not counted if another has answered before it in the same poll of the call.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The same without responses and errors: only which nodes, and when.
    pub(super) fn without_results<R, E>(self) -> Answers<R, E, WORDS> {
        let Self { progress, present, elapsed, .. } = self;
        Answers { answers: Vec::new(), progress, present, elapsed }
    }

    pub(super) const fn progress(&self) -> &Progress<WORDS> {
        &self.progress
    }
}

impl<Res, Err, const WORDS: usize> IntoIterator for Answers<Res, Err, WORDS> {
    type Item = Answer<Res, Err>;
    type IntoIter = std::vec::IntoIter<Answer<Res, Err>>;

    /// Every answer.
    fn into_iter(self) -> Self::IntoIter {
        self.answers.into_iter()
    }
}

impl<Res, Err, const WORDS: usize> fmt::Debug for Answers<Res, Err, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("yes", &self.yes())
            .field("no", &self.no())
            .field("out", &self.out())
            .field("uncalled", &self.uncalled())
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

impl<Res, Err, const WORDS: usize> fmt::Display for Answers<Res, Err, WORDS> {
    /// Which nodes did what, without the groups that are empty: `{0, 1} failed, {2} still out,
    /// after 2 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            (self.yes(), "answered"),
            (self.no(), "failed"),
            (self.out(), "still out"),
            (self.uncalled(), "not called"),
        ];
        for (nodes, did) in groups.into_iter().filter(|(nodes, _)| !nodes.is_empty()) {
            write!(f, "{nodes} {did}, ")?;
        }
        write!(f, "after {}", Rounded(self.elapsed))
    }
}
