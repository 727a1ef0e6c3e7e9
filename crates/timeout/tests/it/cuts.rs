//! Calls that a caller's deadline has cut: whose fault it was.

use std::{future::pending, io, time::Duration};

use steadfast_core::{Deadline, DefaultClassifier, RefusalKind, Verdict};
use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit, TimeoutLayer};
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{MS, adaptive, fixed, quantile, settled};

/// What a call is told that is given `left`, by a service that answers with `answer`.
async fn call<F>(limit: &TimeLimit, left: Duration, answer: F) -> Result<(), BoxError>
where
    F: Future<Output = Result<(), BoxError>>,
{
    let mut answer = Some(answer);
    let context = |&deadline: &Deadline| Some(deadline);
    TimeoutLayer::new(limit.clone())
        .context(context)
        .layer(service_fn(move |_| answer.take().unwrap()))
        .oneshot(Deadline::after(Instant::now().into_std(), left))
        .await
}

/// The same where the service never answers.
async fn cut(limit: &TimeLimit, left: Duration) -> Elapsed {
    *call(limit, left, pending()).await.unwrap_err().downcast().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_longer_than_the_quantile_is_the_services_failure() {
    let limit = adaptive();
    settled(&limit).await;
    let before = limit.snapshot();
    assert_eq!(cut(&limit, 45 * MS).await, Elapsed::at_the_deadline(45 * MS));
    assert_eq!(cut(&limit, 60 * MS).await, Elapsed::after(60 * MS), "without the factor");
    assert_eq!(limit.snapshot(), before, "a cut is no sample");
}

#[tokio::test(start_paused = true)]
async fn a_lower_quantile_and_an_average_are_as_long_as_many_answers_are() {
    let bounds = (10 * MS, 5000 * MS);
    for config in [
        LimitConfig::from(quantile().quantile(0.95)),
        LimitConfig::ewma(bounds.0, bounds.1).into(),
        LimitConfig::rfc6298(bounds.0, bounds.1).into(),
    ] {
        let limit = TimeLimit::new(config).unwrap();
        settled(&limit).await;
        let left = limit.limit() - MS;
        assert_eq!(cut(&limit, left).await, Elapsed::at_the_deadline(left), "{limit:?}");
    }
    let limit = fixed(1000 * MS);
    for _ in 0..50 {
        assert_eq!(cut(&limit, 900 * MS).await, Elapsed::at_the_deadline(900 * MS));
    }
    assert_eq!(cut(&limit, 1000 * MS).await, Elapsed::after(1000 * MS), "the limit's own end");
}

#[tokio::test(start_paused = true)]
async fn cuts_that_no_answer_has_interrupted_for_a_second_are_failures_of_a_cold_service() {
    let limit = adaptive();
    let start = Instant::now();
    loop {
        let elapsed = cut(&limit, 100 * MS).await;
        if elapsed.grounds.kind == RefusalKind::TimedOut {
            break;
        }
    }
    assert_eq!(Instant::now() - start, 1100 * MS);
    sleep(11_000 * MS).await;
    assert_eq!(cut(&limit, 100 * MS).await, Elapsed::at_the_deadline(100 * MS), "a run of its own");
}

/// The kind after two seconds of cuts, with `between` called every 300 ms.
async fn kind_after_two_seconds<F>(limit: &TimeLimit, between: impl Fn() -> F) -> RefusalKind
where
    F: Future<Output = Result<(), BoxError>>,
{
    let mut kind = RefusalKind::DeadlineExceeded;
    for n in 0..40 {
        if n % 6 == 5 {
            let _ = call(limit, 500 * MS, between()).await;
        }
        kind = cut(limit, 49 * MS).await.grounds.kind;
    }
    kind
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_waited_for_ends_the_run() {
    let after = |ms: u32| async move {
        sleep(MS * ms).await;
        Ok(())
    };
    for config in [LimitConfig::from(quantile()), LimitConfig::ewma(10 * MS, 5000 * MS).into()] {
        let limit = TimeLimit::new(config).unwrap();
        let kind = kind_after_two_seconds(&limit, || after(5)).await;
        assert_eq!(kind, RefusalKind::DeadlineExceeded, "{limit:?}");
    }
    // One that is ready at once says nothing: it may come from a cache.
    let cold = adaptive();
    let kind = kind_after_two_seconds(&cold, || async { Ok(()) }).await;
    assert_eq!(kind, RefusalKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_answer_ends_the_run_and_a_failure_does_not() {
    for (verdict, expected) in [
        (Verdict::Permanent, RefusalKind::DeadlineExceeded),
        (Verdict::transient(steadfast_core::Executed::Maybe), RefusalKind::TimedOut),
        (Verdict::Ignored, RefusalKind::TimedOut),
    ] {
        let limit = adaptive();
        let answer = TimeoutLayer::new(limit.clone())
            .classify(move |_: Result<&(), &BoxError>| verdict)
            .layer(service_fn(|()| async {
                sleep(5 * MS).await;
                Ok::<_, BoxError>(())
            }));
        let between = || {
            let answer = answer.clone();
            async { answer.oneshot(()).await }
        };
        let mut kind = RefusalKind::DeadlineExceeded;
        for n in 0..40 {
            if n % 6 == 5 {
                between().await.unwrap();
            }
            kind = cut(&limit, 49 * MS).await.grounds.kind;
        }
        assert_eq!(kind, expected, "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_a_cut_never_tells() {
    let limit = adaptive();
    for _ in 0..1000 {
        assert_eq!(cut(&limit, 9 * MS).await, Elapsed::at_the_deadline(9 * MS));
    }
}

/// Fails after `ms`.
async fn fails(ms: u32) -> Result<(), BoxError> {
    sleep(MS * ms).await;
    Err(io::Error::other("out of order").into())
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_the_deadline_is_the_deadlines_and_one_before_it_the_services_own() {
    // The service has the same deadline for a call of its own, or was told of it in whole
    // milliseconds.
    let adaptive = adaptive();
    settled(&adaptive).await;
    for limit in [adaptive.clone(), fixed(1000 * MS), fixed(Duration::MAX)] {
        let at = call(&limit, 40 * MS, fails(40)).await.unwrap_err();
        assert_eq!(*at.downcast::<Elapsed>().unwrap(), Elapsed::at_the_deadline(40 * MS));
        let near = Duration::from_micros(40_900);
        let at = call(&limit, near, fails(40)).await.unwrap_err();
        assert_eq!(*at.downcast::<Elapsed>().unwrap(), Elapsed::at_the_deadline(40 * MS));
        let before = call(&limit, 42 * MS, fails(40)).await.unwrap_err();
        assert!(before.is::<io::Error>());
    }
    let slow = call(&adaptive, 60 * MS, fails(60)).await.unwrap_err();
    assert_eq!(*slow.downcast::<Elapsed>().unwrap(), Elapsed::after(60 * MS), "judged as a cut");
    let in_time = call(&adaptive, 40 * MS, async {
        sleep(40 * MS).await;
        Ok(())
    });
    in_time.await.unwrap();
    assert_eq!(adaptive.snapshot().samples, 101, "an answer at the deadline is an answer");
}

#[tokio::test(start_paused = true)]
async fn each_ending_has_words_and_a_verdict_of_its_own() {
    use steadfast_core::{Classify, Executed};

    for (elapsed, words, verdict) in [
        (Elapsed::after(MS), "no answer within 1 ms", Verdict::transient(Executed::Maybe)),
        (
            Elapsed::at_the_deadline(MS),
            "the caller's deadline was over after 1 ms",
            Verdict::Ignored,
        ),
        (Elapsed::before_the_call(), "the deadline had passed before the call", Verdict::Ignored),
    ] {
        assert_eq!(elapsed.to_string(), words);
        let error = BoxError::from(elapsed);
        assert_eq!(DefaultClassifier.classify(Err::<&(), _>(&error)), verdict);
    }
}
