//! A service under test, polled by hand.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use tokio::runtime::Builder;

use super::Subject;
use crate::{BoxError, Control, Counts, Probe, probe::PANIC};

/// Whether a case held; if not, what was seen.
pub(super) type Check = Result<(), String>;

pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// A task that counts how often it is woken.
#[derive(Default)]
pub(super) struct Task(Arc<Wakes>);

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        // Relaxed: the suite runs on one thread.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    pub(super) fn wakes(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    pub(super) fn poll_ready<S: Subject>(&self, service: &mut S) -> Poll<Result<(), BoxError>> {
        service.poll_ready(&mut Context::from_waker(&self.waker()))
    }

    pub(super) fn poll<F: Future>(&self, future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(&self.waker()))
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }
}

/// A service under test with the probe inside it.
pub(super) struct Rig<S> {
    pub(super) control: Control,
    pub(super) service: S,
    pub(super) task: Task,
}

impl<S: Subject> Rig<S> {
    pub(super) fn new(make: &dyn Fn(Probe) -> S) -> Self {
        let probe = Probe::new();
        let control = probe.control();
        Self { control, service: make(probe), task: Task::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        self.control.counts()
    }

    pub(super) fn poll_ready(&mut self) -> Poll<Result<(), BoxError>> {
        self.task.poll_ready(&mut self.service)
    }

    /// Makes the service ready; the probe must be.
    pub(super) fn ready(&mut self) -> Check {
        let answer = self.poll_ready();
        ensure(matches!(answer, Poll::Ready(Ok(()))), || {
            format!("inner service ready, but poll_ready gave {answer:?}")
        })
    }

    /// Makes the service ready and calls it.
    pub(super) fn start(&mut self, request: u32) -> Result<Pin<Box<S::Future>>, String> {
        self.ready()?;
        Ok(Box::pin(self.service.call(request)))
    }

    /// Starts a call that stays pending, and polls it once.
    pub(super) fn start_pending(&mut self, request: u32) -> Result<Pin<Box<S::Future>>, String> {
        let mut future = self.start(request)?;
        let answer = self.task.poll(&mut future);
        ensure(answer.is_pending(), || {
            format!("inner future pending, but the response was {answer:?}")
        })?;
        Ok(future)
    }

    /// A whole call, answered by an echo at once.
    pub(super) fn answer(&mut self, request: u32) -> Check {
        let mut future = self.start(request)?;
        expect_echo(&self.task.poll(&mut future), request)
    }

    /// Drops the service. No handle to the probe may be left.
    pub(super) fn finish(self) -> Check {
        let Self { control, service, .. } = self;
        drop(service);
        let left = control.counts().live_handles;
        ensure(left == 0, || format!("{left} inner handles are still alive"))
    }
}

pub(super) fn expect_echo(answer: &Poll<Result<u32, BoxError>>, request: u32) -> Check {
    let echoed = matches!(answer, Poll::Ready(Ok(value)) if *value == request);
    ensure(echoed, || {
        format!("request {request} should be echoed at this poll, but gave {answer:?}")
    })
}

/// Runs what must let the probe's panic through.
pub(super) fn expect_panic<T>(act: impl FnOnce() -> T) -> Check {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(_) => Err("the panic of the inner service was swallowed".to_owned()),
        Err(payload) => {
            let text = panic_text(&*payload);
            ensure(text == PANIC, || format!("another panic came out: {text}"))
        }
    }
}

pub(super) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}

/// Runs `act` under tokio's clock, paused, for layers that arm timers. Nothing is driven: time
/// stands still.
pub(super) fn with_paused_clock<T>(act: impl FnOnce() -> T) -> thread::Result<T> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing from the system");
    let entered = runtime.enter();
    let result = catch_unwind(AssertUnwindSafe(act));
    drop(entered);
    // The suite may itself run inside a runtime, where an ordinary shutdown would panic.
    runtime.shutdown_background();
    result
}
