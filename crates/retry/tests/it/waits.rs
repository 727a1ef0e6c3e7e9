//! The waits between attempts: what they hold meanwhile, and that they end.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, Ready};
use steadfast_core::{
    Classify, Deadline, Executed, Failure, Grounds, Pushback, Refusal, RefusalKind, Verdict, cause,
};
use steadfast_retry::{Budget, RetryConfig, RetryLayer, TooLate};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, advance, timeout, timeout_at},
};
use tower::{Layer, Service, ServiceExt};

use crate::support::{
    BROKEN, Connection, REFUSED, Reply, Script, ample, attempts, exactly, steadily, steady,
};

const SECOND: Duration = Duration::from_secs(1);

/// Has one connection. A response has it until it is dropped.
#[derive(Clone)]
struct Pool {
    connection: Connection,
    script: Script,
}

/// A status, and the connection on which the rest of the response will come.
#[derive(Debug)]
struct Answer(u32, #[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Pool {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self { connection: Connection::new(), script: Script::new(replies) }
    }

    fn is_free(&self) -> bool {
        self.connection.pool.available_permits() == 1
    }
}

impl Service<u32> for Pool {
    type Response = Answer;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_ready(cx).map(Ok)
    }

    fn call(&mut self, request: u32) -> Self::Future {
        let connection = self.connection.take();
        let reply = self.script.call(request);
        Box::pin(async move { Ok(Answer(reply.await?, connection)) })
    }
}

fn by_status(outcome: Result<&Answer, &io::Error>) -> Verdict {
    match outcome {
        Ok(Answer(200, _)) => Verdict::Success,
        _ => Verdict::transient(Executed::Maybe),
    }
}

