//! The service.

use std::{
    fmt, mem,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll},
    time::Duration,
};

use steadfast_core::Deadline;
use tower_service::Service;

use super::{
    agenda::{Agenda, Shared},
    answers::{Answer, Answers},
    course::{Course, opening},
    drive::Drive,
    error::{CallError, NodesError},
    future::QuorumFuture,
    levels::Levels,
    losers::Conduct,
    pace::{CLOCK, Pace},
    plan::Plan,
    telemetry::Telemetry,
};
use crate::{Nodes, Rule};

/// Sends a request to several nodes, and answers once a quorum of them has, or once none can any more.
///
/// One service for each node. Whom it calls when, what it takes for a yes, and what becomes of the slow is its [`Plan`]'s. A tower service itself: retries, breakers and timeouts
/// go round it, and round each node's service inside.
///
/// **Readiness.** It is ready once a quorum of its nodes is. A node that is not holds nobody up: its readiness is awaited inside the call. While no quorum is ready it is not
/// either; put `tower::load_shed` round nodes that should rather fail. It fails only when so many nodes fail their readiness that no quorum is left;
/// they are asked again the next time.
///
/// **Cancellation.** Dropping the future, or deciding the call, cancels the nodes' calls that are under way or detaches them, as planned.
///
/// **Panics.** A panic of a node's service comes out. A call that has to wait for its deadline or for its delay panics outside of a tokio runtime with its timer enabled.
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
    shared: Shared<P, WORDS>,
}

#[derive(Debug)]
struct Node<S> {
    service: S,
    is_ready: bool,
}

impl<S, C, X, L, const WORDS: usize> QuorumCall<S, Plan<C, X, L>, WORDS> {
    /// Calls `nodes`, each by its number in the rule, by `plan`. Those named first are preferred where not all are called, unless the plan
    /// [rotates](Plan::rotate).
    ///
    /// # Errors
    /// When a node has two services, is no member of the rule, or when a member has no service.
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
        let (mut named, mut order, mut services) = (Nodes::EMPTY, Vec::new(), Vec::new());
        for (node, service) in nodes {
            if !members.contains(node) {
                return Err(NodesError::Stranger { node });
            }
            if !named.insert(node) {
                return Err(NodesError::NodeTwice { node });
            }
            order.push(node);
            services.push(Node { service, is_ready: false });
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
        Ok(Self { nodes: services, first: None, shared: Arc::new(shared) })
    }
}

impl<S, P, const WORDS: usize> QuorumCall<S, P, WORDS> {
    /// The nodes' services, by number.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &S)> {
        self.shared.order.iter().copied().zip(self.nodes.iter().map(|node| &node.service))
    }

    /// The members that have no service, because [`Quorum`](crate::Quorum) could not make one. They count as failed from the start.
    #[must_use]
    pub fn absent(&self) -> Nodes<WORDS> {
        self.shared.absent
    }

    /// Makes a call that reports each level it reaches: one, quorum, all. It goes on after the quorum until every node that was called has answered, or until it is dropped.
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
        let (shared, now) = (&self.shared, CLOCK.now());
        let first = self.first.take().unwrap_or_else(|| shared.next_turn());
        let deadline = shared.plan.deadline(&request).map(Deadline::instant);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Drive::new(Arc::clone(shared), None, now, Some(now), first);
        }
        let called = match shared.pace {
            Pace::AllAtOnce => shared.present,
            _ => opening(&*shared.rule, shared.preference(first), self.ready()),
        };
        let mut drive = Drive::new(Arc::clone(shared), Some(request), now, deadline, first);
        let mut left = called.len();
        if called != shared.present {
            let later = |(node, number): (&Node<S>, &usize)| (!called.contains(*number)).then(|| node.service.clone());
            drive.keep(self.nodes.iter().zip(&shared.order).map(later).collect());
            // The request itself is for the last of those.
            left = usize::MAX;
        }
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if !called.contains(shared.order[place]) {
                continue;
            }
            left -= 1;
            if mem::take(&mut node.is_ready) {
                drive.call(place, &mut node.service, left == 0);
            } else {
                // The instance that waits in line goes on waiting inside the call; a new one stands here for the next.
                let next = node.service.clone();
                drive.ready_then_call(place, mem::replace(&mut node.service, next), left == 0);
            }
        }
        drive
    }

    /// Which nodes are ready.
    fn ready(&self) -> Nodes<WORDS> {
        let mut ready = Nodes::EMPTY;
        for (node, number) in self.nodes.iter().zip(&self.shared.order) {
            if node.is_ready {
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
            if !node.is_ready {
                match node.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => node.is_ready = true,
                    Poll::Ready(Err(error)) => {
                        // What has failed its readiness is not asked again.
                        node.service = node.service.clone();
                        let (result, after) = (Err(error), Duration::ZERO);
                        let verdict = shared.plan.judge(result.as_ref());
                        course.call(number);
                        course.answered(number, verdict, false);
                        failures.push(Answer { node: number, result, verdict, after });
                    }
                    Poll::Pending => {}
                }
            }
            if node.is_ready {
                ready.insert(number);
            }
            // Where a quorum is called first, nobody is asked for what will not be used.
            if !matches!(shared.pace, Pace::AllAtOnce) && shared.rule.is_quorum(ready) {
                break;
            }
        }
        if shared.rule.is_quorum(ready) {
            // Those who failed fail again inside the call, where their errors are kept.
            Poll::Ready(Ok(()))
        } else if shared.rule.is_quorum(!course.no()) {
            Poll::Pending
        } else {
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
        let nodes = self.nodes.iter().map(|node| Node { service: node.service.clone(), is_ready: false });
        Self { nodes: nodes.collect(), first: None, shared: Arc::clone(&self.shared) }
    }
}

impl<S, P, const WORDS: usize> fmt::Debug for QuorumCall<S, P, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumCall").field("shared", &self.shared).finish_non_exhaustive()
    }
}
