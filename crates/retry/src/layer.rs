//! The layer.

use std::{fmt, sync::Arc, time::Duration};

use steadfast_core::{
    Attempt, Deadline, DefaultClassifier, NoContext, TimeSource, Verdict, parts::Splitter,
};

#[cfg(feature = "http")]
use crate::http::{HttpReplay, ReplayBody};
use crate::{
    budget::{Budget, Withdrawal},
    config::RetryConfig,
    idempotency::AlwaysIdempotent,
    policy::{Outcome, Policy, is_in_time},
    replay::CloneReplay,
    telemetry::Telemetry,
};

/// Sends failed requests again, where that is safe, within a budget that all services of one layer
/// share.
///
/// `C` judges outcomes, `X` reads a request's deadline, `P` keeps requests and says what may be
/// executed twice. By default every response is a success and an error is judged by its source
/// chain (see [`DefaultClassifier`]), no request has a deadline, and no request may be executed
/// twice: only the user knows.
///
/// A retry waits on tokio's timer: a call that is to be retried panics outside a tokio runtime with
/// time enabled. One that succeeds at once needs no runtime.
///
/// ```
/// use std::{io, sync::atomic::{AtomicU32, Ordering}};
/// use steadfast_retry::RetryLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// static CALLS: AtomicU32 = AtomicU32::new(0);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> io::Result<()> {
/// let flaky = service_fn(async |n: u32| match CALLS.fetch_add(1, Ordering::Relaxed) {
///     0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
///     _ => Ok(n + 1),
/// });
/// // It may have been executed, so the caller has to say that this does no harm.
/// assert_eq!(RetryLayer::default().idempotent().layer(flaky).oneshot(1).await?, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RetryLayer<C = DefaultClassifier, X = NoContext, P = CloneReplay> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) budget: Budget,
    pub(crate) classifier: C,
    pub(crate) context: X,
    pub(crate) replay: P,
}

/// What all clones of one layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Policy,
    pub(crate) splitter: Splitter,
    pub(crate) telemetry: Telemetry,
}

impl Shared {
    /// What follows an attempt that ended with this verdict: the wait before the next, and what
    /// that takes from the budget; or why there is none.
    ///
    /// The budget comes last of all questions, so that nothing is charged for a retry that is not
    /// made.
    pub(crate) fn next(
        &self,
        budget: &Budget,
        (verdict, attempt): (Verdict, Attempt),
        previous: &mut Duration,
        deadline: Option<Deadline>,
        is_idempotent: impl FnOnce() -> bool,
    ) -> Result<(Duration, Withdrawal), Outcome> {
        let cost = self.policy.permits(verdict, attempt, is_idempotent)?;
        // Split at each failure: a generator kept in the call would be moved with every call that
        // succeeds.
        let mut rng = self.splitter.split();
        let delay = self.policy.wait(verdict.retry_after(), attempt, previous, &mut rng)?;
        // Reads no clock when there is no deadline.
        if deadline.is_some() && !is_in_time(deadline, TimeSource::Tokio.now(), delay) {
            return Err(Outcome::Deadline);
        }
        let withdrawal = budget.try_withdraw(cost).map_err(|_| Outcome::BudgetExhausted)?;
        Ok((delay, withdrawal))
    }
}

impl RetryLayer {
    /// Retries by the numbers of `config`, within a budget of its own with the default figures.
    pub fn new(config: RetryConfig) -> Self {
        let shared = Shared {
            policy: config.policy,
            splitter: config.seed.map_or_else(Splitter::from_entropy, Splitter::seeded),
            telemetry: Telemetry::new(config.name),
        };
        Self {
            shared: Arc::new(shared),
            budget: Budget::default(),
            classifier: DefaultClassifier,
            context: NoContext,
            replay: CloneReplay::default(),
        }
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new(RetryConfig::new())
    }
}

impl<C, X, P> RetryLayer<C, X, P> {
    /// Takes retries from `budget`. Give clones of one budget to all layers that send to the same
    /// service.
    ///
    /// Where one of them stands inside another, an HTTP request is counted once for both: its
    /// extensions say so. Any other request is counted by each of them, and gives that many times
    /// the credit; there, give the inner layer a budget of its own.
    pub fn budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// Judges outcomes by `classifier`.
    pub fn classify<C2>(self, classifier: C2) -> RetryLayer<C2, X, P> {
        let Self { shared, budget, context, replay, .. } = self;
        RetryLayer { shared, budget, classifier, context, replay }
    }

    /// Reads the deadline of a request by `context`. No retry is decided on that could not begin
    /// before it.
    ///
    /// It also ends the wait for the service to become ready, with the error of the attempt before.
    /// A response is dropped before that wait, as it may hold the connection that is waited for;
    /// then the call ends with [`TooLate`](crate::TooLate), where the service's error can hold it.
    /// Where it cannot, the attempt is made when the service is ready, late or not, and it is for a
    /// `DeadlineLayer` outside to end the call.
    pub fn context<X2>(self, context: X2) -> RetryLayer<C, X2, P> {
        let Self { shared, budget, classifier, replay, .. } = self;
        RetryLayer { shared, budget, classifier, context, replay }
    }

    /// Keeps and repeats requests by `replay`.
    pub fn replay<P2>(self, replay: P2) -> RetryLayer<C, X, P2> {
        self.map_replay(|_| replay)
    }

