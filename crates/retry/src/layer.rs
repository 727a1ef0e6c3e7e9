//! The layer and its configuration.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use steadfast_core::{
    Attempt, Backoff, DefaultClassifier, Jitter, NoContext,
    parts::{Splitter, Striped},
};
use tower_layer::Layer;

#[cfg(feature = "http")]
use crate::http::{HttpReplay, ReplayBody};
use crate::{
    budget::{Budget, Pocket},
    idempotency::AlwaysIdempotent,
    plan::{Costs, Plan},
    replay::CloneReplay,
    service::Retry,
    shared::{Rules, Shared},
    telemetry::Telemetry,
};

/// Sends failed requests again, where that is safe, within a budget.
///
/// All services made by one layer, and all clones of it, share the budget.
///
/// `C` judges outcomes, `P` keeps requests and says what may be executed twice, `X` reads a request's deadline.
///
/// A retry waits on tokio's timer: a call that is to be retried panics outside a tokio runtime with time enabled. One that
/// succeeds at once needs no runtime.
pub struct RetryLayer<C = DefaultClassifier, P = CloneReplay, X = NoContext> {
    shared: Striped<Shared<Rules<C, P, X>>>,
}

impl RetryLayer {
    /// A layer with other rules than the default ones.
    pub fn builder() -> RetryBuilder {
        RetryBuilder::new()
    }
}

impl<C, P, X> RetryLayer<C, P, X> {
    /// The budget that retries are taken from.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        RetryBuilder::new().build()
    }
}

impl<C, P, X> Clone for RetryLayer<C, P, X> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<C, P, X> fmt::Debug for RetryLayer<C, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("plan", &self.shared.plan)
            .field("budget", self.budget())
            .finish_non_exhaustive()
    }
}

impl<C, P, X, S> Layer<S> for RetryLayer<C, P, X> {
    type Service = Retry<S, Rules<C, P, X>>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry { inner, shared: self.shared.clone(), pocket: Pocket::EMPTY }
    }
}

/// The rules of a [`RetryLayer`]. Every value is valid by its type, so building cannot fail.
///
/// The defaults, and why:
///
/// | rule | default | reason |
/// |---|---|---|
/// | attempts | 3 | two retries mend most transient failures; layers that nest multiply |
/// | backoff | 50 ms doubling to 2 s, full jitter | the fewest calls under contention; about one round trip of patience at first |
/// | budget | 20 % + 10/s over 10 s, of this layer alone | see [`Budget`] |
/// | `Retry-After` | obeyed up to 2 s | no longer than the backoff itself would wait: what takes longer is better told to the caller, and an open circuit would not fail fast any more |
/// | idempotent | nothing; on HTTP by method or key | only the user knows |
/// | classifier | every response is a success, an error is judged by its source chain | see [`DefaultClassifier`] |
/// | seed | from the system's entropy | two processes must not draw the same jitter |
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryBuilder<C = DefaultClassifier, P = CloneReplay, X = NoContext> {
    rules: Rules<C, P, X>,
    plan: Plan,
    budget: Option<Budget>,
    seed: Option<u64>,
    name: Arc<str>,
}

impl RetryBuilder {
    /// The defaults.
    pub fn new() -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2));
        Self {
            rules: Rules::default(),
            plan: Plan {
                attempts: const { NonZeroU32::new(3).expect("three is not zero") },
                backoff: backoff.expect("the cap is above the base").with_jitter(Jitter::Full),
                retry_after_limit: Duration::from_secs(2),
                costs: Costs::default(),
            },
            budget: None,
            seed: None,
            name: "default".into(),
        }
    }

    /// Judges HTTP responses by status, replays requests with bodies of up to 64 KiB, takes requests as idempotent by
    /// method or `Idempotency-Key`, and reads the deadline from the request's extensions. The inner service is called with
    /// `Request<ReplayBody<B>>`; where it takes but one body type, follow up with [`body_as`](Self::body_as).
    #[cfg(feature = "http")]
    pub fn http(
        self,
    ) -> RetryBuilder<steadfast_core::http::HttpClassifier, HttpReplay, steadfast_core::http::HttpContext> {
        self.classify(steadfast_core::http::HttpClassifier)
            .replay(HttpReplay::default())
            .context(steadfast_core::http::HttpContext)
    }

    /// As [`http`](Self::http), but judges gRPC calls by their status. A gRPC call is a POST: it is idempotent by its
    /// `Idempotency-Key`, or by the caller's word given to [`replay`](Self::replay).
    #[cfg(feature = "tonic")]
    pub fn grpc(
        self,
    ) -> RetryBuilder<steadfast_core::tonic::GrpcClassifier, HttpReplay, steadfast_core::http::HttpContext> {
        self.http().classify(steadfast_core::tonic::GrpcClassifier)
    }
}

impl Default for RetryBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl<C, I, M, X> RetryBuilder<C, CloneReplay<I, M>, X> {
    /// The caller's word that every request may be executed twice.
    pub fn idempotent(self) -> RetryBuilder<C, CloneReplay<AlwaysIdempotent, M>, X> {
        self.map_replay(|replay| replay.with_idempotency(AlwaysIdempotent))
    }

