//! What is tried again, how often, when, and what the caller gets.

use std::{
    convert::Infallible,
    error::Error,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::future::ready;
use steadfast_core::{
    Attempt, Backoff, Deadline, Executed, Grounds, Jitter, Pushback, RefusalKind, SealLayer,
    Sealed, Verdict, cause,
};
use steadfast_retry::{CannotReplay, Costs, Ended, Replay, RetryConfig, RetryLayer};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{BROKEN, REFUSED, Script, ample, attempts, exactly, steadily, steady};

type BoxError = Box<dyn Error + Send + Sync>;

async fn seconds<T>(future: impl Future<Output = T>) -> (T, f64) {
    let start = Instant::now();
    let output = future.await;
    (output, (Instant::now() - start).as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_success_is_returned_at_once() {
    let script = Script::new([Ok(7)]);
    let (answer, took) = seconds(steadily().layer(script.clone()).oneshot(1)).await;
    assert_eq!((answer.unwrap(), took, script.calls()), (7, 0.0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_not_executed_is_tried_again_after_the_backoff() {
    let script = Script::new([REFUSED, REFUSED, Ok(7)]);
    let (answer, took) = seconds(steadily().layer(script.clone()).oneshot(1)).await;
    assert_eq!((answer.unwrap(), script.calls()), (7, 3));
    assert!((2.0..2.01).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_itself_is_returned_when_the_attempts_are_used_up() {
    let script = Script::new([REFUSED, REFUSED, BROKEN]);
    let error = steadily().layer(script.clone()).oneshot(1).await.unwrap_err();
    assert_eq!((error.kind(), script.calls()), (io::ErrorKind::BrokenPipe, 3));
}

#[tokio::test(start_paused = true)]
async fn one_attempt_means_no_retry() {
    let script = Script::new([REFUSED]);
    RetryLayer::new(steady().attempts(attempts(1)))
        .budget(ample())
        .layer(script.clone())
        .oneshot(1)
        .await
        .unwrap_err();
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_executed_is_repeated_only_on_the_callers_word() {
    let script = Script::new([BROKEN, Ok(7)]);
    steadily().layer(script.clone()).oneshot(1).await.unwrap_err();
    assert_eq!(script.calls(), 1);

    let script = Script::new([BROKEN, Ok(7)]);
    steadily().idempotent().layer(script.clone()).oneshot(1).await.unwrap();
    assert_eq!(script.calls(), 2);

    let even = steadily().idempotent_if(|request: &u32| request.is_multiple_of(2));
    for (request, calls) in [(1, 1), (2, 2)] {
        let script = Script::new([BROKEN, Ok(7)]);
        let _ = even.layer(script.clone()).oneshot(request).await;
        assert_eq!(script.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn permanent_and_ignored_failures_are_returned_as_they_are() {
    for verdict in [Verdict::Permanent, Verdict::Ignored] {
        let layer = steadily().idempotent().classify(move |_: Result<&u32, &io::Error>| verdict);
        let script = Script::new([REFUSED]);
        layer.layer(script.clone()).oneshot(1).await.unwrap_err();
        assert_eq!(script.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_can_be_a_failure_too_and_is_returned_unchanged() {
    let classify = |outcome: Result<&u32, &io::Error>| match outcome {
        Ok(0) => Verdict::throttled(),
        _ => Verdict::Success,
    };
    let script = Script::new([Ok(0), Ok(7)]);
    let layer = steadily().classify(classify);
    assert_eq!(layer.layer(script.clone()).oneshot(1).await.unwrap(), 7);
    let script = Script::new([Ok(0)]);
    assert_eq!(layer.layer(script.clone()).oneshot(1).await.unwrap(), 0);
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_asks_for_is_a_lower_bound_of_the_wait_up_to_the_limit() {
    // The backoff of a second is longer than any draw from half of what is asked.
    for (asked, calls, wait) in
        [(0, 2, 1.0), (1, 2, 2.0), (2, 2, 3.0), (3, 1, 0.0), (u64::MAX, 1, 0.0)]
    {
        let pushback = Pushback::After(Duration::from_secs(asked));
        let classify = move |outcome: Result<&u32, &io::Error>| match outcome {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::Transient { executed: Executed::No, pushback },
        };
        let script = Script::new([REFUSED, Ok(7)]);
        let call = steadily().classify(classify).layer(script.clone()).oneshot(1);
        let (_, took) = seconds(call).await;
        assert_eq!(script.calls(), calls, "asked for {asked} s");
        assert!((wait..wait + 0.01).contains(&took), "asked for {asked} s, took {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_limit_and_the_longest_wait_do_not_overflow() {
    let classify = |_: Result<&u32, &io::Error>| Verdict::Throttled {
        executed: Executed::No,
        pushback: Pushback::After(Duration::MAX),
    };
    let layer = RetryLayer::new(steady().retry_after_limit(Duration::MAX))
        .budget(ample())
        .classify(classify);
    let mut call = tokio_test::task::spawn(layer.layer(Script::new([REFUSED])).oneshot(1));
    assert!(call.poll().is_pending());
    let deadline = Some(Deadline::after(Instant::now().into_std(), Duration::from_secs(1)));
    let hurried = RetryLayer::new(steady().retry_after_limit(Duration::MAX))
        .budget(ample())
        .classify(classify)
        .context(move |_: &u32| deadline);
    hurried.layer(Script::new([REFUSED])).oneshot(1).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_refused_circuits_word_on_when_to_come_back_is_obeyed() {
    let retry_after = Some(Duration::from_secs(4));
    let circuit_open =
        Grounds::not_executed(RefusalKind::Unavailable).with_retry_after(retry_after);
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn(move |n: u32| {
        let refusal: Box<dyn Error + Send + Sync> = Box::new(circuit_open);
        ready(if asked.swap(true, Ordering::Relaxed) { Ok(n) } else { Err(refusal) })
    });
    let patient =
        RetryLayer::new(steady().retry_after_limit(Duration::from_secs(4))).budget(ample());
    let (answer, took) = seconds(patient.layer(service).oneshot(7)).await;
    assert_eq!(answer.unwrap(), 7);
    assert!((5.0..6.01).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_planned_that_the_deadline_cannot_hold() {
    for (left_ms, calls) in [(500, 1), (1000, 1), (1001, 2), (2500, 3)] {
        let deadline = Deadline::after(Instant::now().into_std(), Duration::from_millis(left_ms));
        let layer = RetryLayer::new(steady().attempts(attempts(9)))
            .budget(ample())
            .context(move |_: &u32| Some(deadline));
        let script = Script::new([REFUSED]);
        let (_, took) = seconds(layer.layer(script.clone()).oneshot(1)).await;
        assert_eq!(script.calls(), calls, "{left_ms} ms left");
        assert!(took <= left_ms as f64 / 1e3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_returns_the_failure() {
    let budget = exactly(0, 1);
    let layer = RetryLayer::new(steady().attempts(attempts(100))).budget(budget.clone());
    let script = Script::new([REFUSED]);
    layer.layer(script.clone()).oneshot(1).await.unwrap_err();
    // A floor of 1/s over 10 s: ten retries, all within the window.
    assert_eq!(script.calls(), 11);
}

#[tokio::test(start_paused = true)]
async fn costs_are_charged_by_the_kind_of_failure() {
    let costs = Costs { not_executed: attempts(5), ..Costs::default() };
    for (reply, calls) in [(REFUSED, 3), (BROKEN, 11)] {
        let layer = RetryLayer::new(steady().attempts(attempts(100)).costs(costs))
            .budget(exactly(0, 1))
            .idempotent();
        let script = Script::new([reply]);
        layer.layer(script.clone()).oneshot(1).await.unwrap_err();
        assert_eq!(script.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_delays() {
    let run = async |seed| {
        let backoff =
            Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)).unwrap();
        let config =
            RetryConfig::new().seed(seed).backoff(backoff.with_jitter(Jitter::Decorrelated));
        let service = RetryLayer::new(config).budget(ample()).layer(Script::new([REFUSED]));
        seconds(service.oneshot(1)).await.1
    };
    let first = run(7).await;
    assert!((run(7).await - first).abs() < 0.01);
    assert!((run(8).await - first).abs() > 0.01);
}

/// A request that is not `Clone`, kept in a way of its own.
#[derive(Clone, Copy)]
struct Numbered;

struct Letter(u32);

impl Replay<Letter> for Numbered {
    type Request = (u32, Letter);
    type Saved = u32;

    fn first(&self, letter: Letter) -> (Self::Request, u32) {
        let saved = letter.0;
        ((1, letter), saved)
    }

    fn is_idempotent(&self, _: &u32) -> bool {
        false
    }

    fn again(
        &self,
        saved: &mut u32,
        attempt: Attempt,
        ended: Ended,
    ) -> Result<Self::Request, CannotReplay> {
        assert_eq!(ended, Ended::Error);
        if attempt.number() > 2 {
            Err(CannotReplay::NotKept)
        } else {
            Ok((attempt.number(), Letter(*saved)))
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_ones_own_sees_the_attempt_and_can_decline() {
    let budget = exactly(0, 10);
    let layer = steadily().budget(budget.clone()).replay(Numbered);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = service_fn(move |(attempt, letter): (u32, Letter)| {
        log.lock().unwrap().push((attempt, letter.0));
        ready(Err::<u32, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
    });
    layer.layer(service).oneshot(Letter(42)).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [(1, 42), (2, 42)]);
    let state = steadfast_core::Snapshot::snapshot(&budget);
    assert_eq!(state.withdrawn, 1, "the retry that was declined was not charged");
}

/// A request of one's own that says which attempt it is.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    attempt: Attempt,
}

/// Fails always, and writes down the attempts it sees.
fn attempts_seen(
    seen: &Arc<Mutex<Vec<u32>>>,
) -> impl tower::Service<Order, Response = u32, Error = io::Error> + Clone {
    let seen = Arc::clone(seen);
    service_fn(move |order: Order| {
        seen.lock().unwrap().push(order.attempt.number());
        ready(Err::<u32, _>(io::Error::from(io::ErrorKind::BrokenPipe)))
    })
}

#[tokio::test(start_paused = true)]
async fn a_request_of_ones_own_can_say_which_attempt_it_is() {
    let seen = Arc::default();
    let layer =
        steadily().mark_attempts(|order: &mut Order, attempt| order.attempt = attempt).idempotent();
    layer.layer(attempts_seen(&seen)).oneshot(Order::default()).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
    // What a layer further out has written stays, until there is something newer to say.
    seen.lock().unwrap().clear();
    let second = Order { attempt: Attempt::FIRST.next() };
    layer.layer(attempts_seen(&seen)).oneshot(second).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [2, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_with_what_another_service_refused_is_executed_once_behind_a_seal() {
    let failures: [fn() -> BoxError; 2] = [
        || io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        || Grounds::not_executed(RefusalKind::Unavailable).into(),
    ];
    for failure in failures {
        let orders = Arc::new(AtomicU32::new(0));
        let placed = Arc::clone(&orders);
        // Places an order, then cannot reach the mailer.
        let handler = service_fn(move |_: u32| {
            placed.fetch_add(1, Ordering::Relaxed);
            ready(Err::<u32, _>(failure()))
        });
        let error = RetryLayer::default()
            .layer(SealLayer::new().layer(handler.clone()))
            .oneshot(1)
            .await
            .unwrap_err();
        assert!(cause::<Sealed>(&*error).is_some());
        assert_eq!(orders.swap(0, Ordering::Relaxed), 1);
        // The seal is what does it.
        RetryLayer::default().layer(handler).oneshot(1).await.unwrap_err();
        assert_eq!(orders.load(Ordering::Relaxed), 3);
    }
}

#[test]
fn the_service_behind_it_can_be_had() {
    assert_eq!(*RetryLayer::default().layer(7).get_ref(), 7);
}

#[tokio::test(start_paused = true)]
async fn it_fits_round_a_service_that_cannot_fail() {
    let layer = RetryLayer::default();
    let service = layer.layer(service_fn(|n: u32| ready(Ok::<_, Infallible>(n + 1))));
    assert_eq!(service.oneshot(1).await.unwrap(), 2);
}
