//! What came back, from whom, and when.

use std::{fmt, time::Duration};

use steadfast_core::Verdict;

use super::course::Course;
use crate::Nodes;

/// What one node answered.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answer<Res, Err> {
    /// The node.
    pub node: usize,
    /// Its response or its error.
    pub result: Result<Res, Err>,
    /// How the [classifier](crate::Plan::classify) judged it. [`Verdict::Success`] is a vote for yes, anything else one for
    /// no.
    pub verdict: Verdict,
    /// When it came, counted from the start of the call.
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
    /// Without the response or the error: what they hold may be secret.
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
    course: Course<WORDS>,
    present: Nodes<WORDS>,
    elapsed: Duration,
}

impl<Res, Err, const WORDS: usize> Answers<Res, Err, WORDS> {
    pub(super) const fn new(
        answers: Vec<Answer<Res, Err>>,
        course: Course<WORDS>,
        present: Nodes<WORDS>,
        elapsed: Duration,
    ) -> Self {
        Self { answers, course, present, elapsed }
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

    /// The errors, by node. A response that was judged a failure is no error: see [`all`](Self::all).
    pub fn errors(&self) -> impl Iterator<Item = (usize, &Err)> {
        self.answers.iter().filter_map(|answer| Some((answer.node, answer.result.as_ref().err()?)))
    }

    /// Who voted yes.
    #[must_use]
    pub const fn yes(&self) -> Nodes<WORDS> {
        self.course.yes()
    }

    /// Who voted no; those [absent](crate::QuorumCall::absent) from the call among them.
    #[must_use]
    pub const fn no(&self) -> Nodes<WORDS> {
        self.course.no()
    }

    /// Who was called and had not answered: cancelled or detached since, as it was [planned](crate::Plan::detach).
    #[must_use]
    pub fn out(&self) -> Nodes<WORDS> {
        self.course.out()
    }

    /// Who was not called.
    #[must_use]
    pub fn uncalled(&self) -> Nodes<WORDS> {
        self.present - self.course.called()
    }

    /// How long it took from the start of the call until it was decided.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The same without what the nodes said: who, and when, but no responses and no errors.
    pub(super) fn without_results<R, E>(self) -> Answers<R, E, WORDS> {
        let Self { course, present, elapsed, .. } = self;
        Answers { answers: Vec::new(), course, present, elapsed }
    }

    pub(super) const fn course(&self) -> &Course<WORDS> {
        &self.course
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
    /// Who did what, but for what nobody did: `{0, 1} failed, {2} still out, after 2s`.
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
        write!(f, "after {:?}", self.elapsed)
    }
}
