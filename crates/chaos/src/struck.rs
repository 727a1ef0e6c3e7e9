//! The rest of the way of a request that was struck.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use steadfast_core::{TimeSource, parts::Alarm};
use tower_service::Service;

use crate::{Delay, Fault, FaultKind, Injected, Injection, Protocol, Strike, delivery::Delivery};

type Outcome<S, Req> = Result<<S as Service<Req>>::Response, <S as Service<Req>>::Error>;

pin_project! {
    /// The rest of the way of a request that was struck: `None` if its caller hears nothing for
    /// ever. Dropping it cancels what is under way.
    pub struct Struck<S, P, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        first: Delivery<S, Req, S::Future>,
        // The second copy of a request that is duplicated.
        #[pin]
        second: Delivery<S, Req, S::Future>,
        // How the first ended, while something else is waited for.
        ended: Option<Outcome<S, Req>>,
        // When it goes on, while it waits for that.
        due: Option<Due>,
        #[pin]
        alarm: Alarm,
        protocol: P,
        strike: Strike,
        // Until it is known what became of it.
        injection: Option<Injection>,
    }
}

impl<S, P, Req> Struck<S, P, Req>
where
    S: Service<Req>,
{
    /// With nothing delivered yet.
    pub(crate) fn new(injection: Injection, protocol: P) -> Self {
        Self {
            first: Delivery::Over,
            second: Delivery::Over,
            ended: None,
            due: None,
            alarm: Alarm::new(),
            protocol,
            strike: *injection.strike(),
            injection: Some(injection),
        }
    }

    /// With a fault that cannot be done.
    pub(crate) fn skipped(mut self) -> Self {
        drop(self.injection.take());
        self
    }

    /// Delivered so much later than now.
    pub(crate) fn queued(self, delay: Delay, service: S, request: Req) -> Self {
        let due = Some(Due::after(delay, self.strike.chance));
        Self { due, first: Delivery::waiting(service, request), ..self }
    }

    /// With the fault done already.
    pub(crate) fn settled(mut self) -> Self {
        settle(&mut self.injection);
        self
    }

    pub(crate) fn first(self, first: Delivery<S, Req, S::Future>) -> Self {
        Self { first, ..self }
    }

    pub(crate) fn second(self, second: Delivery<S, Req, S::Future>) -> Self {
        Self { second, ..self }
    }
}

impl<S, P, Req> Future for Struck<S, P, Req>
where
    S: Service<Req>,
    P: Protocol<Req, S::Response, S::Error>,
{
    type Output = Option<Result<P::Response, S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.strike.fault {
            Fault::RequestLost => Poll::Ready(None),
            Fault::CrashedBefore | Fault::Error => Poll::Ready(Some(self.fail())),
            Fault::Queued(_) => self.poll_queued(cx).map(Some),
            Fault::Busy(delay) | Fault::ReplyLate(delay) => self.poll_held(delay, cx).map(Some),
            Fault::ReplyLost => self.poll_lost(cx).map(|()| None),
            Fault::Duplicated => self.poll_duplicated(cx).map(Some),
            Fault::BitFlipped | Fault::BodyCut | Fault::SlowBody(_) | Fault::Byzantine => {
                self.poll_spoilt(cx).map(Some)
            }
        }
    }
}

impl<S, P, Req> Struck<S, P, Req>
where
    S: Service<Req>,
    P: Protocol<Req, S::Response, S::Error>,
{
    fn fail(&self) -> Result<P::Response, S::Error> {
        let injected = Injected::new(self.strike.fault.kind());
        self.protocol.fail(injected, &self.strike)
    }

    /// Delivered when its time has come, and then a request like any other.
    fn poll_queued(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Response, S::Error>> {
        let mut this = self.project();
        if let Some(due) = *this.due {
            ready!(due.poll(this.alarm, cx));
            *this.due = None;
        }
        let outcome = ready!(this.first.as_mut().poll(cx));
        this.first.set(Delivery::Over);
        Poll::Ready(outcome.map(P::pass))
    }

    /// Executed, and answered so much later. A server that is busy is kept at it; one whose reply
    /// is under way is free.
    fn poll_held(
        self: Pin<&mut Self>,
        delay: Delay,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Response, S::Error>> {
        let mut this = self.project();
        if this.ended.is_none() {
            *this.ended = Some(ready!(this.first.as_mut().poll(cx)));
            if this.strike.fault.kind() == FaultKind::ReplyLate {
                this.first.set(Delivery::Over);
            }
            *this.due = Some(Due::after(delay, this.strike.chance));
            settle(this.injection);
        }
        if let Some(due) = *this.due {
            ready!(due.poll(this.alarm, cx));
        }
        this.first.set(Delivery::Over);
        Poll::Ready(this.ended.take().expect("it has ended").map(P::pass))
    }

    /// Executed, and the reply dropped.
    fn poll_lost(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        drop(ready!(this.first.as_mut().poll(cx)));
        this.first.set(Delivery::Over);
        settle(this.injection);
        Poll::Ready(())
    }

    /// Both copies race, as they do on a network. The answer is that of the first one, when both
    /// have ended: a caller that had it and left would cancel the second copy.
    fn poll_duplicated(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Response, S::Error>> {
        let mut this = self.project();
        if this.ended.is_none()
            && let Poll::Ready(outcome) = this.first.as_mut().poll(cx)
        {
            this.first.set(Delivery::Over);
            *this.ended = Some(outcome);
        }
        // A service that is not ready for the second copy, and fails, has executed it no more than
        // a server that was gone when it came: nothing of it is under way, and it stays skipped.
        if !matches!(*this.second, Delivery::Over) {
            match ready!(this.second.as_mut().poll_delivered(cx)) {
                Ok(()) => {
                    settle(this.injection);
                    drop(ready!(this.second.as_mut().poll(cx)));
                    this.second.set(Delivery::Over);
                }
                Err(_) => {
                    this.second.set(Delivery::Over);
                    drop(this.injection.take());
                }
            }
        }
        match this.ended.take() {
            Some(outcome) => Poll::Ready(outcome.map(P::pass)),
            None => Poll::Pending,
        }
    }

    /// Executed, and the reply spoilt. A service that fails has no reply.
    fn poll_spoilt(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Response, S::Error>> {
        let mut this = self.project();
        let outcome = ready!(this.first.as_mut().poll(cx));
        this.first.set(Delivery::Over);
        let injection = this.injection.take();
        Poll::Ready(outcome.map(|response| match injection {
            Some(injection) => this.protocol.spoil(response, injection),
            None => P::pass(response),
        }))
    }
}

/// When a delay is over; `None` if that is later than the clock goes.
#[derive(Clone, Copy)]
pub(crate) struct Due(Option<Instant>);

impl Due {
    pub(crate) fn after(delay: Delay, chance: f64) -> Self {
        Self(TimeSource::Tokio.now().checked_add(delay.length(chance)))
    }

    pub(crate) fn poll(self, mut alarm: Pin<&mut Alarm>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.0 else { return Poll::Pending };
        alarm.as_mut().set(at);
        alarm.poll(cx)
    }
}

fn settle(injection: &mut Option<Injection>) {
    if let Some(injection) = injection.take() {
        injection.done();
    }
}

impl<S, P, Req> fmt::Debug for Struck<S, P, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Struck").field("strike", &self.strike).finish_non_exhaustive()
    }
}