    /// The caller's word on which requests may be executed twice.
    pub fn idempotent_if<Req, F>(self, is_idempotent: F) -> RetryBuilder<C, CloneReplay<F, M>, X>
    where
        F: Fn(&Req) -> bool,
    {
        self.map_replay(|replay| replay.with_idempotency(is_idempotent))
    }

    /// Tells requests from the second attempt on which attempt they are, so that inner layers see it. On HTTP it stands in the request's
    /// extensions anyway.
    pub fn mark_attempts<Req, F>(self, mark: F) -> RetryBuilder<C, CloneReplay<I, F>, X>
    where
        F: Fn(&mut Req, Attempt),
    {
        self.map_replay(|replay| replay.with_mark(mark))
    }
}

#[cfg(feature = "http")]
impl<C, I, W, X> RetryBuilder<C, HttpReplay<I, W>, X> {
    /// Calls the inner service with the body type that it takes, made by `wrap` from the [`ReplayBody`] of each attempt:
    /// `.body_as(tonic::body::Body::new)`, `.body_as(reqwest::Body::wrap)`, `.body_as(axum::body::Body::new)`.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full, combinators::BoxBody};
    /// use steadfast_retry::{RetryLayer, http::ReplayError};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// // A client that takes one type of body.
    /// let client = service_fn(|request: Request<BoxBody<bytes::Bytes, ReplayError>>| async {
    ///     let body = request.into_body().collect().await.map_err(std::io::Error::other)?;
    ///     Ok::<_, std::io::Error>(Response::new(body.to_bytes()))
    /// });
    /// let layer = RetryLayer::builder().http().body_as(BoxBody::new).build();
    /// let put = Request::put("/").body(Full::<bytes::Bytes>::from("hello")).unwrap();
    /// assert_eq!(layer.layer(client).oneshot(put).await.unwrap().body(), "hello");
    /// # });
    /// ```
    pub fn body_as<B, T, F>(self, wrap: F) -> RetryBuilder<C, HttpReplay<I, F>, X>
    where
        F: Fn(ReplayBody<B>) -> T,
    {
        self.map_replay(|replay| replay.body_as(wrap))
    }
}

impl<C, P, X> RetryBuilder<C, P, X> {
    /// How often a request is sent at most, the first time included.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.plan.attempts = attempts;
        self
    }

    /// How long to wait between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.plan.backoff = backoff;
        self
    }

    /// The budget to take retries from. Share one between all layers that send to the same service.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// What a retry takes from the budget.
    pub fn costs(mut self, costs: Costs) -> Self {
        self.plan.costs = costs;
        self
    }

    /// The longest wait a service may ask for (`Retry-After`, or a refusal that says when to come back). If it asks for more,
    /// the failure is given to the caller at once. The wait itself is longer than what was asked, by the backoff or by up to half of what
    /// was asked, whichever is more, so that those who were told the same moment spread out.
    pub fn retry_after_limit(mut self, limit: Duration) -> Self {
        self.plan.retry_after_limit = limit;
        self
    }

    /// The seed of the jitter. The same seed and the same order of failures give the same delays.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The name of this layer in metrics and events.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Judges outcomes by `classify`.
    pub fn classify<C2>(self, classify: C2) -> RetryBuilder<C2, P, X> {
        let Rules { replay, context, .. } = self.rules;
        let rules = Rules { classify, replay, context };
        RetryBuilder { rules, plan: self.plan, budget: self.budget, seed: self.seed, name: self.name }
    }

    /// Keeps and repeats requests by `replay`.
    pub fn replay<P2>(self, replay: P2) -> RetryBuilder<C, P2, X> {
        self.map_replay(|_| replay)
    }

    fn map_replay<P2>(self, map: impl FnOnce(P) -> P2) -> RetryBuilder<C, P2, X> {
        let Rules { classify, replay, context } = self.rules;
        let rules = Rules { classify, replay: map(replay), context };
        RetryBuilder { rules, plan: self.plan, budget: self.budget, seed: self.seed, name: self.name }
    }

    /// Reads the deadline of a request by `context`. No attempt begins after it.
    pub fn context<X2>(self, context: X2) -> RetryBuilder<C, P, X2> {
        let Rules { classify, replay, .. } = self.rules;
        let rules = Rules { classify, replay, context };
        RetryBuilder { rules, plan: self.plan, budget: self.budget, seed: self.seed, name: self.name }
    }

    /// The layer.
    #[must_use]
    pub fn build(self) -> RetryLayer<C, P, X> {
        let shared = Shared {
            rules: self.rules,
            plan: self.plan,
            budget: self.budget.unwrap_or_default(),
            splitter: self.seed.map_or_else(Splitter::from_entropy, Splitter::seeded),
            telemetry: Telemetry::new(self.name),
        };
        RetryLayer { shared: Striped::new(|_| shared) }
    }
}