    fn map_replay<P2>(self, map: impl FnOnce(P) -> P2) -> RetryLayer<C, X, P2> {
        let Self { shared, budget, classifier, context, replay } = self;
        RetryLayer { shared, budget, classifier, context, replay: map(replay) }
    }

    /// Judges HTTP responses by status, replays requests with bodies of up to 64 KiB, takes
    /// requests as idempotent by method or `Idempotency-Key`, and reads the deadline from the
    /// request's extensions. The inner service is called with `Request<ReplayBody<B>>`; where it
    /// takes but one body type, follow up with [`body_as`](RetryLayer::body_as).
    #[cfg(feature = "http")]
    pub fn http(
        self,
    ) -> RetryLayer<
        steadfast_core::http::HttpClassifier,
        steadfast_core::http::HttpContext,
        HttpReplay,
    > {
        self.classify(steadfast_core::http::HttpClassifier)
            .context(steadfast_core::http::HttpContext)
            .replay(HttpReplay::default())
    }

    /// As [`http`](Self::http), but judges gRPC calls by their status, and tells the server how
    /// many attempts were made before, in `grpc-previous-rpc-attempts` (gRFC A6). A gRPC call is a
    /// POST: it is idempotent by its `Idempotency-Key`, or by the caller's word, given to
    /// [`idempotent_if`](RetryLayer::idempotent_if).
    #[cfg(feature = "tonic")]
    pub fn grpc(
        self,
    ) -> RetryLayer<
        steadfast_core::tonic::GrpcClassifier,
        steadfast_core::http::HttpContext,
        HttpReplay,
    > {
        self.http()
            .classify(steadfast_core::tonic::GrpcClassifier)
            .map_replay(HttpReplay::with_grpc_attempts)
    }
}

impl<C, X, I, M> RetryLayer<C, X, CloneReplay<I, M>> {
    /// The caller's word that every request may be executed twice.
    pub fn idempotent(self) -> RetryLayer<C, X, CloneReplay<AlwaysIdempotent, M>> {
        self.map_replay(|replay| replay.with_idempotency(AlwaysIdempotent))
    }

    /// The caller's word on which requests may be executed twice.
    pub fn idempotent_if<Req, F: Fn(&Req) -> bool>(
        self,
        is_idempotent: F,
    ) -> RetryLayer<C, X, CloneReplay<F, M>> {
        self.map_replay(|replay| replay.with_idempotency(is_idempotent))
    }

    /// Tells requests from the second attempt on which attempt they are, so that inner layers see
    /// it. On HTTP it stands in the request's extensions anyway.
    pub fn mark_attempts<Req, F: Fn(&mut Req, Attempt)>(
        self,
        mark: F,
    ) -> RetryLayer<C, X, CloneReplay<I, F>> {
        self.map_replay(|replay| replay.with_mark(mark))
    }
}

#[cfg(feature = "http")]
impl<C, X, I, W> RetryLayer<C, X, HttpReplay<I, W>> {
    /// The caller's word that every request may be executed twice, whatever its method.
    pub fn idempotent(self) -> RetryLayer<C, X, HttpReplay<AlwaysIdempotent, W>> {
        self.map_replay(|replay| replay.with_idempotency(AlwaysIdempotent))
    }

    /// The caller's word on which requests may be executed twice, by their heads. It takes the
    /// place of method and `Idempotency-Key`.
    pub fn idempotent_if<F: Fn(&http::request::Parts) -> bool>(
        self,
        is_idempotent: F,
    ) -> RetryLayer<C, X, HttpReplay<F, W>> {
        self.map_replay(|replay| replay.with_idempotency(is_idempotent))
    }

    /// Tells the server which attempt a request is: see
    /// [`with_attempt_header`](HttpReplay::with_attempt_header).
    pub fn attempt_header(self, name: http::HeaderName) -> Self {
        self.map_replay(|replay| replay.with_attempt_header(name))
    }

    /// Calls the inner service with the body type that it takes, made by `wrap` from the
    /// [`ReplayBody`] of each attempt: `.body_as(tonic::body::Body::new)`,
    /// `.body_as(reqwest::Body::wrap)`, `.body_as(axum::body::Body::new)`.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full, combinators::BoxBody};
    /// use steadfast_retry::{RetryLayer, http::ReplayError};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # let mut runtime = tokio::runtime::Builder::new_current_thread();
    /// # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
    /// // A client that takes one type of body.
    /// let client = service_fn(|request: Request<BoxBody<bytes::Bytes, ReplayError>>| async {
    ///     let body = request.into_body().collect().await.map_err(std::io::Error::other)?;
    ///     Ok::<_, std::io::Error>(Response::new(body.to_bytes()))
    /// });
    /// let layer = RetryLayer::default().http().body_as(BoxBody::new);
    /// let put = Request::put("/").body(Full::<bytes::Bytes>::from("hello")).unwrap();
    /// assert_eq!(layer.layer(client).oneshot(put).await.unwrap().body(), "hello");
    /// # });
    /// ```
    pub fn body_as<B, T, F: Fn(ReplayBody<B>) -> T>(
        self,
        wrap: F,
    ) -> RetryLayer<C, X, HttpReplay<I, F>> {
        self.map_replay(|replay| replay.body_as(wrap))
    }
}

impl<C, X, P> fmt::Debug for RetryLayer<C, X, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("policy", &self.shared.policy)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
