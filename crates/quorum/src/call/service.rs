//! The service. How it begins a call stands in `start`.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use steadfast_core::{Classify, DefaultClassifier, NoContext, RequestContext, parts::Striped};
use tower_service::Service;

use super::{
    answers::{Answer, Answers},
    config::{CallConfig, Settings},
    error::{CallError, SetupError},
    future::QuorumFuture,
    levels::Levels,
    node::Node,
    on_decided::{Cancel, OnDecided},
    pace::Pace,
    progress::Progress,
    shared::Shared,
    stragglers::Stragglers,
    telemetry::Outcome,
};
use crate::{Nodes, Rule};

/// Sends a request to several nodes, and answers once a quorum of them has, or once none can any
/// more.
///
/// One service for each node. The [config](CallConfig) says which nodes it calls when. On the call
/// itself stand behaviours: `C` judges answers ([`classify`](Self::classify)), `X` reads a
/// request's deadline ([`context`](Self::context)), `D` takes the nodes' calls that are under way
/// when the call is decided ([`on_decided`](Self::on_decided)). A tower service itself: retries,
/// breakers and timeouts go round it, and round each node's service inside. It has several inner
/// services and so no `get_ref`: see [`nodes`](Self::nodes).
///
/// **Readiness.** It is ready once one of its nodes is. A node that is not ready does not hold up
/// the others: its readiness is awaited inside the call, within the deadline, and where not all
/// nodes are called, others are called in its place. Put `tower::load_shed` round nodes that should
/// rather fail. No node is held while another is waited for, so that calls over the same nodes
/// never wait for each other in a circle. It fails only when so many nodes fail their readiness at
/// once that no quorum is left; they are asked again the next time.
///
/// **Cancellation.** Dropping the future, or deciding the call, cancels the nodes' calls that are
/// under way, or [detaches](OnDecided) them.
///
/// **Panics.** A panic of a node's service is the panic of the call. A call that has to wait for
/// its deadline or for its delay panics outside of a tokio runtime with its timer enabled.
///
/// ```
/// use steadfast_quorum::{CallConfig, QuorumCall, Threshold};
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
/// let mut call = QuorumCall::new(Threshold::majority_of(3)?, nodes, CallConfig::all_at_once())?;
///
/// let answers = call.ready().await?.call("tea").await?;
/// assert!(answers.replies().map(|(node, _)| node).eq([0, 2]));
/// assert!(answers.errors().map(|(node, _)| node).eq([1]));
/// # use tower::Service;
/// # Ok(()) }
/// ```
pub struct QuorumCall<S, C = DefaultClassifier, X = NoContext, D = Cancel, const WORDS: usize = 1> {
    pub(super) nodes: Vec<Node<S>>,
    /// The place of the node that the call to come prefers, once it was asked for readiness.
    pub(super) first: Option<usize>,
    pub(super) shared: Striped<Shared<WORDS>>,
    pub(super) classifier: C,
    pub(super) context: X,
    pub(super) on_decided: D,
}

impl<S, const WORDS: usize> QuorumCall<S, DefaultClassifier, NoContext, Cancel, WORDS> {
    /// Calls `nodes`, each by its number in the rule. Those named first are preferred where not all
    /// are called, unless the config [rotates](CallConfig::rotate).
    ///
    /// # Errors
    /// When the config cannot work, the rule has no members, a node has two services or is no
    /// member of it, or a member has no service. A rule of your own says its
    /// [members](Rule::members): otherwise every node there can be is one, and needs a service.
    pub fn new(
        rule: impl Rule<WORDS> + Send + Sync + 'static,
        nodes: impl IntoIterator<Item = (usize, S)>,
        config: CallConfig,
    ) -> Result<Self, SetupError<WORDS>> {
        let are_all_members = rule.members() == Nodes::ALL;
        let call = Self::of_present(rule, nodes, config.check()?)?;
        match call.absent() {
            nodes if nodes.is_empty() => Ok(call),
            nodes if are_all_members => Err(SetupError::MembersUnsaid { nodes }),
            nodes => Err(SetupError::Missing { nodes }),
        }
    }

