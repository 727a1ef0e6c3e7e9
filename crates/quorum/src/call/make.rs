//! From a list of endpoints to a call.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use steadfast_core::{ConfigError, EveryError, parts::Alarm};
use tower_service::Service;

use super::{
    answers::Answer,
    config::{CallConfig, Settings},
    error::SetupError,
    levels::{Level, Levels, Reached},
    on_decided::Cancel,
    pace::CLOCK,
    service::QuorumCall,
};
use crate::{Rule, RuleError};

/// Makes a [`QuorumCall`] from a list of endpoints: a make-service over one that makes the service
/// of an endpoint. Behaviours are given to the call that it makes.
///
/// Endpoints are the nodes from 0 in their order. All are made at once. It is done when all are; or
/// when a quorum is, and the others have failed or taken longer than its
/// [`patience`](Self::patience). Those are [absent](QuorumCall::absent) from the call, for good:
/// where nodes that are down now should take part later, let the inner make-service connect lazily.
/// Until a quorum is made it waits for as long as that takes: put a timeout round it, or round the
/// inner make-service.
///
/// ```
/// use std::convert::Infallible;
/// use steadfast_quorum::{CallConfig, Quorum, Threshold};
/// use tower::{BoxError, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let connect = service_fn(|endpoint: &'static str| async move {
///     let node = service_fn(move |key: &'static str| async move {
///         Ok::<_, Infallible>(format!("{key} at {endpoint}"))
///     });
///     if endpoint == "c" { Err("unreachable") } else { Ok(node) }
/// });
/// let quorum = Quorum::new(connect, Threshold::majority_of, CallConfig::all_at_once())?;
/// let mut call = quorum.oneshot(["a", "b", "c"]).await?;
/// let answers = call.ready().await?.call("tea").await?;
/// assert!(answers.into_replies().eq([(0, "tea at a".to_owned()), (1, "tea at b".to_owned())]));
/// assert_eq!(call.absent().to_string(), "{2}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Quorum<M, F> {
    make: M,
    rule: F,
    settings: Settings,
    patience: Duration,
}

/// What is connected to at all is connected to within a few round trips and a lost packet or two:
/// TCP sends again after 1 s and after 3 s.
const PATIENCE: Duration = Duration::from_secs(5);

impl<M, F> Quorum<M, F> {
    /// Services by `make`, the rule over so many nodes by `rule`, such as
    /// [`Threshold::majority_of`](crate::Threshold::majority_of), calls by `config`. Calls that it
    /// makes learn latencies together.
    ///
    /// # Errors
    /// When the config cannot work.
    pub fn new(make: M, rule: F, config: CallConfig) -> Result<Self, ConfigError> {
        Ok(Self { make, rule, settings: config.check()?, patience: PATIENCE })
    }

    /// How long to wait for the others once a quorum is made. The default is 5 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The inner make-service.
    pub const fn get_ref(&self) -> &M {
        &self.make
    }

    /// The inner make-service.
    pub const fn get_mut(&mut self) -> &mut M {
        &mut self.make
    }

    /// The inner make-service.
    pub fn into_inner(self) -> M {
        self.make
    }
}

impl<M, F, R, T, I> Service<I> for Quorum<M, F>
where
    M: Service<T> + Clone,
    F: Fn(usize) -> Result<R, RuleError>,
    R: Rule + Send + Sync + 'static,
    T: Clone + PartialEq,
    I: IntoIterator<Item = T>,
{
    type Response = QuorumCall<M::Response>;
    type Error = MakeError<M::Error>;
    type Future = MakeFuture<M, T>;

    /// Always: the readiness of the inner make-service is awaited for each endpoint.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, endpoints: I) -> Self::Future {
        let state = self.begin(endpoints.into_iter().collect());
        let state = state.unwrap_or_else(|error| State::Refused { error: Some(error) });
        let (settings, patience) = (Some(self.settings.clone()), self.patience);
        MakeFuture { state, settings, patience, alarm: Alarm::new(), made: Vec::new() }
    }
}