fn in_time(limit: Duration) -> Deadline {
    Deadline::after(Instant::now().into_std(), limit)
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_wait_for_the_connection_that_its_failed_response_holds() {
    for limit in [None, Some(30 * SECOND)] {
        let start = Instant::now();
        let deadline = limit.map(in_time);
        let pool = Pool::new([Ok(503), Ok(503), Ok(200)]);
        let layer = steadily().idempotent().classify(by_status).context(move |_: &u32| deadline);
        let answer = layer.layer(pool.clone()).oneshot(1).await.unwrap();
        assert_eq!((answer.0, pool.script.calls()), (200, 3), "{limit:?}");
        let took = Instant::now() - start;
        assert!((2 * SECOND..3 * SECOND).contains(&took), "two pauses, no more: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_failed_response_is_held_in_the_pause() {
    let pool = Pool::new([Ok(503), Ok(200)]);
    let deadline = in_time(30 * SECOND);
    let layer = steadily().idempotent().classify(by_status).context(move |_: &u32| Some(deadline));
    let mut call = tokio_test::task::spawn(layer.layer(pool.clone()).oneshot(1));
    assert!(call.poll().is_pending());
    assert!(pool.is_free());
}

/// With no further attempt, the caller gets the response as it came, and all that it holds.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_retried_is_given_to_the_caller_whole() {
    let soon = in_time(SECOND / 2);
    let never = |outcome: Result<&Answer, &io::Error>| match by_status(outcome) {
        Verdict::Transient { executed, .. } => {
            Verdict::Transient { executed, pushback: Pushback::Never }
        }
        verdict => verdict,
    };
    type Ask = fn(Budget, Deadline, Pool) -> BoxFuture<'static, io::Result<Answer>>;
    let cases: [(&str, Budget, Ask); 3] = [
        ("budget", exactly(0, 0), |budget, _, pool| {
            let layer = steadily().idempotent().classify(by_status).budget(budget);
            Box::pin(layer.layer(pool).oneshot(1))
        }),
        ("deadline", ample(), |budget, soon, pool| {
            let layer = steadily().idempotent().classify(by_status).budget(budget);
            Box::pin(layer.context(move |_: &u32| Some(soon)).layer(pool).oneshot(1))
        }),
        ("attempts", ample(), |budget, _, pool| {
            let layer = RetryLayer::new(steady().attempts(attempts(1))).budget(budget);
            Box::pin(layer.idempotent().classify(by_status).layer(pool).oneshot(1))
        }),
    ];
    for (why, budget, ask) in cases {
        let pool = Pool::new([Ok(503)]);
        let start = Instant::now();
        let answer = ask(budget.clone(), soon, pool.clone()).await.unwrap();
        assert_eq!((answer.0, Instant::now() - start), (503, Duration::ZERO), "{why}");
        assert!(!pool.is_free(), "{why}: the connection is the caller's now");
        assert_eq!((budget.snapshot().withdrawn, pool.script.calls()), (0, 1), "{why}");
        drop(answer);
        assert!(pool.is_free());
    }
    let pool = Pool::new([Ok(503)]);
    let layer = steadily().idempotent().classify(never);
    let answer = layer.layer(pool.clone()).oneshot(1).await.unwrap();
    assert_eq!((answer.0, pool.is_free()), (503, false));
}

/// A classifier that knows errors, as those of core do.
#[derive(Clone)]
struct ByStatus;

impl Classify<Answer, io::Error> for ByStatus {
    fn classify(&self, outcome: Result<&Answer, &io::Error>) -> Verdict {
        by_status(outcome)
    }

    fn refused<R: Refusal>(&self, refusal: R) -> Option<io::Error> {
        io::Error::refused(refusal)
    }
}

/// Another caller holds the connection until after the deadline.
#[tokio::test(start_paused = true)]
async fn after_a_response_was_given_up_the_deadline_ends_the_wait_for_readiness_with_a_refusal() {
    for is_ready_too_late in [false, true] {
        let pool = Pool::new([Ok(503)]);
        let (budget, deadline) = (exactly(0, 10), in_time(5 * SECOND));
        let layer = steadily().budget(budget.clone()).idempotent().classify(ByStatus);
        let service = layer.context(move |_: &u32| Some(deadline)).layer(pool.clone());
        let mut call = Box::pin(service.oneshot(1));
        assert!(timeout(SECOND / 2, &mut call).await.is_err());
        let others = Arc::clone(&pool.connection.pool).acquire_owned().await.unwrap();
        assert!(timeout(4 * SECOND, &mut call).await.is_err(), "it waits");
        if is_ready_too_late {
            advance(SECOND).await;
            drop(others);
        }
        let error = timeout(SECOND, &mut call).await.expect("at its deadline").unwrap_err();
        assert_eq!(cause::<TooLate>(&error), Some(&TooLate::new()));
        let grounds = cause::<Grounds>(&error).unwrap();
        assert_eq!(grounds.kind, RefusalKind::DeadlineExceeded);
        assert_eq!(grounds.executed, Executed::Maybe);
        assert_eq!((budget.snapshot().withdrawn, pool.script.calls()), (0, 1));
    }
}

/// Where the error type can hold no refusal there is nothing left to end the call with: whatever
/// keeps the deadline outside ends it, or it goes on when there is a connection.
#[tokio::test(start_paused = true)]
async fn where_no_error_can_say_that_it_is_too_late_the_wait_goes_on() {
    for is_kept in [true, false] {
        let pool = Pool::new([Ok(503), Ok(200)]);
        let (budget, deadline) = (exactly(0, 10), in_time(5 * SECOND));
        let layer = steadily().budget(budget.clone()).idempotent().classify(by_status);
        let service = layer.context(move |_: &u32| Some(deadline)).layer(pool.clone());
        let mut call = Box::pin(service.oneshot(1));
        assert!(timeout(SECOND / 2, &mut call).await.is_err());
        let others = Arc::clone(&pool.connection.pool).acquire_owned().await.unwrap();
        let kept = timeout_at(Instant::from_std(deadline.instant()), &mut call).await;
        assert!(kept.is_err(), "it waits");
        if is_kept {
            drop(call);
            assert_eq!((budget.snapshot().withdrawn, pool.script.calls()), (0, 1));
        } else {
            assert!(timeout(SECOND, &mut call).await.is_err(), "it waits on");
            drop(others);
            assert_eq!((call.await.unwrap().0, pool.script.calls()), (200, 2));
        }
    }
}

/// What was ignored is nothing that a retry mends, and nothing that the budget pays for.
#[tokio::test(start_paused = true)]
async fn a_callers_deadline_is_final_and_costs_nothing() {
    for grounds in [
        Grounds::not_executed(RefusalKind::DeadlineExceeded),
        Grounds::maybe_executed(RefusalKind::DeadlineExceeded),
    ] {
        let budget = exactly(0, 10);
        let calls = Arc::new(Mutex::new(0));
        let count = Arc::clone(&calls);
        let service = tower::service_fn(move |_: u32| {
            *count.lock().unwrap() += 1;
            futures::future::ready(Err::<u32, _>(io::Error::other(grounds)))
        });
        let layer = steadily().idempotent().budget(budget.clone());
        let error = layer.layer(service).oneshot(1).await.unwrap_err();
        assert_eq!(cause::<Grounds>(&error), Some(&grounds));
        let snapshot = budget.snapshot();
        assert_eq!((*calls.lock().unwrap(), snapshot.requests, snapshot.withdrawn), (1, 1, 0));
    }
}

/// Spends all that its task may do in one turn before it polls `future`, and asks for another turn.
fn greedy<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    poll_fn(move |cx| {
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        future.as_mut().poll(cx)
    })
}

/// Lets a greedy task have some turns, then time pass, then turns again.
async fn pass(time: Duration) {
    for step in [Duration::ZERO, time] {
        advance(step).await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_in_a_task_that_spends_its_cooperation_budget_at_each_poll() {
    let service = steadily().layer(Script::new([REFUSED, REFUSED, Ok(7)]));
    let call = tokio::spawn(greedy(service.oneshot(1)));
    pass(SECOND + SECOND / 100).await;
    assert!(!call.is_finished(), "two pauses");
    pass(SECOND + SECOND / 100).await;
    assert!(call.is_finished(), "the timer was starved");
    assert_eq!(call.await.unwrap().unwrap(), 7);
}

/// Ready for the first call only.
#[derive(Clone)]
struct Once(Script);

impl Service<u32> for Once {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.calls() == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_wait_for_readiness_in_such_a_task_too() {
    let deadline = in_time(5 * SECOND);
    let layer = steadily().idempotent().context(move |_: &u32| Some(deadline));
    let call = tokio::spawn(greedy(layer.layer(Once(Script::new([BROKEN]))).oneshot(1)));
    pass(2 * SECOND).await;
    assert!(!call.is_finished());
    pass(3 * SECOND + SECOND / 100).await;
    assert!(call.is_finished(), "the timer was starved");
    assert_eq!(call.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_at_the_last_instant_there_is_is_as_good_as_none() {
    let mut last = Instant::now().into_std();
    for exponent in (0..64).rev() {
        last = last.checked_add(Duration::from_secs(1 << exponent)).unwrap_or(last);
    }
    for below in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(999)] {
        let deadline = Deadline::at(last.checked_sub(below).unwrap());
        let layer = steadily().idempotent().context(move |_: &u32| Some(deadline));
        let answer = layer.clone().layer(Script::new([BROKEN, Ok(7)])).oneshot(1).await;
        assert_eq!(answer.unwrap(), 7);
        let waits = layer.layer(Once(Script::new([BROKEN]))).oneshot(1);
        assert!(timeout(3600 * SECOND, waits).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_no_instant_can_end_lasts_and_does_not_panic() {
    let classify = |_: Result<&u32, &io::Error>| Verdict::Transient {
        executed: Executed::No,
        pushback: Pushback::After(Duration::MAX),
    };
    let config = RetryConfig::new().retry_after_limit(Duration::MAX);
    let layer = RetryLayer::new(config).budget(ample()).classify(classify);
    let call = layer.layer(Script::new([REFUSED])).oneshot(1);
    assert!(timeout(24 * 3600 * SECOND, call).await.is_err());
}