    /// The same, but members without a service are absent: they count as failed.
    pub(super) fn of_present(
        rule: impl Rule<WORDS> + Send + Sync + 'static,
        nodes: impl IntoIterator<Item = (usize, S)>,
        settings: Settings,
    ) -> Result<Self, SetupError<WORDS>> {
        let members = rule.members();
        if members.is_empty() {
            return Err(SetupError::NoMembers);
        }
        let (mut present, mut order, mut services) = (Nodes::EMPTY, Vec::new(), Vec::new());
        for (node, service) in nodes {
            if !members.contains(node) {
                return Err(SetupError::Stranger { node });
            }
            if !present.insert(node) {
                return Err(SetupError::NodeTwice { node });
            }
            order.push(node);
            services.push(Node::new(service));
        }
        Ok(Self {
            nodes: services,
            first: None,
            shared: Striped::new(|_| Shared::new(rule, order, present, settings)),
            classifier: DefaultClassifier,
            context: NoContext,
            on_decided: Cancel,
        })
    }
}

impl<S, C, X, D, const WORDS: usize> QuorumCall<S, C, X, D, WORDS> {
    /// Judges answers by `classifier`. Only a success is a vote for yes; anything else is one for
    /// no.
    ///
    /// Where a node that answers "there is none" has answered, such as with 404, the classifier
    /// calls that a success. It sees what the service gives back: a body that is to be read and
    /// understood before it counts is read inside the node's service.
    #[must_use]
    pub fn classify<C2>(self, classifier: C2) -> QuorumCall<S, C2, X, D, WORDS> {
        let Self { nodes, first, shared, context, on_decided, .. } = self;
        QuorumCall { nodes, first, shared, classifier, context, on_decided }
    }

    /// Reads a request's deadline by `context`. A closure `Fn(&Req) -> Option<Deadline>` will do.
    /// When it has passed, the call ends with [`CallError::Incomplete`]; a call whose deadline has
    /// passed already calls no node.
    ///
    /// That says nothing of the nodes, and no breaker round the call counts it. Where callers'
    /// deadlines are all that ends a call to nodes that hang, a limit that learns shows that they
    /// do: a timeout round the service of each node.
    #[must_use]
    pub fn context<X2>(self, context: X2) -> QuorumCall<S, C, X2, D, WORDS> {
        let Self { nodes, first, shared, classifier, on_decided, .. } = self;
        QuorumCall { nodes, first, shared, classifier, context, on_decided }
    }

    /// For HTTP: the deadline from the request's extensions, answers judged by their status. A
    /// classifier of your own comes after it.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(
        self,
    ) -> QuorumCall<
        S,
        steadfast_core::http::HttpClassifier,
        steadfast_core::http::HttpContext,
        D,
        WORDS,
    > {
        self.classify(steadfast_core::http::HttpClassifier)
            .context(steadfast_core::http::HttpContext)
    }

    /// For gRPC: the deadline from the request's extensions, answers judged by their status. A
    /// classifier of your own comes after it.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(
        self,
    ) -> QuorumCall<
        S,
        steadfast_core::tonic::GrpcClassifier,
        steadfast_core::http::HttpContext,
        D,
        WORDS,
    > {
        self.classify(steadfast_core::tonic::GrpcClassifier)
            .context(steadfast_core::http::HttpContext)
    }

    /// Hands the nodes' calls that are under way when the call is decided to `on_decided`:
    /// [`Cancel`], as it is for reads; or, with the feature `detach`, a `Detach`, which finishes
    /// them in the background: for writes. Give that a limit, for a node may never answer.
    #[must_use]
    pub fn on_decided<D2>(self, on_decided: D2) -> QuorumCall<S, C, X, D2, WORDS> {
        let Self { nodes, first, shared, classifier, context, .. } = self;
        QuorumCall { nodes, first, shared, classifier, context, on_decided }
    }

    /// The nodes' services by number, in the order in which they were named.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &S)> {
        self.shared.order.iter().copied().zip(self.nodes.iter().map(|node| &node.service))
    }

    /// The members that have no service, because [`Quorum`](crate::Quorum) could not make one. They
    /// count as failed from the start.
    #[must_use]
    pub fn absent(&self) -> Nodes<WORDS> {
        self.shared.absent
    }

    /// Makes a call that reports each level it reaches: one, quorum, all. It goes on after the
    /// quorum until every node that was called has answered, or until it is dropped.
    ///
    /// As with `call`, ask for readiness first.
    pub fn levels<Req>(&mut self, request: Req) -> Levels<S, Req, C, D, WORDS>
    where
        S: Service<Req> + Clone,
        Req: Clone,
        C: Clone,
        X: RequestContext<Req>,
        D: OnDecided<Stragglers<S, Req, WORDS>> + Clone,
    {
        Levels::new(self.start(request))
    }
}

