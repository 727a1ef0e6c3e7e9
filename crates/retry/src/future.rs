//! The future of a call.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use steadfast_core::{Classify, Deadline, TimeSource, Verdict, parts::Alarm};
use tower_service::Service;

use crate::{
    budget::Withdrawal,
    call::Call,
    error::TooLate,
    policy::Outcome,
    replay::{Ended, Replay},
};

pin_project! {
    /// The future of [`Retry`](crate::Retry): calls, waits, waits for readiness, calls again.
    ///
    /// Dropping it cancels whatever it is doing. A retry that was not sent yet is given back to the
    /// budget.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, C, X, P, Req>
    where
        S: Service<P::Request>,
        P: Replay<Req>,
    {
        call: Call<S, C, X, P, P::Saved>,
        #[pin]
        state: State<S::Future, Rest<S, P::Request>>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R> {
        // An attempt is under way.
        Calling { #[pin] inner: F },
        // The next attempt will come.
        Waiting { rest: R },
    }
}

/// What a service answers to a `Q`.
type Output<S, Q> = Result<<S as Service<Q>>::Response, <S as Service<Q>>::Error>;

/// Boxed, because the timer and the service are large, and every call that succeeds would move and
/// drop their room.
type Rest<S, Q> = Pin<Box<Waiting<S, Q, <S as Service<Q>>::Error>>>;

pin_project! {
    // The time between two attempts: the backoff, then the wait for readiness.
    //
    // A failed response is dropped before it begins. Its body may hold a connection, or a permit,
    // and the next attempt may wait for just that one.
    struct Waiting<S, Q, E> {
        // The instance that will make the next attempt.
        service: S,
        // Rings at the end of the backoff; once `has_rested`, at the deadline if there is one.
        #[pin]
        alarm: Alarm,
        has_rested: bool,
        // What will be sent, and what was charged for it; none once it was sent.
        next: Option<(Q, Withdrawal)>,
        // The error of the attempt before, with which the deadline may end the wait for readiness.
        last: Option<E>,
    }
}

impl<S, C, X, P, Req> ResponseFuture<S, C, X, P, Req>
where
    S: Service<P::Request>,
    P: Replay<Req>,
{
    #[inline(always)]
    pub(crate) const fn new(inner: S::Future, call: Call<S, C, X, P, P::Saved>) -> Self {
        Self { call, state: State::Calling { inner } }
    }
}

impl<S, C, X, P, Req> Future for ResponseFuture<S, C, X, P, Req>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Output = Output<S, P::Request>;

    /// Compiled into its caller, at every call site: what follows a failure stands elsewhere. Each
    /// arm classifies by itself, so that a success is never put into a `Result` that goes through
    /// memory.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let StateProjection::Calling { inner } = this.state.as_mut().project() {
                let classifier = &this.call.lane.layer.classifier;
                let (verdict, output) = match ready!(inner.poll(cx)) {
                    Ok(response) => match classifier.classify(Ok(&response)) {
                        Verdict::Success => {
                            this.call.end(Outcome::Success);
                            return Poll::Ready(Ok(response));
                        }
                        verdict => (verdict, Ok(response)),
                    },
                    Err(error) => match classifier.classify(Err(&error)) {
                        Verdict::Success => {
                            this.call.end(Outcome::Success);
                            return Poll::Ready(Err(error));
                        }
                        verdict => (verdict, Err(error)),
                    },
                };
                match follow(this.call, verdict, output) {
                    Ok(rest) => this.state.set(State::Waiting { rest }),
                    Err(output) => return Poll::Ready(output),
                }
            }
            if let Err(output) = ready!(resume(this.call, this.state.as_mut(), cx)) {
                return Poll::Ready(output);
            }
        }
    }
}

