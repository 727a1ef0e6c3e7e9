//! The future of a call.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use steadfast_core::{Classify, Verdict};
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use crate::{
    budget::Withdrawal,
    call::Call,
    plan::Outcome,
    replay::{Ended, Replay},
    shared::Rules,
};

pin_project! {
    /// The future of [`Retry`](crate::Retry): calls, waits, waits for readiness, calls again.
    ///
    /// Dropping it cancels whatever it is doing. A retry that was not sent yet is given back to the budget.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, R, Req>
    where
        S: Service<<R as Kept<Req>>::Request>,
        R: Kept<Req>,
    {
        // The handle that was made ready for this call, and is made ready again for each further attempt.
        service: S,
        call: Call<R, R::Saved>,
        #[pin]
        state: State<S::Future, R::Request, Answer<S, R::Request>>,
    }
}

/// What a service answers with.
type Answer<S, Q> = Result<<S as Service<Q>>::Response, <S as Service<Q>>::Error>;

/// What [`Rules`] keep of a request: the types of its [`Replay`].
pub trait Kept<Req> {
    /// What the inner service is called with.
    type Request;
    /// What is kept until the outcome is known.
    type Saved;
}

impl<C, P: Replay<Req>, X, Req> Kept<Req> for Rules<C, P, X> {
    type Request = P::Request;
    type Saved = P::Saved;
}

pin_project! {
    #[project = StateProjection]
    enum State<F, Q, A> {
        // An attempt is under way.
        Calling { #[pin] inner: F },
        // The next attempt will come. Boxed, because the timer is large, and every call that succeeds would move and drop its room.
        Waiting { waiting: Rest<Q, A> },
    }
}

pin_project! {
    // The time between two attempts: the backoff, then the wait for readiness.
    struct Waiting<Q, A> {
        // Rings at the end of the backoff; once `has_rested`, at the deadline if there is one.
        #[pin]
        timer: Sleep,
        has_rested: bool,
        // What will be sent, and what was charged for it; none once it was sent.
        next: Option<(Q, Withdrawal)>,
        // The failure before, kept only if a deadline may end the wait for readiness. Otherwise it was dropped when the wait began: a
        // response may hold a connection.
        last: Option<A>,
    }
}

type Rest<Q, A> = Pin<Box<Waiting<Q, A>>>;

impl<S, R, Req> ResponseFuture<S, R, Req>
where
    S: Service<R::Request>,
    R: Kept<Req>,
{
    #[inline]
    pub(crate) const fn new(inner: S::Future, service: S, call: Call<R, R::Saved>) -> Self {
        Self { service, call, state: State::Calling { inner } }
    }
}

impl<S, C, P, X, Req> Future for ResponseFuture<S, Rules<C, P, X>, Req>
where
    S: Service<P::Request>,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Output = Result<S::Response, S::Error>;

    /// Kept small, so that it is compiled into its caller: whatever follows a failure stands elsewhere.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let StateProjection::Calling { inner } = this.state.as_mut().project() {
                let answer = ready!(inner.poll(cx));
                let verdict = this.call.shared.rules.classify.classify(answer.as_ref());
                if verdict == Verdict::Success {
                    this.call.end(Outcome::Success);
                    return Poll::Ready(answer);
                }
                let ended = if answer.is_ok() { Ended::Response } else { Ended::Error };
                match follow(this.call, verdict, ended, answer) {
                    Ok(waiting) => this.state.set(State::Waiting { waiting }),
                    Err(answer) => return Poll::Ready(answer),
                }
            }
            if let Err(answer) = ready!(resume(this.service, this.call, this.state.as_mut(), cx)) {
                return Poll::Ready(answer);
            }
        }
    }
}

/// What follows an attempt that was no success: a wait, or its own answer.
#[cold]
#[inline(never)]
fn follow<C, P, X, Req, A>(
    call: &mut Call<Rules<C, P, X>, P::Saved>,
    verdict: Verdict,
    ended: Ended,
    answer: A,
) -> Result<Rest<P::Request, A>, A>
where
    P: Replay<Req>,
{
    let Some(next) = call.after_failure(verdict, ended) else { return Err(answer) };
    let last = call.deadline().map(|_| answer);
    let next_attempt = Some((next.request, next.withdrawal));
    Ok(Box::pin(Waiting { timer: sleep(next.delay), has_rested: false, next: next_attempt, last }))
}

/// Waits, and begins the next attempt; or says what ends the call.
#[cold]
#[inline(never)]
fn resume<S, R, V, Q>(
    service: &mut S,
    call: &mut Call<R, V>,
    mut state: Pin<&mut State<S::Future, Q, Answer<S, Q>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Answer<S, Q>>>
where
    S: Service<Q>,
{
    if let StateProjection::Waiting { waiting } = state.as_mut().project() {
        match ready!(waiting.as_mut().poll(service, call, cx)) {
            Ok(request) => {
                let inner = service.call(request);
                state.set(State::Calling { inner });
            }
            Err(answer) => return Poll::Ready(Err(answer)),
        }
    }
    Poll::Ready(Ok(()))
}

impl<Q, T, E> Waiting<Q, Result<T, E>> {
    /// Waits out the backoff, then for the service. Ready with the request to send, or with what ends the call.
    fn poll<S, R, V>(
        self: Pin<&mut Self>,
        service: &mut S,
        call: &mut Call<R, V>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Q, Result<T, E>>>
    where
        S: Service<Q, Response = T, Error = E>,
    {
        let mut this = self.project();
        if !*this.has_rested {
            ready!(this.timer.as_mut().poll(cx));
            *this.has_rested = true;
            if let Some(deadline) = call.deadline() {
                this.timer.as_mut().reset(Instant::from_std(deadline.instant()));
            }
        }
        let is_late = match service.poll_ready(cx) {
            Poll::Ready(Ok(())) => !call.is_in_time(Duration::ZERO),
            Poll::Ready(Err(error)) => {
                call.give_up(Outcome::Failed, None);
                return Poll::Ready(Err(Err(error)));
            }
            // Without a deadline the timer has rung already, and means nothing.
            Poll::Pending if call.deadline().is_none() => return Poll::Pending,
            Poll::Pending => {
                ready!(this.timer.poll(cx));
                true
            }
        };
        let (request, withdrawal) = this.next.take().expect("a future is not polled after it was ready");
        match this.last.take() {
            // The withdrawal is dropped, and so refunded.
            Some(last) if is_late => {
                call.give_up(Outcome::Deadline, None);
                Poll::Ready(Err(last))
            }
            _ => {
                withdrawal.spend();
                Poll::Ready(Ok(request))
            }
        }
    }
}

impl<S, R, Req> fmt::Debug for ResponseFuture<S, R, Req>
where
    S: Service<R::Request>,
    R: Kept<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } => "calling",
            State::Waiting { waiting } if waiting.has_rested => "waiting for readiness",
            State::Waiting { .. } => "waiting",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
