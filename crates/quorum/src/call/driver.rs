//! A call under way: the shell round its [`Progress`].

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use steadfast_core::{
    Classify, Verdict,
    parts::{Alarm, Lane},
};
use tower_service::Service;

use super::{
    answers::{Answer, Answers},
    on_decided::OnDecided,
    pace::{CLOCK, Pace},
    progress::Progress,
    shared::Shared,
    slots::{Ended, Slots},
    span::CallersSpan,
    stragglers::Stragglers,
    telemetry::{Cause, Outcome},
};
use crate::{Decision, Nodes, Rule};

/// [`OnDecided::let_go`], found where its bound is known: so the futures need none.
type LetGo<S, Req, D, const WORDS: usize> = fn(&D, Stragglers<S, Req, WORDS>) -> bool;

/// A call under way. Dropped before it is decided, it lets go of its nodes in the same way.
pub(crate) struct Driver<S: Service<Req>, Req, C, D, const WORDS: usize> {
    /// One lane of what all calls share: threads that call do not write the same reference count.
    shared: Arc<Lane<Shared<WORDS>>>,
    classifier: C,
    on_decided: D,
    let_go: LetGo<S, Req, D, WORDS>,
    /// For what goes on in the background. Under way, the nodes' calls are in the span that the
    /// caller polls them in.
    span: CallersSpan,
    /// The place of the node that is preferred.
    first: usize,
    slots: Slots<S, Req, WORDS>,
    /// The places to be polled before the task sleeps.
    unpolled: Nodes<WORDS>,
    /// Services for nodes that may be called later, by place. Empty if all are called at once.
    reserve: Vec<Option<S>>,
    request: Option<Req>,
    progress: Progress<WORDS>,
    decision: Decision,
    answers: Vec<Answer<S::Response, S::Error>>,
    started: Instant,
    /// The reading of the clock in this poll, once something has needed one.
    now: Option<Reading>,
    deadline: Option<Instant>,
    /// How long to wait before one more node is called, and when that is.
    delay: Option<Duration>,
    one_more: Option<Instant>,
    is_over: bool,
    /// In a box, made by the first wait: only calls that wait for the network anyway pay for it,
    /// and nothing here has to be pinned.
    alarm: Option<Pin<Box<Alarm>>>,
}

/// A reading of the clock.
#[derive(Clone, Copy)]
struct Reading {
    now: Instant,
    /// The same, counted from the start of the call.
    after: Duration,
}

/// Something that has happened in a call.
pub(crate) enum Event {
    /// A node has answered.
    Answered,
    /// Every node that was called has answered.
    AllAnswered,
    /// The deadline has passed.
    TimeIsOver,
}

impl<S: Service<Req>, Req, C, D, const WORDS: usize> Driver<S, Req, C, D, WORDS> {
    /// No node is called yet. Without a request none ever is.
    pub(crate) fn new(
        shared: Arc<Lane<Shared<WORDS>>>,
        behaviours: (C, D),
        request: Option<Req>,
        (started, deadline): (Instant, Option<Instant>),
        first: usize,
    ) -> Self
    where
        D: OnDecided<Stragglers<S, Req, WORDS>>,
    {
        let (classifier, on_decided) = behaviours;
        let places = if request.is_some() { shared.order.len() } else { 0 };
        let delay = shared.pace.delay(started);
        Self {
            slots: Slots::new(places),
            unpolled: Nodes::EMPTY,
            reserve: Vec::new(),
            request,
            progress: Progress::new(shared.absent),
            decision: Decision::Pending,
            answers: Vec::with_capacity(places),
            started,
            now: None,
            deadline,
            delay,
            // A delay beyond what an instant can hold is for ever.
            one_more: delay.and_then(|delay| started.checked_add(delay)),
            is_over: false,
            alarm: None,
            first,
            classifier,
            on_decided,
            let_go: D::let_go,
            span: CallersSpan::current(),
            shared,
        }
    }

