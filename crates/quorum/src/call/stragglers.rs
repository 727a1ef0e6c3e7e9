//! The nodes' calls that are under way when the call is decided.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{slots::Slots, span::CallersSpan};

/// The nodes' calls that are still under way when a call is decided, or dropped.
///
/// A future that is ready when all of them have ended, and polls them in the `tracing` span that
/// the call was made in (feature `tracing`). Their responses are dropped. Dropping the future
/// cancels them. When one of them panics, the panic is resumed once the others have ended.
pub struct Stragglers<S: Service<Req>, Req, const WORDS: usize = 1> {
    slots: Slots<S, Req, WORDS>,
    span: CallersSpan,
    panic: Option<Box<dyn Any + Send>>,
}

impl<S: Service<Req>, Req, const WORDS: usize> Stragglers<S, Req, WORDS> {
    pub(super) const fn new(slots: Slots<S, Req, WORDS>, span: CallersSpan) -> Self {
        Self { slots, span, panic: None }
    }

    /// How many calls there are.
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
            // A call that panics is not polled again: no code sees the state in which the panic
            // left it.
            let poll = || this.span.within(|| drop(this.slots.poll(place, cx)));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(poll)) {
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
