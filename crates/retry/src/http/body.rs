//! The body an attempt sends.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::parts::lock;

use super::{
    error::{BoxError, ReplayError},
    tape::{Position, Tape, into_bytes},
};
use crate::replay::{CannotReplay, Ended};

/// A request body that can be sent again: each attempt has one, and all attempts share what was
/// read.
///
/// A retry gets what was read before, then goes on reading where the attempt before stopped. The
/// body of an attempt that was followed by another one yields [`ReplayError::Superseded`], never
/// data. A body that is empty from the start allocates nothing, nor does one that will not be sent
/// again.
pub struct ReplayBody<B>(Kind<B>);

enum Kind<B> {
    Empty,
    /// Nothing of it is kept.
    Once(B),
    Taped {
        // Only the latest attempt's reader does more under the lock than to compare generations, so
        // no thread waits long. After a panic of the body the tape is in the state "panicked",
        // which is as good under a poisoned lock.
        tape: Arc<Mutex<Tape<B>>>,
        at: Position,
    },
}

/// What is kept of a body.
pub(super) struct SavedBody<B>(Option<Arc<Mutex<Tape<B>>>>);

impl<B: Body<Error: Into<BoxError>> + Unpin> ReplayBody<B> {
    /// The body of the first attempt, of which at most `limit` bytes will be kept.
    pub(super) fn new(body: B, limit: usize) -> (Self, SavedBody<B>) {
        if body.is_end_stream() {
            return (Self(Kind::Empty), SavedBody(None));
        }
        let tape = Arc::new(Mutex::new(Tape::new(body, limit)));
        (Self(Kind::Taped { tape: Arc::clone(&tape), at: Position::START }), SavedBody(Some(tape)))
    }

    /// The body of the only attempt.
    pub(super) const fn once(body: B) -> Self {
        Self(Kind::Once(body))
    }
}

impl<B: Body<Error: Into<BoxError>> + Unpin> SavedBody<B> {
    /// The body of a further attempt.
    pub(super) fn again(&self, ended: Ended) -> Result<ReplayBody<B>, CannotReplay> {
        let Some(tape) = &self.0 else { return Ok(ReplayBody(Kind::Empty)) };
        let (at, superseded) = lock(tape).rewind(ended)?;
        if let Some(waker) = superseded {
            waker.wake();
        }
        Ok(ReplayBody(Kind::Taped { tape: Arc::clone(tape), at }))
    }
}

impl<B: Body<Error: Into<BoxError>> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Once(body) => {
                Pin::new(body).poll_frame(cx).map_ok(into_bytes).map_err(ReplayError::from_body)
            }
            Kind::Taped { tape, at } => lock(tape).poll_frame(at, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Once(body) => body.is_end_stream(),
            Kind::Taped { tape, at } => lock(tape).is_end_stream(at),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Once(body) => body.size_hint(),
            Kind::Taped { tape, at } => lock(tape).size_hint(at),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    /// Never says contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("ReplayBody(empty)"),
            Kind::Once(_) => f.write_str("ReplayBody(once)"),
            Kind::Taped { at, .. } => f.debug_tuple("ReplayBody").field(at).finish(),
        }
    }
}

impl<B> Default for ReplayBody<B> {
    /// An empty body.
    fn default() -> Self {
        Self(Kind::Empty)
    }
}