/// What follows an attempt that was no success: a wait, or its own output.
#[cold]
#[inline(never)]
fn follow<S, C, X, P, Req>(
    call: &mut Call<S, C, X, P, P::Saved>,
    verdict: Verdict,
    output: Output<S, P::Request>,
) -> Result<Rest<S, P::Request>, Output<S, P::Request>>
where
    S: Service<P::Request> + Clone,
    P: Replay<Req>,
{
    let ended = if output.is_ok() { Ended::Response } else { Ended::Error };
    let next = match call.after_failure(verdict, ended) {
        Ok(next) => next,
        Err(why) => {
            call.give_up(why);
            return Err(output);
        }
    };
    let (delay, next) = (next.delay, Some((next.request, next.withdrawal)));
    let last = output.err().filter(|_| call.deadline.is_some());
    let (service, alarm) = (call.lane.instance(), Alarm::new());
    let mut rest = Box::pin(Waiting { service, alarm, has_rested: false, next, last });
    let end = Deadline::after(TimeSource::Tokio.now(), delay);
    rest.as_mut().project().alarm.set(end.instant());
    Ok(rest)
}

/// Waits, and begins the next attempt; or says what ends the call.
#[cold]
#[inline(never)]
fn resume<S, C, X, P, V, Q>(
    call: &mut Call<S, C, X, P, V>,
    mut state: Pin<&mut State<S::Future, Rest<S, Q>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Output<S, Q>>>
where
    S: Service<Q>,
    C: Classify<S::Response, S::Error>,
{
    if let StateProjection::Waiting { rest } = state.as_mut().project() {
        match ready!(rest.as_mut().poll(call, cx)) {
            Ok(inner) => state.set(State::Calling { inner }),
            Err(output) => return Poll::Ready(Err(output)),
        }
    }
    Poll::Ready(Ok(()))
}

impl<S: Service<Q>, Q> Waiting<S, Q, S::Error> {
    /// Waits out the backoff, then for the service. Ready with the attempt that was begun, or with
    /// what ends the call.
    ///
    /// The alarm rings on time in a task that spends its whole cooperation budget at each poll, and
    /// at any instant there is.
    fn poll<C, X, P, V>(
        self: Pin<&mut Self>,
        call: &mut Call<S, C, X, P, V>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Future, Output<S, Q>>>
    where
        C: Classify<S::Response, S::Error>,
    {
        let mut this = self.project();
        if !*this.has_rested {
            ready!(this.alarm.as_mut().poll(cx));
            *this.has_rested = true;
            if let Some(deadline) = call.deadline {
                this.alarm.as_mut().set(deadline.instant());
            }
        }
        let (is_ready, is_late) = match this.service.poll_ready(cx) {
            Poll::Ready(Ok(())) => (true, !call.is_in_time(Duration::ZERO)),
            Poll::Ready(Err(error)) => {
                // Refunded at once, because the future may outlive the call.
                *this.next = None;
                call.give_up((Outcome::Failed, None));
                return Poll::Ready(Err(Err(error)));
            }
            // Without a deadline the alarm has rung already, and means nothing.
            Poll::Pending => (false, call.deadline.is_some() && this.alarm.poll(cx).is_ready()),
        };
        let refused = || call.lane.layer.classifier.refused(TooLate::new());
        if is_late && let Some(error) = this.last.take().or_else(refused) {
            *this.next = None;
            call.give_up((Outcome::Deadline, None));
            return Poll::Ready(Err(Err(error)));
        }
        // Late, where the service's error can say nothing of it: there is nothing to end with.
        if !is_ready {
            return Poll::Pending;
        }
        let (request, withdrawal) =
            this.next.take().expect("a future is not polled after it was ready");
        withdrawal.spend();
        Poll::Ready(Ok(this.service.call(request)))
    }
}

impl<S, C, X, P, Req> fmt::Debug for ResponseFuture<S, C, X, P, Req>
where
    S: Service<P::Request>,
    P: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_waiting = matches!(self.state, State::Waiting { .. });
        f.debug_struct("ResponseFuture").field("is_waiting", &is_waiting).finish_non_exhaustive()
    }
}
