//! What becomes of the calls that nobody waits for any more.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use steadfast_core::{Classify, Deadline, RequestContext, Verdict};
use tower_service::Service;

use super::{plan::Plan, slots::Slots};

/// The calls of nodes that are still under way when a call is decided, or is dropped.
///
/// A future that is ready when all of them have answered. What they answer is lost. Dropping it cancels them. A panic of one
/// of them comes out when the others are done.
pub struct Stragglers<S: Service<Req>, Req, const WORDS: usize = 1> {
    slots: Slots<S, Req, WORDS>,
    panic: Option<Box<dyn Any + Send>>,
}

impl<S: Service<Req>, Req, const WORDS: usize> Stragglers<S, Req, WORDS> {
    pub(super) const fn new(slots: Slots<S, Req, WORDS>) -> Self {
        Self { slots, panic: None }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.pending().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.pending().is_empty()
    }
}

impl<S: Service<Req>, Req, const WORDS: usize> Future for Stragglers<S, Req, WORDS> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for place in this.slots.pending() {
            // Whoever waited for the answer is gone. A call that panics is not polled again, so that nobody sees what it
            // left.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(this.slots.poll(place, cx)))) {
                this.panic = Some(panic);
            }
        }
        if !this.is_empty() {
            return Poll::Pending;
        }
        this.panic.take().map_or(Poll::Ready(()), |panic| resume_unwind(panic))
    }
}

/// Nothing in it is pinned in place: the calls are in boxes of their own.
impl<S: Service<Req>, Req, const WORDS: usize> Unpin for Stragglers<S, Req, WORDS> {}

impl<S: Service<Req>, Req, const WORDS: usize> fmt::Debug for Stragglers<S, Req, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stragglers").field("len", &self.len()).finish()
    }
}

/// What becomes of calls that nobody waits for any more: [`Cancel`], or `Detach` with the feature of that name.
pub trait Losers<F> {
    /// Takes calls that are still under way, and says whether they go on. Runs inside the call that is decided, or inside
    /// the drop of one that is not.
    fn let_go(&self, stragglers: F) -> bool;
}

/// Calls that nobody waits for any more are cancelled: for reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancel;

impl<F> Losers<F> for Cancel {
    #[inline]
    fn let_go(&self, stragglers: F) -> bool {
        drop(stragglers);
        false
    }
}

/// How a call reads its request, judges answers, and lets go of losers: what a [`Plan`] is to a `QuorumCall`, with its three
/// parts as one bound.
pub trait Conduct<S: Service<Req>, Req, const WORDS: usize> {
    /// The deadline the request carries.
    fn deadline(&self, request: &Req) -> Option<Deadline>;

    /// The verdict on a node's answer.
    fn judge(&self, outcome: Result<&S::Response, &S::Error>) -> Verdict;

    /// Takes the calls that are still under way, and says whether they go on.
    fn let_go(&self, stragglers: Stragglers<S, Req, WORDS>) -> bool;
}

impl<S, Req, C, X, L, const WORDS: usize> Conduct<S, Req, WORDS> for Plan<C, X, L>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error>,
    X: RequestContext<Req>,
    L: Losers<Stragglers<S, Req, WORDS>>,
{
    fn deadline(&self, request: &Req) -> Option<Deadline> {
        self.context.deadline(request)
    }

    fn judge(&self, outcome: Result<&S::Response, &S::Error>) -> Verdict {
        self.classifier.classify(outcome)
    }

    fn let_go(&self, stragglers: Stragglers<S, Req, WORDS>) -> bool {
        self.losers.let_go(stragglers)
    }
}
