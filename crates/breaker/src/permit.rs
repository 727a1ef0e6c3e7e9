//! One admission.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use steadfast_core::{Classify, Verdict, parts::Lane};

use crate::{
    answered::Answered,
    outcome::{End, Outcome},
    shared::{Admission, Head, Refused, Shared},
    until::Until,
};

/// A call that was let in. It owes the circuit one verdict; dropping it is the verdict "cancelled".
///
/// It carries the epoch it was let in under: what it says after the circuit has changed its state
/// changes nothing. A cancelled call counts for nothing, gives its place among the probes to
/// another, and counts as slow if it had been under way for longer than a slow call may take.
#[derive(Debug)]
#[must_use = "dropping a permit says that the call was cancelled"]
pub struct Permit {
    /// `None` once the verdict is given: dropping a settled permit is a look at one pointer.
    lane: Option<Arc<Lane<Shared>>>,
    admission: Admission,
    /// The code of the service panicked.
    panicked: bool,
}

// Always inline: what is left of a permit for a plain success is a read of one word. All the rest
// is out of line, and takes what it needs by value: a permit whose address is taken lives in
// memory, and with it the future that holds it.
impl Permit {
    #[inline(always)]
    pub(crate) fn admit(lane: &Arc<Lane<Shared>>) -> Result<Self, Refused> {
        let admission = lane.admit(lane)?;
        Ok(Self { lane: Some(Arc::clone(lane)), admission, panicked: false })
    }

    /// A permit that owes nothing.
    #[inline(always)]
    pub(crate) const fn settled() -> Self {
        Self { lane: None, admission: Admission::NONE, panicked: false }
    }

    /// Says what became of the call.
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        self.settle(verdict);
    }

    #[inline(always)]
    pub(crate) fn settle(&mut self, verdict: Verdict) {
        // A future polled again after it was ready must not speak twice.
        let Some(lane) = self.lane.take() else { return };
        if verdict == Verdict::Success && lane.settle_success(lane.index(), self.admission, None) {
            lane.telemetry.call(Outcome::Success);
        } else {
            settle(lane, self.admission, End::Judged(verdict));
        }
    }

    /// Says what became of the call so far: the head of an answer that is still being read. It
    /// counts at once, as with [`record`](Self::record), and what comes back speaks for the end.
    ///
    /// `None` where the end has nothing to say: the head was bad, or the circuit does not count the
    /// call.
    #[must_use = "it speaks for the end of the answer"]
    pub fn answered(mut self, verdict: Verdict) -> Option<Answered> {
        self.answer(verdict)
    }

    #[inline(always)]
    pub(crate) fn answer(&mut self, verdict: Verdict) -> Option<Answered> {
        let lane = self.lane.take()?;
        let (admission, at) = (self.admission, lane.now());
        if verdict == Verdict::Success && lane.settle_success(lane.index(), admission, Some(at)) {
            lane.telemetry.call(Outcome::Success);
            return Some(Answered::new(lane, Head { word: admission.word, at }));
        }
        settle_head(lane, admission, verdict, at)
    }

    /// Runs code of the service. If it panics, the call has failed: such a service is not healthy.
    #[inline(always)]
    pub(crate) fn run<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(&mut self.panicked);
        let value = code();
        mem::forget(unwinding);
        value
    }

    /// Polls the call that was let in, and gives the verdict when it is ready.
    ///
    /// Each arm judges for itself: the answer goes from the inner future to the caller untouched.
    #[inline(always)]
    pub(crate) fn poll<U, F, C, T, E>(
        &mut self,
        inner: Pin<&mut F>,
        classifier: &C,
        cx: &mut Context<'_>,
    ) -> Poll<Result<U::Out, E>>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
        U: Until<T, C>,
    {
        match self.run(|| inner.poll(cx)) {
            Poll::Ready(Ok(response)) => {
                let verdict = classifier.classify(Ok(&response));
                Poll::Ready(Ok(U::settle(self, verdict, response, classifier)))
            }
            Poll::Ready(Err(error)) => {
                settle_error(Self { lane: self.lane.take(), ..*self }, classifier, &error);
                Poll::Ready(Err(error))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cold]
#[inline(never)]
fn settle_error<T, E>(permit: Permit, classifier: &impl Classify<T, E>, error: &E) {
    permit.record(classifier.classify(Err(error)));
}

#[cold]
#[inline(never)]
#[expect(clippy::needless_pass_by_value, reason = "the caller has no more use for the lane")]
fn settle(lane: Arc<Lane<Shared>>, admission: Admission, end: End) {
    lane.settle(lane.index(), admission, end);
    lane.telemetry.call(outcome(admission, end));
}

fn outcome(admission: Admission, end: End) -> Outcome {
    if admission.is_would_refuse() { Outcome::WouldRefuse } else { end.outcome() }
}

#[cold]
#[inline(never)]
fn settle_head(
    lane: Arc<Lane<Shared>>,
    admission: Admission,
    verdict: Verdict,
    now: u64,
) -> Option<Answered> {
    let head = lane.settle_head(lane.index(), admission, verdict, now);
    lane.telemetry.call(outcome(admission, End::Judged(verdict)));
    head.map(|head| Answered::new(lane, head))
}

/// Dropped only by a panic: on the way of a success it costs nothing.
pub(crate) struct Unwinding<'a>(pub(crate) &'a mut bool);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        *self.0 = true;
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            settle(lane, self.admission, if self.panicked { End::Panicked } else { End::Dropped });
        }
    }
}
