//! An inner service that follows a script and counts everything.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::{
    BoxError, ProbeError, Readiness, Reply,
    script::{Outcome, When},
};

/// What every panic of a probe says.
pub(crate) const PANIC: &str = "the probe panics as told";

/// A service that answers as it was told, and by default echoes each request at once.
///
/// Readiness belongs to one handle and one call: a clone has none. A call without it is counted,
/// not punished.
#[derive(Debug)]
pub struct Probe {
    shared: Shared,
    ready: bool,
}

/// The other end of a [`Probe`]: its script and its counts. Holding it keeps no probe alive.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Shared,
}

/// All that was done to a probe and its clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Polls of readiness.
    pub ready_polls: u64,
    /// Clones made.
    pub clones: u64,
    /// Handles not dropped yet.
    pub live_handles: u64,
    /// Calls.
    pub calls: u64,
    /// Calls on a handle that had no readiness.
    pub unready_calls: u64,
    /// Polls of futures.
    pub polls: u64,
    /// Polls of futures that were done.
    pub polls_when_done: u64,
    /// Futures that gave their outcome, a panic included.
    pub completed: u64,
    /// Futures dropped before their outcome.
    pub cancelled: u64,
    /// Futures not dropped yet.
    pub live_futures: u64,
}

#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    counts: Counts,
    readiness: VecDeque<Readiness>,
    always_ready: Readiness,
    ready_wakers: Vec<Waker>,
    replies: VecDeque<Reply>,
    always: Reply,
    held: BTreeMap<u64, Option<Waker>>,
}

impl Probe {
    /// A probe that is always ready and echoes.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            counts: Counts { live_handles: 1, ..Counts::default() },
            readiness: VecDeque::new(),
            always_ready: Readiness::Ready,
            ready_wakers: Vec::new(),
            replies: VecDeque::new(),
            always: Reply::echo(),
            held: BTreeMap::new(),
        };
        Self { shared: Shared(Arc::new(Mutex::new(state))), ready: false }
    }

    /// The script and the counts of this probe and its clones.
    #[must_use]
    pub fn control(&self) -> Control {
        Control { shared: self.shared.clone() }
    }
}

impl Control {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Adds replies to the calls to come, one each; afterwards [`always`](Self::always) holds
    /// again.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().replies.extend(replies);
    }

    /// The reply to every call the script does not cover.
    pub fn always(&self, reply: Reply) {
        self.shared.lock().always = reply;
    }

    /// Adds answers to the polls of readiness to come, one each; a [`Readiness::Pending`] stays
    /// until it is released.
    pub fn script_readiness(&self, answers: impl IntoIterator<Item = Readiness>) {
        self.shared.lock().readiness.extend(answers);
    }

    /// The answer to every poll of readiness the script does not cover.
    pub fn always_ready(&self, answer: Readiness) {
        self.shared.lock().always_ready = answer;
    }

    /// Ends the [`Readiness::Pending`] under way and wakes all who wait for it.
    pub fn release_readiness(&self) {
        let mut state = self.shared.lock();
        if state.readiness.front() == Some(&Readiness::Pending) {
            state.readiness.pop_front();
        } else if state.always_ready == Readiness::Pending {
            state.always_ready = Readiness::Ready;
        }
        let wakers = mem::take(&mut state.ready_wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets the held call of this number go on (counted from 0) and wakes its task. Says whether it
    /// was held.
    pub fn release(&self, call: u64) -> bool {
        let waiting = self.shared.lock().held.remove(&call);
        let held = waiting.is_some();
        waiting.flatten().into_iter().for_each(Waker::wake);
        held
    }

    /// Lets every held call go on and wakes their tasks.
    pub fn release_all(&self) {
        let held = mem::take(&mut self.shared.lock().held);
        held.into_values().flatten().for_each(Waker::wake);
    }
}

impl Service<u32> for Probe {
    type Response = u32;
    type Error = BoxError;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let answer = self.shared.lock().poll_ready(cx.waker());
        match answer {
            Readiness::Ready => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::Pending => Poll::Pending,
            Readiness::Yield => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Readiness::Error => Poll::Ready(Err(ProbeError::Readiness.into())),
            Readiness::Panic => panic!("{PANIC}"),
        }
    }

    fn call(&mut self, request: u32) -> ProbeFuture {
        let was_ready = mem::take(&mut self.ready);
        let (number, reply) = self.shared.lock().call(was_ready);
        assert!(!matches!(reply.outcome, Outcome::PanicInCall), "{PANIC}");
        self.shared.lock().counts.live_futures += 1;
        ProbeFuture {
            shared: self.shared.clone(),
            number,
            request,
            reply,
            sleep: None,
            done: false,
        }
    }
}

