//! One layer with every fault there is, one at a time.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use steadfast_testkit::{BoxError, Probe, ProbeFuture};
use tower::Service;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    CallsAFreshClone,
    KeepsReadinessInClone,
    KeepsReadinessAfterCall,
    SaysReadyWhenPending,
    SwallowsTheReadinessWaker,
    BusyWakesForReadiness,
    BusyWakesForTheResponse,
    LosesTheReadinessError,
    FailsReadinessAfterFailures,
    RepeatsSuccesses,
    SwallowsTheResponseWaker,
    PollsTwice,
    KeepsTheFirstWaker,
    PollsWhatIsDone,
    LosesTheError,
    RunsOneCallAtATime,
    MixesAnswersUp,
    EndsStragglers,
    LeaksAHandleWhenReady,
    LeaksUnpolledFutures,
    LeaksPendingFutures,
    LeaksDoneFutures,
    NeverReturnsPermits,
    PoisonedByReadiness,
    PoisonedByCall,
    PoisonedByFuture,
    SwallowsPanics,
}

/// Shared by all clones: what a real layer would call its handle.
#[derive(Default)]
struct Handle {
    failures: AtomicU32,
    in_flight: AtomicU32,
    last_answer: AtomicU32,
    started: AtomicU32,
    lock: Mutex<()>,
}

pub(crate) struct Faulty {
    inner: Probe,
    fault: Fault,
    ready: bool,
    handle: Arc<Handle>,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, inner: Probe) -> Self {
        Self { inner, fault, ready: false, handle: Arc::default() }
    }
}

impl Clone for Faulty {
    fn clone(&self) -> Self {
        let ready = self.ready && self.fault == Fault::KeepsReadinessInClone;
        Self {
            inner: self.inner.clone(),
            fault: self.fault,
            ready,
            handle: Arc::clone(&self.handle),
        }
    }
}

impl Service<u32> for Faulty {
    type Response = u32;
    type Error = BoxError;
    type Future = FaultyFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let fault = self.fault;
        if self.ready
            && matches!(fault, Fault::KeepsReadinessInClone | Fault::KeepsReadinessAfterCall)
        {
            return Poll::Ready(Ok(()));
        }
        if fault == Fault::FailsReadinessAfterFailures
            && self.handle.failures.load(Ordering::Relaxed) >= 3
        {
            return Poll::Ready(Err("enough".into()));
        }
        let _guard =
            (fault == Fault::PoisonedByReadiness).then(|| self.handle.lock.lock().unwrap());
        let swallowed = &mut Context::from_waker(Waker::noop());
        let inner_cx = if fault == Fault::SwallowsTheReadinessWaker { swallowed } else { &mut *cx };
        let answer = self.inner.poll_ready(inner_cx);
        self.ready = matches!(answer, Poll::Ready(Ok(())));
        match (fault, answer) {
            (Fault::SaysReadyWhenPending, Poll::Pending) => Poll::Ready(Ok(())),
            (Fault::BusyWakesForReadiness, Poll::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (Fault::LosesTheReadinessError, Poll::Ready(Err(_))) => Poll::Ready(Err("lost".into())),
            (Fault::LeaksAHandleWhenReady, answer) => {
                mem::forget(self.inner.clone());
                answer
            }
            (_, answer) => answer,
        }
    }

    fn call(&mut self, request: u32) -> FaultyFuture {
        let (fault, handle) = (self.fault, Arc::clone(&self.handle));
        if fault != Fault::KeepsReadinessAfterCall {
            self.ready = false;
        }
        let _guard = (fault == Fault::PoisonedByCall).then(|| self.handle.lock.lock().unwrap());
        let full = match fault {
            Fault::RunsOneCallAtATime => handle.in_flight.load(Ordering::Relaxed) >= 1,
            Fault::NeverReturnsPermits => handle.in_flight.load(Ordering::Relaxed) >= 60,
            _ => false,
        };
        if full {
            return FaultyFuture::new(fault, None, handle);
        }
        let inner = match fault {
            Fault::CallsAFreshClone => self.inner.clone().call(request),
            _ => self.inner.call(request),
        };
        handle.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut future = FaultyFuture::new(fault, Some(inner), handle);
        future.repeat = (fault == Fault::RepeatsSuccesses).then(|| self.inner.clone());
        future
    }
}