    /// Calls a node that is ready.
    pub(crate) fn call(&mut self, place: usize, service: &mut S, is_last: bool)
    where
        Req: Clone,
    {
        if let Some(request) = copy(&mut self.request, is_last) {
            self.progress.call(self.shared.order[place]);
            self.shared.telemetry.called(Cause::Opening);
            self.slots.call(place, service.call(request), self.started);
        }
    }

    /// Calls a node once it is ready.
    pub(crate) fn ready_then_call(&mut self, place: usize, service: S, is_last: bool)
    where
        Req: Clone,
    {
        if let Some(request) = copy(&mut self.request, is_last) {
            self.progress.call_when_ready(self.shared.order[place]);
            self.shared.telemetry.called(Cause::Opening);
            self.slots.ready_then_call(place, service, request, self.started);
        }
    }

    /// Keeps services for the nodes that are not called yet, by place.
    pub(crate) fn keep(&mut self, reserve: Vec<Option<S>>) {
        self.reserve = reserve;
    }

    /// Begins a poll: each call under way is polled once in it.
    pub(crate) fn begin(&mut self) {
        self.now = None;
        self.unpolled = self.slots.pending();
    }

    /// Goes on until something has happened.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>
    where
        Req: Clone,
        C: Classify<S::Response, S::Error>,
    {
        loop {
            while let Some(place) = self.unpolled.iter().next() {
                self.unpolled.remove(place);
                if let Poll::Ready(ended) = self.slots.poll(place, cx) {
                    self.answered(place, ended);
                    return Poll::Ready(Event::Answered);
                }
                self.is_out(place);
            }
            if self.slots.pending().is_empty() && !self.progress.called().is_empty() {
                return Poll::Ready(Event::AllAnswered);
            }
            let now = ready!(self.poll_alarm(cx));
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Event::TimeIsOver);
            }
            self.call_one_more(now);
        }
    }

    /// Ready at the deadline, and when one more node is to be called.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let next = self.deadline.iter().chain(&self.one_more).min();
        let Some(next) = next.copied() else { return Poll::Pending };
        // A call whose deadline had passed at its start needs no timer.
        if next > self.started {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(Alarm::new()));
            alarm.as_mut().set(next);
            ready!(alarm.as_mut().poll(cx));
        }
        // Read anew: the alarm has just looked at the clock, and what was read before it may be too
        // old.
        self.now = None;
        Poll::Ready(self.now().now)
    }

    /// The time of this poll. The clock is read once in each: a reading costs more than polling a
    /// node that is ready.
    fn now(&mut self) -> Reading {
        *self.now.get_or_insert_with(|| {
            let now = CLOCK.now();
            Reading { now, after: now.saturating_duration_since(self.started) }
        })
    }

    fn answered(&mut self, place: usize, ended: Ended<S::Response, S::Error>)
    where
        Req: Clone,
        C: Classify<S::Response, S::Error>,
    {
        let Reading { now, after } = self.now();
        let Ended { result, since, sent } = ended;
        let verdict = self.classifier.classify(result.as_ref());
        let node = self.shared.order[place];
        self.progress.answered(node, verdict, sent);
        self.answers.push(Answer { node, result, verdict, after });
        let is_yes = verdict == Verdict::Success;
        if is_yes {
            self.shared.pace.answered(now, since);
        }
        if self.decision == Decision::Pending {
            self.decision = self.progress.decide(&*self.shared.rule);
        }
        if self.decision == Decision::Pending && !is_yes && !self.reserve.is_empty() {
            let more =
                self.progress.in_its_place(&*self.shared.rule, self.shared.preference(self.first));
            self.call_later(more, now, Cause::Failure);
        }
    }

    /// The node at this place has not answered. If that is because it is not ready, others stand in
    /// for it.
    fn is_out(&mut self, place: usize)
    where
        Req: Clone,
    {
        let node = self.shared.order[place];
        if !self.slots.is_waiting(place) {
            self.progress.sent(node);
        } else if self.progress.is_unready(node)
            && self.decision == Decision::Pending
            && !self.reserve.is_empty()
        {
            let more =
                self.progress.in_its_place(&*self.shared.rule, self.shared.preference(self.first));
            let now = self.now().now;
            self.call_later(more, now, Cause::Unready);
        }
    }

    fn call_one_more(&mut self, now: Instant)
    where
        Req: Clone,
    {
        if self.one_more.is_none_or(|one_more| one_more > now) {
            return;
        }
        let next = self.progress.after_delay(self.shared.preference(self.first));
        // Counted from now: a process that was stopped does not call all at once when it goes on.
        self.one_more =
            self.delay.and_then(|delay| now.checked_add(delay)).filter(|_| next.is_some());
        if let Some(node) = next {
            let mut more = Nodes::EMPTY;
            more.insert(node);
            self.call_later(more, now, Cause::Delay);
        }
    }

    /// Calls these nodes of the reserve, each once it is ready.
    fn call_later(&mut self, more: Nodes<WORDS>, now: Instant, cause: Cause)
    where
        Req: Clone,
    {
        for place in 0..self.reserve.len() {
            let node = self.shared.order[place];
            if !more.contains(node) {
                continue;
            }
            let Some(service) = self.reserve[place].take() else { continue };
            let is_last = self.reserve.iter().all(Option::is_none);
            let Some(request) = copy(&mut self.request, is_last) else { continue };
            self.progress.call_when_ready(node);
            self.slots.ready_then_call(place, service, request, now);
            self.unpolled.insert(place);
            self.shared.telemetry.called(cause);
        }
    }

    /// What the answers say so far.
    pub(crate) const fn decision(&self) -> Decision {
        self.decision
    }

    /// What decides.
    pub(crate) fn rule(&self) -> &dyn Rule<WORDS> {
        &*self.shared.rule
    }

    /// How many nodes have answered yes.
    pub(crate) fn yes(&self) -> usize {
        self.progress.yes().len()
    }

    /// Takes the answers since the last time.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer<S::Response, S::Error>> {
        mem::take(&mut self.answers)
    }

    /// Time from the start to this poll.
    pub(crate) fn elapsed(&mut self) -> Duration {
        self.now().after
    }

    /// Whether it was settled.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// It is decided: no more nodes are called.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        self.is_over = true;
        self.one_more = None;
        self.reserve.clear();
        self.request = None;
        self.shared.telemetry.ended(outcome, &self.progress);
    }

    /// Lets go of the nodes that are still out, and takes the answers that were not taken yet.
    pub(crate) fn finish(&mut self) -> Answers<S::Response, S::Error, WORDS> {
        // The last answer is what decided it, if there was one: its time is known.
        let last =
            self.answers.last().filter(|_| self.decision.is_final()).map(|answer| answer.after);
        let elapsed = last.unwrap_or_else(|| self.elapsed());
        if self.let_go() {
            self.progress.goes_on();
        }
        Answers::new(self.take_answers(), self.progress, self.shared.present, elapsed)
    }

    /// Whether they go on without it.
    pub(crate) fn let_go(&mut self) -> bool {
        self.unpolled = Nodes::EMPTY;
        let slots = mem::replace(&mut self.slots, Slots::new(0));
        if slots.pending().is_empty() {
            return false;
        }
        if let Pace::Hedged(_) = self.shared.pace {
            let now = CLOCK.now();
            let out = slots.since().map(|since| now.saturating_duration_since(since));
            out.for_each(|out| self.shared.pace.given_up(now, out));
        }
        let span = mem::replace(&mut self.span, CallersSpan::none());
        (self.let_go)(&self.on_decided, Stragglers::new(slots, span))
    }
}

impl<S: Service<Req>, Req, C, D, const WORDS: usize> Drop for Driver<S, Req, C, D, WORDS> {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.telemetry.cancelled();
        }
        self.let_go();
    }
}

/// Nothing in it is pinned in place: the calls and the alarm are in boxes of their own.
impl<S: Service<Req>, Req, C, D, const WORDS: usize> Unpin for Driver<S, Req, C, D, WORDS> {}

/// A copy of the request; the last node that needs one gets the original.
fn copy<Req: Clone>(request: &mut Option<Req>, is_last: bool) -> Option<Req> {
    if is_last { request.take() } else { request.clone() }
}