impl Clone for Probe {
    /// Another handle to the same service, without readiness.
    fn clone(&self) -> Self {
        let mut state = self.shared.lock();
        state.counts.clones += 1;
        state.counts.live_handles += 1;
        drop(state);
        Self { shared: self.shared.clone(), ready: false }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.lock().counts.live_handles -= 1;
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// A probe panics by design, but never while it changes its state: behind a poisoned lock the
    /// state is sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_ready(&mut self, waker: &Waker) -> Readiness {
        self.counts.ready_polls += 1;
        let answer = match self.readiness.front() {
            Some(Readiness::Pending) => Readiness::Pending,
            _ => self.readiness.pop_front().unwrap_or(self.always_ready),
        };
        if answer == Readiness::Pending
            && !self.ready_wakers.iter().any(|known| known.will_wake(waker))
        {
            self.ready_wakers.push(waker.clone());
        }
        answer
    }

    fn call(&mut self, was_ready: bool) -> (u64, Reply) {
        let number = self.counts.calls;
        self.counts.calls += 1;
        self.counts.unready_calls += u64::from(!was_ready);
        let reply = self.replies.pop_front().unwrap_or_else(|| self.always.clone());
        if matches!(reply.when, When::Held) && !matches!(reply.outcome, Outcome::PanicInCall) {
            self.held.insert(number, None);
        }
        (number, reply)
    }

    /// Notes the one task that a future wakes: the last to poll it.
    fn poll_held(&mut self, call: u64, waker: &Waker) -> Poll<()> {
        match self.held.get_mut(&call) {
            Some(waiting) => {
                *waiting = Some(waker.clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

/// The future of a [`Probe`]. Polled after its outcome it is counted and stays pending.
#[derive(Debug)]
pub struct ProbeFuture {
    shared: Shared,
    number: u64,
    request: u32,
    reply: Reply,
    sleep: Option<Pin<Box<Sleep>>>,
    done: bool,
}

impl Future for ProbeFuture {
    type Output = Result<u32, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        state.counts.polls += 1;
        state.counts.polls_when_done += u64::from(this.done);
        drop(state);
        if this.done {
            return Poll::Pending;
        }
        match this.reply.when {
            When::Now => {}
            When::After(delay) => {
                ready!(this.sleep.get_or_insert_with(|| Box::pin(sleep(delay))).as_mut().poll(cx));
            }
            When::Held => ready!(this.shared.lock().poll_held(this.number, cx.waker())),
        }
        this.done = true;
        this.shared.lock().counts.completed += 1;
        Poll::Ready(this.outcome())
    }
}

impl ProbeFuture {
    fn outcome(&self) -> Result<u32, BoxError> {
        match &self.reply.outcome {
            Outcome::Echo => Ok(self.request),
            Outcome::Value(value) => Ok(*value),
            Outcome::Error => Err(ProbeError::Call(self.number).into()),
            Outcome::ErrorFrom(make) => Err(make()),
            Outcome::Panic | Outcome::PanicInCall => panic!("{PANIC}"),
        }
    }
}

impl Drop for ProbeFuture {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.counts.live_futures -= 1;
        state.counts.cancelled += u64::from(!self.done);
        // The waker is dropped outside the lock: it may own the task that owns a probe.
        let waiting = state.held.remove(&self.number);
        drop(state);
        drop(waiting);
    }
}
