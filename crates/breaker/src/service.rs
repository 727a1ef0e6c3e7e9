//! The service.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use steadfast_core::{Classify, DefaultClassifier, TimeSource};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::{
    circuit::Circuit, config::OnOpen, error::CircuitOpen, future::ResponseFuture, shared::Readiness, watch::Watcher,
};

/// A service behind a circuit.
///
/// Closed, a request passes and its outcome is counted. Open, it is refused with [`CircuitOpen`] before the inner service is
/// called. Dropping the response future cancels the call and gives its admission back.
#[derive(Debug)]
pub struct Breaker<S, C = DefaultClassifier> {
    inner: S,
    circuit: Circuit,
    classifier: C,
    /// The circuit's, at hand.
    on_open: OnOpen,
    /// Only while not ready, and it belongs to this handle alone.
    waiting: Option<Waiting>,
}

/// Boxed, and made only when an open circuit keeps a caller of `poll_ready` waiting.
#[derive(Debug)]
struct Waiting {
    watcher: Watcher,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S, C> Breaker<S, C> {
    /// Puts `inner` behind `circuit`.
    pub fn new(inner: S, circuit: Circuit, classifier: C) -> Self {
        let on_open = circuit.shared().on_open();
        Self { inner, circuit, classifier, on_open, waiting: None }
    }

    /// The circuit.
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The service behind the circuit.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Not ready while the circuit would refuse. Woken by the timer or by any change of the circuit, never by itself.
    // Out of line: inlined, it makes of `poll_ready` a call with a frame of 184 bytes.
    #[cold]
    #[inline(never)]
    fn poll_circuit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = self.circuit.shared();
        let waiting = self.waiting.get_or_insert_with(|| Waiting { watcher: Watcher::new(&self.circuit), timer: None });
        loop {
            shared.catch_up();
            let mut readiness = Readiness::Ready;
            let ready = waiting.watcher.wait_unless(cx, |guarded| {
                readiness = shared.readiness(guarded);
                (readiness == Readiness::Ready).then_some(())
            });
            if ready.is_some() {
                self.waiting = None;
                return Poll::Ready(());
            }
            let Readiness::In(left) = readiness else { return Poll::Pending };
            // The circuit's clock need not be the timer's: set anew each time, and never to less than a timer can tell.
            let at = Instant::from_std(TimeSource::Tokio.now()) + left.max(SHORTEST_SLEEP);
            let timer = waiting.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            timer.as_mut().reset(at);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// The grain of tokio's timers.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

impl<S: Clone, C: Clone> Clone for Breaker<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.circuit.clone(), self.classifier.clone())
    }
}

impl<S, C, Req> Service<Req> for Breaker<S, C>
where
    S: Service<Req>,
    S::Error: From<CircuitOpen>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.on_open == OnOpen::NotReady && !self.circuit.shared().is_closed() && self.poll_circuit(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    // Always: at a second call site the compiler would leave it a function, whose future comes back through memory, written in
    // words and read in pairs of words: each read would wait for the writes.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        ResponseFuture::call(&self.circuit, &mut self.inner, request, self.classifier.clone())
    }
}