impl<M, F> Quorum<M, F> {
    fn begin<T, R>(&self, endpoints: Vec<T>) -> Result<State<M, T>, MakeError<M::Error>>
    where
        M: Service<T> + Clone,
        F: Fn(usize) -> Result<R, RuleError>,
        R: Rule + Send + Sync + 'static,
        T: Clone + PartialEq,
    {
        // The rule first: it refuses how many there are before each is compared with each.
        let rule: SharedRule = Arc::new((self.rule)(endpoints.len())?);
        for (second, endpoint) in endpoints.iter().enumerate() {
            if let Some(first) = endpoints[..second].iter().position(|earlier| earlier == endpoint)
            {
                return Err(MakeError::EndpointTwice { first, second });
            }
        }
        let makers =
            endpoints.into_iter().map(|endpoint| Maker { make: self.make.clone(), endpoint });
        let config = CallConfig::all_at_once().named(format!("{}-make", self.settings.name));
        let mut call =
            QuorumCall::new(Arc::clone(&rule), makers.enumerate(), config)?.classify(EveryError);
        Ok(State::Making { levels: call.levels(()), rule })
    }
}

type SharedRule = Arc<dyn Rule + Send + Sync>;

/// Makes the service of one endpoint.
#[derive(Clone, Debug)]
struct Maker<M, T> {
    make: M,
    endpoint: T,
}

impl<M: Service<T>, T: Clone> Service<()> for Maker<M, T> {
    type Response = M::Response;
    type Error = M::Error;
    type Future = M::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.make.poll_ready(cx)
    }

    fn call(&mut self, (): ()) -> M::Future {
        self.make.call(self.endpoint.clone())
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<M, T>
    where
        M: Service<T>,
        T: Clone,
    {
        Refused { error: Option<MakeError<M::Error>> },
        Making { levels: Levels<Maker<M, T>, (), EveryError, Cancel>, rule: SharedRule },
    }
}

pin_project! {
    /// The future of [`Quorum`]: a call over all endpoints, or over as many as are a quorum.
    /// Dropping it cancels all that is being made.
    pub struct MakeFuture<M, T>
    where
        M: Service<T>,
        T: Clone,
    {
        #[pin]
        state: State<M, T>,
        settings: Option<Settings>,
        patience: Duration,
        #[pin]
        alarm: Alarm,
        made: Vec<Answer<M::Response, M::Error>>,
    }
}

impl<M, T> Future for MakeFuture<M, T>
where
    M: Service<T>,
    T: Clone,
{
    type Output = Result<QuorumCall<M::Response>, MakeError<M::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (levels, rule) = match this.state.project() {
            StateProjection::Making { levels, rule } => (levels, rule),
            StateProjection::Refused { error } => {
                return Poll::Ready(Err(error
                    .take()
                    .expect("a future is not polled after it was ready")));
            }
        };
        loop {
            match Pin::new(&mut *levels).poll_next(cx) {
                Poll::Ready(Some(Ok(Reached { level, answers, .. }))) => {
                    this.made.extend(answers);
                    if level == Level::Quorum
                        && let Some(end) = CLOCK.now().checked_add(*this.patience)
                    {
                        this.alarm.as_mut().set(end);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let answers = mem::take(this.made).into_iter().chain(error.into_answers());
                    let errors =
                        answers.filter_map(|answer| Some((answer.node, answer.result.err()?)));
                    return Poll::Ready(Err(MakeError::Lost { errors: errors.collect() }));
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    ready!(this.alarm.as_mut().poll(cx));
                    this.made.extend(levels.stop());
                    break;
                }
            }
        }
        let settings = this.settings.take().expect("a future is not polled after it was ready");
        let mut made = mem::take(this.made);
        // In the order of the endpoints, the first of which is preferred.
        made.sort_by_key(|answer| answer.node);
        let nodes = made.into_iter().filter_map(|answer| Some((answer.node, answer.result.ok()?)));
        Poll::Ready(Ok(QuorumCall::of_present(Arc::clone(rule), nodes, settings)?))
    }
}

impl<M: Service<T>, T: Clone> fmt::Debug for MakeFuture<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeFuture").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Why no call could be made of a list of endpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError<E> {
    /// There is no such rule over so many endpoints.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The rule is not over the endpoints.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// An endpoint stands twice in the list, and would vote twice.
    #[error("endpoints {first} and {second} are the same")]
    EndpointTwice {
        /// Its first place.
        first: usize,
        /// Its second place.
        second: usize,
    },
    /// So many services could not be made that those that can are no quorum.
    #[error("the services of {} endpoints could not be made, and the others are no quorum", errors.len())]
    Lost {
        /// Why, by endpoint.
        errors: Vec<(usize, E)>,
    },
}
