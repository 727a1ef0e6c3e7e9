//! The service.

use std::{
    fmt, mem,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll},
    time::Duration,
};

use steadfast_core::{Deadline, parts::Striped};
use tower_service::Service;

use super::{
    agenda::Agenda,
    answers::{Answer, Answers},
    course::{Course, opening},
    drive::Drive,
    error::{CallError, NodesError},
    future::QuorumFuture,
    levels::Levels,
    losers::Conduct,
    pace::{CLOCK, Pace},
    plan::Plan,
    telemetry::{Outcome, Telemetry},
};
use crate::{Nodes, Rule};

/// Sends a request to several nodes, and answers once a quorum of them has, or once none can any more.
///
/// One service for each node. Whom it calls when, what it takes for a yes, and what becomes of the slow is its [`Plan`]'s. A
/// tower service itself: retries, breakers and timeouts go round it, and round each node's service inside.
///
/// **Readiness.** It is ready once one of its nodes is. A node that is not holds nobody up: its readiness is awaited inside
/// the call, within the deadline, and where not all nodes are called, others are called in its place. Put `tower::load_shed`
/// round nodes that should rather fail. No node is held while another is waited for, so that calls over the same nodes never
/// wait for each other in a circle. It fails only when so many nodes fail their readiness at once that no quorum is left;
/// they are asked again the next time.
///
/// **Cancellation.** Dropping the future, or deciding the call, cancels the nodes' calls that are under way or detaches
/// them, as planned.
///
/// **Panics.** A panic of a node's service comes out. A call that has to wait for its deadline or for its delay panics
/// outside of a tokio runtime with its timer enabled.
///
/// ```
/// use steadfast_quorum::{Plan, QuorumCall, Threshold};
/// use tower::{BoxError, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let node = |number: u32| {
///     service_fn(move |key: &'static str| async move {
///         if number == 1 { Err(BoxError::from("down")) } else { Ok(format!("{key} at {number}")) }
///     })
/// };
/// let nodes = (0..3).map(|number| (number, node(number as u32)));
/// let mut call = QuorumCall::new(Threshold::majority_of(3)?, nodes, Plan::all_at_once())?;
///
/// let answers = call.ready().await?.call("tea").await?;
/// assert!(answers.replies().map(|(node, _)| node).eq([0, 2]));
/// assert!(answers.errors().map(|(node, _)| node).eq([1]));
/// # use tower::Service;
/// # Ok(()) }
/// ```
pub struct QuorumCall<S, P = Plan, const WORDS: usize = 1> {
    nodes: Vec<Node<S>>,
    /// The place of the node that the call to come prefers, once it was asked for readiness.
    first: Option<usize>,
    shared: Striped<Agenda<P, WORDS>>,
}

struct Node<S> {
    service: S,
    standing: Standing,
}

/// What a node's instance has been asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing: it holds nothing, and is nowhere in line.
    Fresh,
    /// Whether it is ready, and it was not: it may be waiting in line.
    Asked,
    /// It is ready, and holds what it takes.
    Ready,
}

impl<S> Node<S> {
    const fn new(service: S) -> Self {
        Self { service, standing: Standing::Fresh }
    }

    /// Asks whether it is ready, unless it has said so. An instance that failed is replaced: it must not be asked again.
    fn poll_ready<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req> + Clone,
    {
        if self.standing == Standing::Ready {
            return Poll::Ready(Ok(()));
        }
        let polled = self.service.poll_ready(cx);
        match &polled {
            Poll::Ready(Ok(())) => self.standing = Standing::Ready,
            Poll::Ready(Err(_)) => drop(self.renew()),
            Poll::Pending => self.standing = Standing::Asked,
        }
        polled
    }

    /// Puts a fresh instance in the place of this one, and gives this one out.
    fn renew(&mut self) -> S
    where
        S: Clone,
    {
        self.standing = Standing::Fresh;
        let fresh = self.service.clone();
        mem::replace(&mut self.service, fresh)
    }

