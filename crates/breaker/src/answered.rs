//! One answer whose end is still to come.

use std::{mem, sync::Arc};

use steadfast_core::{Verdict, parts::Lane};

use crate::{
    outcome::End,
    permit::Unwinding,
    shared::{Head, Shared},
};

/// The end of an answer whose head was good, and has been counted as a success.
///
/// **A bad end within the horizon turns one success into a failure**: a transient failure or a
/// throttled one, while the circuit is in the state in which the call was let in. Everything else
/// says nothing: a good end, one beyond the [horizon](crate::CircuitConfig::horizon), and dropping
/// this. A good head ends the failures in a row, whatever its end is.
///
/// A probe waits for its end. It has succeeded with a good one, after the horizon, or when this is
/// dropped; it has failed with a bad one, and an [ignored](Verdict::Ignored) one gives its place to
/// another.
///
/// ```
/// use steadfast_breaker::Circuit;
/// use steadfast_core::{Executed, Verdict};
///
/// let circuit = Circuit::default();
/// let answered = circuit.try_admit()?.answered(Verdict::Success).expect("a good head");
/// assert_eq!(circuit.snapshot().counts.failures, 0);
/// // The rest of the answer broke off.
/// answered.record(Verdict::transient(Executed::Maybe));
/// let counts = circuit.snapshot().counts;
/// assert_eq!((counts.total, counts.failures), (1, 1));
/// # Ok::<(), steadfast_breaker::CircuitOpen>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it says that the rest of the answer was not read"]
pub struct Answered {
    /// `None` once the end is known.
    lane: Option<Arc<Lane<Shared>>>,
    head: Head,
    /// The reader waits for more: if this is dropped now, the reader has left.
    is_awaited: bool,
    /// The code of the service panicked.
    panicked: bool,
}

impl Answered {
    #[inline(always)]
    pub(crate) const fn new(lane: Arc<Lane<Shared>>, head: Head) -> Self {
        Self { lane: Some(lane), head, is_awaited: false, panicked: false }
    }

    /// Of an answer whose end says nothing.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "what is polled is a body"))]
    pub(crate) const fn settled() -> Self {
        Self { lane: None, head: Head::NONE, is_awaited: false, panicked: false }
    }

    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "what is polled is a body"))]
    pub(crate) const fn is_settled(&self) -> bool {
        self.lane.is_none()
    }

    /// Says how the answer has ended.
    pub fn record(mut self, verdict: Verdict) {
        self.end(verdict);
    }

    /// A good end in the closed state is a look at a few bits.
    #[inline]
    pub(crate) fn end(&mut self, verdict: Verdict) {
        if verdict == Verdict::Success && self.head.word.is_closed() && !self.panicked {
            self.lane = None;
        } else {
            // What comes after a panic is no end.
            self.settle(if self.panicked { End::Panicked } else { End::Judged(verdict) });
        }
    }

    /// Says that the reader waits for more of the answer, or no longer does. A probe that is
    /// dropped while its reader waits gives its place to another: its caller has left.
    pub const fn awaited(&mut self, is_awaited: bool) {
        self.is_awaited = is_awaited;
    }

    /// Runs code of the service. If it panics, the answer has ended badly.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "what is polled is a body"))]
    #[inline(always)]
    pub(crate) fn run<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(&mut self.panicked);
        let value = code();
        mem::forget(unwinding);
        value
    }

    #[cold]
    #[inline(never)]
    fn settle(&mut self, end: End) {
        if let Some(lane) = self.lane.take() {
            lane.settle_end(self.head, end);
        }
    }
}

impl Drop for Answered {
    #[inline]
    fn drop(&mut self) {
        if self.lane.is_none() || (self.head.word.is_closed() && !self.panicked) {
            return;
        }
        self.settle(match (self.panicked, self.is_awaited) {
            (true, _) => End::Panicked,
            (false, true) => End::Dropped,
            (false, false) => End::Judged(Verdict::Success),
        });
    }
}