pub(crate) struct FaultyFuture {
    fault: Fault,
    inner: Option<ProbeFuture>,
    handle: Arc<Handle>,
    number: u32,
    polled: bool,
    done: bool,
    first_waker: Option<Waker>,
    repeat: Option<Probe>,
}

impl FaultyFuture {
    fn new(fault: Fault, inner: Option<ProbeFuture>, handle: Arc<Handle>) -> Self {
        let number = handle.started.fetch_add(1, Ordering::Relaxed);
        Self {
            fault,
            inner,
            handle,
            number,
            polled: false,
            done: false,
            first_waker: None,
            repeat: None,
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Result<u32, BoxError>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(Err("full".into())) };
        let waker = match self.fault {
            Fault::SwallowsTheResponseWaker => Waker::noop(),
            Fault::KeepsTheFirstWaker => self.first_waker.get_or_insert_with(|| cx.waker().clone()),
            _ => cx.waker(),
        };
        let mut cx = Context::from_waker(waker);
        let mut inner = Pin::new(inner);
        match self.fault {
            Fault::PollsTwice => match inner.as_mut().poll(&mut cx) {
                Poll::Pending => inner.as_mut().poll(&mut cx),
                answer => answer,
            },
            Fault::PollsWhatIsDone => {
                let answer = inner.as_mut().poll(&mut cx);
                let _ = answer.is_ready() && inner.as_mut().poll(&mut cx).is_ready();
                answer
            }
            Fault::SwallowsPanics => {
                catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(&mut cx)))
                    .unwrap_or_else(|_| Poll::Ready(Err("panicked".into())))
            }
            _ => inner.as_mut().poll(&mut cx),
        }
    }

    fn corrupt(&self, answer: Result<u32, BoxError>) -> Result<u32, BoxError> {
        match (self.fault, answer) {
            (Fault::LosesTheError, Err(_)) => Err("lost".into()),
            (Fault::MixesAnswersUp, Ok(answer)) => {
                // Right only while calls come one after the other, growing.
                let highest =
                    self.handle.last_answer.fetch_max(answer, Ordering::Relaxed).max(answer);
                Ok(if answer > 100 { highest } else { answer })
            }
            (Fault::EndsStragglers, Ok(_))
                if self.handle.started.load(Ordering::Relaxed) > self.number + 20 =>
            {
                Err("too late".into())
            }
            (_, answer) => answer,
        }
    }
}

impl Future for FaultyFuture {
    type Output = Result<u32, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.polled = true;
        let handle = Arc::clone(&this.handle);
        let guard = (this.fault == Fault::PoisonedByFuture).then(|| handle.lock.lock().unwrap());
        let answer = this.poll_inner(cx);
        drop(guard);
        match answer {
            Poll::Pending => {
                if this.fault == Fault::BusyWakesForTheResponse {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Poll::Ready(answer) => {
                this.done = true;
                handle.failures.fetch_add(u32::from(answer.is_err()), Ordering::Relaxed);
                if this.fault == Fault::NeverReturnsPermits {
                    handle.in_flight.fetch_sub(1, Ordering::Relaxed);
                }
                if let (Some(inner), Ok(request)) = (&mut this.repeat, &answer) {
                    let _ = inner.poll_ready(cx);
                    drop(inner.call(*request));
                }
                Poll::Ready(this.corrupt(answer))
            }
        }
    }
}

impl Drop for FaultyFuture {
    fn drop(&mut self) {
        if self.fault == Fault::RunsOneCallAtATime && self.inner.is_some() {
            self.handle.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        let leaks = match self.fault {
            Fault::LeaksUnpolledFutures => !self.polled,
            Fault::LeaksPendingFutures => self.polled && !self.done,
            Fault::LeaksDoneFutures => self.done,
            _ => false,
        };
        if leaks {
            mem::forget(self.inner.take());
        }
    }
}
