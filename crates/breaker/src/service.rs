//! The service.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use steadfast_core::{Classify, Select, TimeSource, parts::Waiter};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::{
    circuit::Circuit, error::CircuitOpen, future::ResponseFuture, layer::BreakerLayer,
    shared::Readiness, until::Until,
};

/// A service behind a circuit; `L` is the layer that made it.
///
/// Closed, a request passes and its outcome is counted. Open, it is refused with [`CircuitOpen`]
/// before the inner service is called. Dropping the response future cancels the call.
#[derive(Debug)]
pub struct Breaker<S, L = BreakerLayer> {
    inner: S,
    layer: L,
    /// Only while not ready, and it belongs to this handle alone.
    waiting: Option<Waiting>,
}

/// Made only when an open circuit keeps a caller of `poll_ready` waiting.
#[derive(Debug)]
struct Waiting {
    waiter: Waiter,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S, L> Breaker<S, L> {
    /// Puts `inner` behind the circuit of `layer`.
    pub const fn new(inner: S, layer: L) -> Self {
        Self { inner, layer, waiting: None }
    }

    /// The service behind the circuit.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the circuit, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without its circuit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// Not ready while the circuit would refuse. Woken by the timer or by any change of the circuit,
/// never by itself.
// Out of line: inlined, it makes of `poll_ready` a call with a frame of 184 bytes.
#[cold]
#[inline(never)]
fn poll_circuit(circuit: &Circuit, slot: &mut Option<Waiting>, cx: &mut Context<'_>) -> Poll<()> {
    let shared = &*circuit.shared;
    let waiting =
        slot.get_or_insert_with(|| Waiting { waiter: shared.waiters.join(), timer: None });
    loop {
        shared.catch_up();
        let mut readiness = Readiness::Ready;
        let ready = waiting.waiter.poll(cx, || {
            readiness = shared.readiness();
            (readiness == Readiness::Ready).then_some(())
        });
        if ready.is_ready() {
            *slot = None;
            return Poll::Ready(());
        }
        let Readiness::In(left) = readiness else { return Poll::Pending };
        // The circuit's clock need not be the timer's: set anew, and by tokio's resolution at
        // least.
        let at = Instant::from_std(TimeSource::Tokio.now()) + left.max(Duration::from_millis(1));
        let timer = waiting.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
    }
}

impl<S: Clone, L: Clone> Clone for Breaker<S, L> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

impl<S, C, H, U, Req> Service<Req> for Breaker<S, BreakerLayer<C, H, U>>
where
    S: Service<Req>,
    S::Error: From<CircuitOpen>,
    C: Classify<S::Response, S::Error> + Clone,
    H: Select<Req, Handle = Circuit>,
    U: Until<S::Response, C>,
{
    type Response = U::Out;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, U>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Some(circuit) = self.layer.handle.common()
            && circuit.may_be_unready()
            && poll_circuit(circuit, &mut self.waiting, cx).is_pending()
        {
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    // Always: at a second call site the compiler would leave it a function, whose future comes back
    // through memory, written in words and read in pairs of them: reads would wait for the writes.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let circuit = self.layer.handle.select(&request);
        ResponseFuture::call(
            circuit.shared.lane(),
            &mut self.inner,
            request,
            self.layer.classifier.clone(),
        )
    }
}