    /// Gives up what its instance holds and where it stands in line.
    fn release(&mut self)
    where
        S: Clone,
    {
        if self.standing != Standing::Fresh {
            drop(self.renew());
        }
    }
}

impl<S, C, X, L, const WORDS: usize> QuorumCall<S, Plan<C, X, L>, WORDS> {
    /// Calls `nodes`, each by its number in the rule, by `plan`. Those named first are preferred where not all are called,
    /// unless the plan [rotates](Plan::rotate).
    ///
    /// # Errors
    /// When the rule has no members, a node has two services or is no member of it, or a member has no service.
    pub fn new(
        rule: impl Rule<WORDS> + Send + Sync + 'static,
        nodes: impl IntoIterator<Item = (usize, S)>,
        plan: Plan<C, X, L>,
    ) -> Result<Self, NodesError<WORDS>> {
        let call = Self::of_present(rule, nodes, plan)?;
        let nodes = call.absent();
        if nodes.is_empty() { Ok(call) } else { Err(NodesError::Missing { nodes }) }
    }

    /// The same, but members without a service are absent: they count as failed.
    pub(super) fn of_present(
        rule: impl Rule<WORDS> + Send + Sync + 'static,
        nodes: impl IntoIterator<Item = (usize, S)>,
        plan: Plan<C, X, L>,
    ) -> Result<Self, NodesError<WORDS>> {
        let members = rule.members();
        if members.is_empty() {
            return Err(NodesError::NoMembers);
        }
        let (mut named, mut order, mut services) = (Nodes::EMPTY, Vec::new(), Vec::new());
        for (node, service) in nodes {
            if !members.contains(node) {
                return Err(NodesError::Stranger { node });
            }
            if !named.insert(node) {
                return Err(NodesError::NodeTwice { node });
            }
            order.push(node);
            services.push(Node::new(service));
        }
        let shared = Agenda {
            rule: Box::new(rule),
            order: order.into(),
            turn: plan.rotates.then(AtomicUsize::default),
            present: named,
            absent: members - named,
            pace: plan.pace.clone(),
            telemetry: Telemetry::new(Arc::clone(&plan.name)),
            plan,
        };
        Ok(Self { nodes: services, first: None, shared: Striped::new(|_| shared) })
    }
}

impl<S, P, const WORDS: usize> QuorumCall<S, P, WORDS> {
    /// The nodes' services, by number.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &S)> {
        self.shared.order.iter().copied().zip(self.nodes.iter().map(|node| &node.service))
    }

    /// The members that have no service, because [`Quorum`](crate::Quorum) could not make one. They count as failed from the
    /// start.
    #[must_use]
    pub fn absent(&self) -> Nodes<WORDS> {
        self.shared.absent
    }

    /// Makes a call that reports each level it reaches: one, quorum, all. It goes on after the quorum until every node that
    /// was called has answered, or until it is dropped.
    ///
    /// As with `call`, ask for readiness first.
    pub fn levels<Req>(&mut self, request: Req) -> Levels<S, Req, P, WORDS>
    where
        S: Service<Req> + Clone,
        Req: Clone,
        P: Conduct<S, Req, WORDS>,
    {
        Levels::new(self.start(request))
    }

    /// Calls the first nodes.
    fn start<Req>(&mut self, request: Req) -> Drive<S, Req, P, WORDS>
    where
        S: Service<Req> + Clone,
        Req: Clone,
        P: Conduct<S, Req, WORDS>,
    {
        let (shared, now) = (self.shared.lane(), CLOCK.now());
        let first = self.first.take().unwrap_or_else(|| shared.next_turn());
        let deadline = shared.plan.deadline(&request).map(Deadline::instant);
        if deadline.is_some_and(|deadline| deadline <= now) {
            let late = Drive::new(Arc::clone(shared), None, now, Some(now), first);
            self.nodes.iter_mut().for_each(Node::release);
            return late;
        }
        let called = match shared.pace {
            Pace::AllAtOnce => shared.present,
            _ => opening(&*shared.rule, shared.preference(first), self.ready()),
        };
        let mut drive = Drive::new(Arc::clone(shared), Some(request), now, deadline, first);
        let mut left = called.len();
        if called != shared.present {
            drive.keep(self.reserve(called));
            // The request itself is for the last of those.
            left = usize::MAX;
        }
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if !called.contains(self.shared.order[place]) {
                continue;
            }
            left -= 1;
            if node.standing == Standing::Ready {
                node.standing = Standing::Fresh;
                drive.call(place, &mut node.service, left == 0);
            } else {
                // The instance that waits in line goes on waiting inside the call.
                drive.ready_then_call(place, node.renew(), left == 0);
            }
        }
        drive
    }

    /// Instances for the nodes that are not called yet, by place. What was asked of those nodes is taken back: who holds a
    /// permit that is not used, or stands in line for one, keeps others from it, this call first of all.
    fn reserve(&mut self, called: Nodes<WORDS>) -> Vec<Option<S>>
    where
        S: Clone,
    {
        let instance = |(node, number): (&mut Node<S>, &usize)| {
            (!called.contains(*number)).then(|| {
                node.release();
                node.service.clone()
            })
        };
        self.nodes.iter_mut().zip(&self.shared.order).map(instance).collect()
    }

    /// Which nodes are ready.
    fn ready(&self) -> Nodes<WORDS> {
        let mut ready = Nodes::EMPTY;
        for (node, number) in self.nodes.iter().zip(&self.shared.order) {
            if node.standing == Standing::Ready {
                ready.insert(*number);
            }
        }
        ready
    }
}

