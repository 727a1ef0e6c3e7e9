//! Why a call came to nothing.

use std::{error::Error, fmt};

use steadfast_core::{ConfigError, Failure, Grounds, RefusalKind};

use super::answers::Answers;
use crate::{Nodes, Rule};

/// A call that did not get its quorum, with all that was answered until then.
///
/// Its source is its [`Grounds`], by which the layers further out know it. `Incomplete` is
/// *deadline exceeded*: the caller's time is over, and the nodes may be as well as ever; a breaker
/// round the call ignores it, and a retry takes it as final. `Lost` is what the nodes' failures
/// were: *unacceptable* if each was the caller's fault, *conflict* or *request timeout*, both
/// repeatable, if none counts against a node and some may pass, *too many* if each node had too
/// much to do, otherwise *unavailable*, and comes back when the first of them does. A no that the
/// classifier ignores, such as a node's own *deadline exceeded*, is left out of that; where the
/// call would not be lost without it, the whole is *deadline exceeded* as well. The request was not
/// executed only if that is certain of each node.
/// The errors of the nodes are not in the chain, for they are several: see [`Answers::errors`].
///
/// Where responses cannot be shared between threads, as bodies of HTTP mostly cannot, a `BoxError`
/// is made of [`without_results`](Self::without_results).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CallError<Res, Err, const WORDS: usize = 1> {
    /// So many nodes have failed that there can be no quorum any more. Reported as soon as that is
    /// certain.
    #[error("no quorum is possible any more: {answers}")]
    Lost {
        /// What was answered.
        answers: Answers<Res, Err, WORDS>,
        /// The facts, as any layer further out reads them.
        #[source]
        grounds: Grounds,
    },
    /// The deadline has passed before it was decided. With the nodes that were still out it might
    /// have been won.
    #[error("no quorum in time: {answers}")]
    Incomplete {
        /// What was answered.
        answers: Answers<Res, Err, WORDS>,
        /// The facts, as any layer further out reads them.
        #[source]
        grounds: Grounds,
    },
}

impl<Res, Err, const WORDS: usize> CallError<Res, Err, WORDS> {
    pub(super) fn lost(answers: Answers<Res, Err, WORDS>, rule: &dyn Rule<WORDS>) -> Self {
        let grounds = answers.progress().grounds(rule);
        Self::Lost { answers, grounds }
    }

    /// The only time that ends a call is the caller's: a call has no limit of its own, and knows of
    /// no latency to measure a deadline by.
    pub(super) fn incomplete(answers: Answers<Res, Err, WORDS>) -> Self {
        let grounds = answers.progress().grounds_of(RefusalKind::DeadlineExceeded);
        Self::Incomplete { answers, grounds }
    }

    /// What was answered.
    #[must_use]
    pub const fn answers(&self) -> &Answers<Res, Err, WORDS> {
        let (Self::Lost { answers, .. } | Self::Incomplete { answers, .. }) = self;
        answers
    }

    /// What was answered, taken out.
    #[must_use]
    pub fn into_answers(self) -> Answers<Res, Err, WORDS> {
        let (Self::Lost { answers, .. } | Self::Incomplete { answers, .. }) = self;
        answers
    }

    /// The same without the responses and the errors of the nodes: only which nodes failed or were
    /// out, and when.
    #[must_use]
    pub fn without_results(self) -> CallError<(), (), WORDS> {
        match self {
            Self::Lost { answers, grounds } => {
                CallError::Lost { answers: answers.without_results(), grounds }
            }
            Self::Incomplete { answers, grounds } => {
                CallError::Incomplete { answers: answers.without_results(), grounds }
            }
        }
    }

    /// The facts, as any layer further out reads them.
    #[must_use]
    pub const fn grounds(&self) -> Grounds {
        let (Self::Lost { grounds, .. } | Self::Incomplete { grounds, .. }) = self;
        *grounds
    }
}

impl<Res, Err, const WORDS: usize> fmt::Debug for CallError<Res, Err, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Lost { .. } => "Lost",
            Self::Incomplete { .. } => "Incomplete",
        };
        f.debug_struct(name)
            .field("answers", self.answers())
            .field("grounds", &self.grounds())
            .finish()
    }
}

impl<Res: 'static, Err: 'static, const WORDS: usize> Failure for CallError<Res, Err, WORDS> {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

/// Why there can be no such call, told where it is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError<const WORDS: usize = 1> {
    /// The config cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A rule without members: there would be no node to call.
    #[error("the rule has no members")]
    NoMembers,
    /// Two services for one node, which would vote twice.
    #[error("node {node} has two services")]
    NodeTwice {
        /// The node.
        node: usize,
    },
    /// A service for a node that is no member of the rule, so that its answer would not count.
    #[error("node {node} is no member of the rule")]
    Stranger {
        /// The node.
        node: usize,
    },
    /// Members without a service, which would never answer.
    #[error("members {nodes} have no service")]
    Missing {
        /// The members.
        nodes: Nodes<WORDS>,
    },
    /// The rule takes every node there can be for a member, as one does that does not say its
    /// [members](crate::Rule::members), and there are services for some of them only.
    #[error(
        "each of the {} nodes there can be is a member of the rule, and {nodes} have no service: \
         has the rule no `members` of its own?",
        Nodes::<WORDS>::CAPACITY
    )]
    MembersUnsaid {
        /// The nodes without a service.
        nodes: Nodes<WORDS>,
    },
}
