//! What other projects offer, set up to do the same: a window of a hundred calls at 50 %, a limit
//! of a second, three attempts.

use std::{
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use failsafe::{CircuitBreaker, backoff, failure_policy};
use recloser::{AsyncRecloser, Recloser};
use tower::{
    BoxError, Layer, Service, limit::ConcurrencyLimitLayer, retry::Policy,
    retry::RetryLayer as TowerRetryLayer, timeout::TimeoutLayer as TowerTimeoutLayer,
};
use tower_resilience::{
    bulkhead::BulkheadLayer,
    circuitbreaker::CircuitBreakerLayer,
    retry::{RetryBudgetBuilder, RetryLayer},
    timelimiter::{FixedTimeout, TimeLimiterLayer},
};

use crate::{
    row::{Family, Group, Row},
    service::{Fault, bare, bare_with, failing},
    subject::{Calls, Function, Subject},
};

const VALID: &str = "the configuration is valid";
pub(crate) const LIMIT: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const PERMITS: usize = 1000;

pub(crate) fn rows() -> Vec<Row> {
    tower().into_iter().chain(tower_resilience()).chain(without_layer()).chain(refused()).collect()
}

fn happy(name: &'static str, subject: Box<dyn Subject>) -> Row {
    Row::new(Family::Peer, Group::Happy, name, subject)
}

fn calls<S>(service: S) -> Box<dyn Subject>
where
    S: Service<u64> + Clone + Send + 'static,
{
    Box::new(Calls(service))
}

fn tower() -> Vec<Row> {
    let (timeout, limit) = (TowerTimeoutLayer::new(LIMIT), ConcurrencyLimitLayer::new(PERMITS));
    let retry = TowerRetryLayer::new(Attempts(3));
    vec![
        happy("tower timeout", calls(timeout.layer(bare()))),
        happy("tower retry, no budget", calls(retry.layer(bare()))),
        happy("tower concurrency limit", calls(limit.layer(bare()))),
        happy(
            "tower retry + timeout + concurrency limit",
            calls(retry.layer(timeout.layer(limit.layer(bare())))),
        ),
    ]
}

/// The least that a tower retry needs.
#[derive(Clone, Debug)]
pub(crate) struct Attempts(pub(crate) u32);

impl<E> Policy<u64, u64, E> for Attempts {
    type Future = Ready<()>;

    #[inline]
    fn retry(&mut self, _: &mut u64, outcome: &mut Result<u64, E>) -> Option<Ready<()>> {
        if outcome.is_ok() || self.0 <= 1 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    #[inline]
    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

fn tower_resilience() -> Vec<Row> {
    let plain = RetryLayer::<u64, u64, BoxError>::builder().build();
    let stack = (retry(), breaker(), limiter());
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(PERMITS).build().expect(VALID);
    let with_bulkhead = (retry(), bulkhead, breaker(), limiter());
    vec![
        happy("tower-resilience breaker", calls(breaker().layer(bare()))),
        happy("tower-resilience time limiter", calls(limiter().layer(bare()))),
        happy("tower-resilience retry", calls(plain.layer(bare()))),
        happy("tower-resilience retry + budget", calls(retry().layer(bare()))),
        happy("tower-resilience retry + breaker + time limiter", calls(stack.layer(bare()))),
        happy("the same + bulkhead", calls(with_bulkhead.layer(bare()))),
    ]
}

/// With a budget.
pub(crate) fn retry<E>() -> RetryLayer<u64, u64, E> {
    let budget = RetryBudgetBuilder::new().token_bucket().build().expect(VALID);
    RetryLayer::builder().budget(budget).build()
}

pub(crate) fn breaker() -> CircuitBreakerLayer {
    // With a handle, or each service gets a circuit of its own.
    let builder =
        CircuitBreakerLayer::builder().minimum_number_of_calls(20).wait_duration_in_open(HOUR);
    builder.build_with_handle().expect(VALID).0
}

pub(crate) fn limiter() -> TimeLimiterLayer<FixedTimeout> {
    TimeLimiterLayer::builder().timeout_duration(LIMIT).build()
}

/// Breakers that are no layers, in the cheapest form they have: round a function.
fn without_layer() -> Vec<Row> {
    let (default, consecutive) = (failsafe::Config::new().build(), consecutive());
    let recloser = Arc::new(Recloser::default());
    vec![
        happy(
            "failsafe, default policy (no layer)",
            function(move |request| default.call(|| answer(request)).is_ok()),
        ),
        happy("failsafe, consecutive failures (no layer)", {
            function(move |request| consecutive.call(|| answer(request)).is_ok())
        }),
        happy(
            "recloser (no layer)",
            function(move |request| recloser.call(|| answer(request)).is_ok()),
        ),
        happy("recloser, its future (no layer)", recloser_future()),
    ]
}

fn refused() -> Vec<Row> {
    let refused = |name, subject| Row::new(Family::Peer, Group::Refused, name, subject);
    let breaker = breaker();
    Calls(breaker.layer(failing(1))).run(1000);
    let failsafe = consecutive();
    let recloser = Recloser::custom().open_wait(HOUR).build();
    for _ in 0..1000 {
        // Until they refuse.
        let _ = failsafe.call(|| Err::<u64, _>(Fault::Service));
        let _ = recloser.call(|| Err::<u64, _>(Fault::Service));
    }
    let recloser = Arc::new(recloser);
    vec![
        // While another thread holds its lock, an open circuit sleeps for a millisecond before it
        // refuses.
        refused("tower-resilience breaker open", calls(breaker.layer(bare_with::<Fault>())))
            .uncontended(),
        refused(
            "failsafe open (no layer)",
            function(move |request| failsafe.call(|| answer(request)).is_ok()),
        ),
        refused(
            "recloser open (no layer)",
            function(move |request| recloser.call(|| answer(request)).is_ok()),
        ),
    ]
}

pub(crate) fn consecutive()
-> failsafe::StateMachine<failure_policy::ConsecutiveFailures<backoff::Constant>, ()> {
    let policy = failure_policy::consecutive_failures(5, backoff::constant(HOUR));
    failsafe::Config::new().failure_policy(policy).build()
}

fn recloser_future() -> Box<dyn Subject> {
    let recloser = AsyncRecloser::from(Recloser::default());
    function(move |request| {
        let future = pin!(recloser.call(ready(answer(request))));
        let polled = future.poll(&mut Context::from_waker(Waker::noop()));
        matches!(black_box(polled), Poll::Ready(Ok(_)))
    })
}

fn function<F>(function: F) -> Box<dyn Subject>
where
    F: FnMut(u64) -> bool + Clone + Send + 'static,
{
    Box::new(Function(function))
}

#[inline]
fn answer(request: u64) -> Result<u64, BoxError> {
    Ok(black_box(request))
}