impl<S, Req, P, const WORDS: usize> Service<Req> for QuorumCall<S, P, WORDS>
where
    S: Service<Req> + Clone,
    Req: Clone,
    P: Conduct<S, Req, WORDS>,
{
    type Response = Answers<S::Response, S::Error, WORDS>;
    type Error = CallError<S::Response, S::Error, WORDS>;
    type Future = QuorumFuture<S, Req, P, WORDS>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let shared = &*self.shared;
        let (mut ready, mut course, mut failures) = (Nodes::EMPTY, Course::new(shared.absent), Vec::new());
        let first = *self.first.get_or_insert_with(|| shared.next_turn());
        for place in shared.places(first) {
            let (node, number) = (&mut self.nodes[place], shared.order[place]);
            match node.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    ready.insert(number);
                }
                Poll::Ready(Err(error)) => {
                    let (result, after) = (Err(error), Duration::ZERO);
                    let verdict = shared.plan.judge(result.as_ref());
                    course.call(number);
                    course.answered(number, verdict, false);
                    failures.push(Answer { node: number, result, verdict, after });
                }
                Poll::Pending => {}
            }
            // Where a quorum is called first, nobody is asked for what will not be used.
            if !matches!(shared.pace, Pace::AllAtOnce) && shared.rule.is_quorum(ready) {
                break;
            }
        }
        if !ready.is_empty() {
            // Others are awaited inside the call, and those who failed fail again there, where their errors are kept. To
            // hold some nodes here while waiting for more would be to wait in a circle with another handle that does the
            // same.
            Poll::Ready(Ok(()))
        } else if shared.rule.is_quorum(!course.no()) {
            Poll::Pending
        } else {
            shared.telemetry.ended(Outcome::Lost, &course);
            let answers = Answers::new(failures, course, shared.present, Duration::ZERO);
            Poll::Ready(Err(CallError::lost(answers)))
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        QuorumFuture::new(self.start(request))
    }
}

impl<S: Clone, P, const WORDS: usize> Clone for QuorumCall<S, P, WORDS> {
    /// Another handle, without readiness.
    fn clone(&self) -> Self {
        let nodes = self.nodes.iter().map(|node| Node::new(node.service.clone()));
        Self { nodes: nodes.collect(), first: None, shared: self.shared.clone() }
    }
}

impl<S, P, const WORDS: usize> fmt::Debug for QuorumCall<S, P, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumCall").field("shared", &*self.shared).finish_non_exhaustive()
    }
}