impl<S, Req, C, X, D, const WORDS: usize> Service<Req> for QuorumCall<S, C, X, D, WORDS>
where
    S: Service<Req> + Clone,
    Req: Clone,
    C: Classify<S::Response, S::Error> + Clone,
    X: RequestContext<Req>,
    D: OnDecided<Stragglers<S, Req, WORDS>> + Clone,
{
    type Response = Answers<S::Response, S::Error, WORDS>;
    type Error = CallError<S::Response, S::Error, WORDS>;
    type Future = QuorumFuture<S, Req, C, D, WORDS>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let shared = &*self.shared;
        let (mut ready, mut is_waiting) = (Nodes::EMPTY, false);
        let (mut progress, mut failures) = (Progress::new(shared.absent), Vec::new());
        let first = *self.first.get_or_insert_with(|| shared.next_turn());
        for place in shared.places(first) {
            let (node, number) = (&mut self.nodes[place], shared.order[place]);
            match node.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    ready.insert(number);
                }
                Poll::Ready(Err(error)) => {
                    let (result, after) = (Err(error), Duration::ZERO);
                    let verdict = self.classifier.classify(result.as_ref());
                    progress.call(number);
                    progress.answered(number, verdict, false);
                    failures.push(Answer { node: number, result, verdict, after });
                }
                Poll::Pending => is_waiting = true,
            }
            // Where a quorum is called first, the other nodes are not asked for what will not be
            // used.
            if !matches!(shared.pace, Pace::AllAtOnce) && shared.rule.is_quorum(ready) {
                break;
            }
        }
        if !ready.is_empty() {
            // The others are awaited inside the call, and those that failed fail again there, where
            // their errors are kept. To hold some nodes here while waiting for more would be a
            // deadlock with another handle that does the same.
            Poll::Ready(Ok(()))
        } else if shared.rule.is_quorum(!progress.no()) {
            // With no node to wait for there is no waker either: every node has failed, and the
            // classifier calls that a success. The call itself counts it so.
            if is_waiting { Poll::Pending } else { Poll::Ready(Ok(())) }
        } else {
            shared.telemetry.ended(Outcome::Lost, &progress);
            let answers = Answers::new(failures, progress, shared.present, Duration::ZERO);
            Poll::Ready(Err(CallError::lost(answers, &*shared.rule)))
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        QuorumFuture::new(self.start(request))
    }
}

impl<S: Clone, C: Clone, X: Clone, D: Clone, const WORDS: usize> Clone
    for QuorumCall<S, C, X, D, WORDS>
{
    /// Another handle, without readiness.
    fn clone(&self) -> Self {
        Self {
            nodes: self.nodes.iter().map(|node| Node::new(node.service.clone())).collect(),
            first: None,
            shared: self.shared.clone(),
            classifier: self.classifier.clone(),
            context: self.context.clone(),
            on_decided: self.on_decided.clone(),
        }
    }
}

impl<S, C, X, D, const WORDS: usize> fmt::Debug for QuorumCall<S, C, X, D, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumCall").field("shared", &*self.shared).finish_non_exhaustive()
    }
}
