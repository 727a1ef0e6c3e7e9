//! Limits that are measured. Each trap that other timeouts have shipped is here by name.

use std::time::Duration;

use steadfast_core::{Attempt, Deadline, Executed, RequestContext, Verdict};
use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit, TimeoutLayer};
use tokio::time::Instant;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{Answer, MS, Upstream, adaptive, behind, call, ok, quantile, settled};

#[tokio::test(start_paused = true)]
async fn the_limit_follows_the_quantile_of_what_was_measured() {
    let limit = adaptive();
    assert_eq!(limit.limit(), 1000 * MS, "cold");
    settled(&limit).await;
    let state = limit.snapshot();
    let estimate = state.estimate.unwrap();
    assert!(50 * MS <= estimate && estimate <= 54 * MS, "{estimate:?}");
    assert!(state.limit.abs_diff(2 * estimate) < Duration::from_micros(1));
    assert_eq!((state.samples, state.held, state.doublings), (100, None, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_step_from_50_to_500_ms_it_succeeds_again_within_six_calls_and_keeps_succeeding() {
    for (factor, failed_calls) in [(1.0, 3), (1.5, 2), (2.0, 2), (3.0, 1)] {
        let limit = TimeLimit::new(quantile().factor(factor)).unwrap();
        let upstream = settled(&limit).await;
        let service = behind(&limit, &upstream);
        upstream.set(Answer::After(500 * MS));
        let mut failed = 0;
        while call(&service).await.is_err() {
            failed += 1;
        }
        assert_eq!(failed, failed_calls, "factor {factor}");
        for n in 0..500 {
            assert!(
                call(&service).await.is_ok(),
                "factor {factor}, call {n} after the first success"
            );
        }
    }
}

/// The rules that multiply: a quantile at four factors, and an average; with explorations or
/// without.
fn multiples(explore: bool) -> Vec<TimeLimit> {
    let quantiles = [1.0, 1.5, 2.0, 3.0].map(|factor| quantile().factor(factor).explore(explore));
    let average = LimitConfig::ewma(10 * MS, 5000 * MS).explore(explore);
    let quantiles = quantiles.into_iter().map(LimitConfig::from);
    quantiles.chain([average.into()]).map(|config| TimeLimit::new(config).unwrap()).collect()
}

/// A hundred calls of which those at `hangs` never end: the limit after each, over what it was
/// before.
async fn growth(limit: &TimeLimit, upstream: &Upstream, hangs: [usize; 2]) -> Vec<f64> {
    let service = behind(limit, upstream);
    let (before, mut growth) = (limit.limit().as_secs_f64(), Vec::new());
    for n in 0..100 {
        upstream.set(if hangs.contains(&n) { Answer::Never } else { Answer::After(50 * MS) });
        assert_eq!(call(&service).await.is_err(), hangs.contains(&n));
        growth.push(limit.limit().as_secs_f64() / before);
    }
    growth
}

fn highest(growth: &[f64]) -> f64 {
    growth.iter().copied().fold(0.0, f64::max)
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_leave_the_limit_where_it_is() {
    for limit in multiples(true) {
        let upstream = settled(&limit).await;
        let growth =
            [growth(&limit, &upstream, [10, 60]).await, growth(&limit, &upstream, [10, 11]).await];
        assert!(growth.iter().flatten().all(|&times| times == 1.0), "{growth:?}");
        assert_eq!(limit.snapshot().samples, 296, "a call that hangs is no sample");
    }
}

#[tokio::test(start_paused = true)]
async fn without_explorations_a_timeout_doubles_the_limit_and_two_in_a_row_make_it_four_times() {
    for limit in multiples(false) {
        let upstream = settled(&limit).await;
        let apart = growth(&limit, &upstream, [10, 60]).await;
        assert!((1.99..=2.5).contains(&highest(&apart)), "{apart:?}");
        let in_row = growth(&limit, &upstream, [10, 11]).await;
        assert!((highest(&in_row) - 4.0).abs() < 1e-3, "{in_row:?}");
        assert!(in_row[18] > 2.5, "the seventh success: {in_row:?}");
        assert!(in_row[19..].iter().all(|&times| times <= 2.5), "from the eighth on: {in_row:?}");
        assert_eq!((limit.snapshot().samples, limit.snapshot().explorations), (296, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn without_explorations_calls_that_time_out_together_raise_the_limit_once() {
    let limit = TimeLimit::new(quantile().explore(false)).unwrap();
    let upstream = settled(&limit).await;
    let service = behind(&limit, &upstream);
    let before = limit.limit();
    upstream.set(Answer::Never);
    let outcomes = futures::future::join_all((0..100).map(|_| call(&service))).await;
    assert!(outcomes.iter().all(Result::is_err));
    let held = limit.snapshot().held.unwrap();
    assert!(held.as_secs_f64() <= 2.01 * before.as_secs_f64(), "{before:?} is held at {held:?}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_comes_down_slowly_once_latency_falls_back() {
    let limit = adaptive();
    let upstream = settled(&limit).await;
    let service = behind(&limit, &upstream);
    upstream.set(Answer::After(500 * MS));
    for _ in 0..40 {
        let _ = call(&service).await;
    }
    upstream.set(Answer::After(50 * MS));
    for _ in 0..20 {
        call(&service).await.unwrap();
    }
    assert!(limit.limit() > 900 * MS, "a second of quick answers proves nothing");
    for _ in 0..1400 {
        call(&service).await.unwrap();
    }
    assert!(limit.limit() < 120 * MS, "a minute of them does: {:?}", limit.limit());
}

#[tokio::test(start_paused = true)]
async fn one_cache_hit_sets_no_estimate() {
    let limit = adaptive();
    let upstream = Upstream::new(Answer::AtOnce);
    let service = behind(&limit, &upstream);
    for _ in 0..1000 {
        call(&service).await.unwrap();
    }
    assert_eq!(limit.snapshot().samples, 0, "what is ready at once was not waited for");
    upstream.set(Answer::After(MS));
    call(&service).await.unwrap();
    assert_eq!(
        (limit.snapshot().samples, limit.limit()),
        (1, 1000 * MS),
        "one sample is not enough"
    );
}

#[tokio::test(start_paused = true)]
async fn fast_failures_are_not_samples() {
    let limit = adaptive();
    let upstream = settled(&limit).await;
    let service = behind(&limit, &upstream);
    upstream.set(Answer::FailAfter(MS));
    for _ in 0..500 {
        call(&service).await.unwrap_err();
    }
    assert_eq!(limit.snapshot().samples, 100);
}

#[tokio::test(start_paused = true)]
async fn the_classifier_says_what_a_success_is() {
    let limit = adaptive();
    let layer =
        TimeoutLayer::new(limit.clone()).classify(
            |outcome: Result<&u16, &BoxError>| match outcome {
                Ok(200) => Verdict::Success,
                Ok(409) => Verdict::Repeatable { executed: Executed::Maybe, retry_after: None },
                _ => Verdict::transient(Executed::Maybe),
            },
        );
    let service = layer.layer(service_fn(|status: u16| async move {
        tokio::time::sleep(MS).await;
        Ok::<_, BoxError>(status)
    }));
    for status in [200, 500, 200, 503, 409] {
        service.clone().oneshot(status).await.unwrap();
    }
    assert_eq!(limit.snapshot().samples, 2);
}

#[tokio::test(start_paused = true)]
async fn samples_age_and_an_idle_gap_of_a_year_costs_nothing() {
    let limit = adaptive();
    settled(&limit).await;
    assert!(limit.limit() < 120 * MS);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(
        (limit.limit(), limit.snapshot().samples),
        (1000 * MS, 0),
        "old samples are no samples"
    );
    tokio::time::advance(Duration::from_secs(365 * 24 * 3600)).await;
    settled(&limit).await;
    assert!(limit.limit() < 120 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_held_peak_ages_too() {
    let limit = TimeLimit::new(quantile().explore(false)).unwrap();
    limit.record_timeout(limit.limit());
    assert_eq!(limit.limit(), 2000 * MS);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(limit.limit(), 1000 * MS);
}

#[tokio::test(start_paused = true)]
async fn the_histogram_has_no_ceiling_below_the_limit() {
    let limit = TimeLimit::new(LimitConfig::quantile(MS, Duration::from_secs(3600))).unwrap();
    (0..20).for_each(|_| limit.record(Duration::from_secs(1500)));
    let found = limit.limit();
    assert!(Duration::from_secs(3000) <= found && found < Duration::from_secs(3200), "{found:?}");
    (0..20).for_each(|_| limit.record(Duration::MAX));
    assert_eq!(limit.limit(), Duration::from_secs(3600), "only the ceiling asked for ends it");
}

#[tokio::test(start_paused = true)]
async fn the_limit_stays_between_floor_and_ceiling() {
    let limit = TimeLimit::new(quantile().explore(false)).unwrap();
    (0..100).for_each(|_| limit.record(Duration::ZERO));
    assert_eq!(limit.limit(), 10 * MS);
    (0..100).for_each(|_| limit.record_timeout(limit.limit()));
    assert_eq!(limit.limit(), 5000 * MS);
}

#[tokio::test(start_paused = true)]
async fn two_modes_of_latency_do_not_end_the_slower_one() {
    // One call in twenty goes to the slow path: the quantile is of that path, and no call there is
    // given up.
    let limit = adaptive();
    let upstream = settled(&limit).await;
    let service = behind(&limit, &upstream);
    let mut failures = 0;
    for n in 0..1000 {
        upstream.set(Answer::After(if n % 20 == 0 { 800 * MS } else { 20 * MS }));
        failures += u32::from(call(&service).await.is_err());
    }
    assert!(failures <= 10, "{failures} of the fifty slow calls");
}

#[tokio::test(start_paused = true)]
async fn the_moving_average_is_multiplied() {
    let limit = TimeLimit::new(LimitConfig::ewma(10 * MS, 5000 * MS).factor(3.0)).unwrap();
    assert_eq!(limit.limit(), 1000 * MS, "cold");
    settled(&limit).await;
    assert!(limit.limit().abs_diff(150 * MS) < MS, "{:?}", limit.limit());
}

/// A request that says which attempt it is.
#[derive(Clone, Copy, Debug)]
struct Try(Attempt);

#[derive(Clone, Copy, Debug)]
struct TryContext;

impl RequestContext<Try> for TryContext {
    fn deadline(&self, _: &Try) -> Option<Deadline> {
        None
    }

    fn attempt(&self, request: &Try) -> Attempt {
        request.0
    }
}

async fn attempt(limit: &TimeLimit, upstream: &Upstream, attempt: Attempt) -> Result<(), BoxError> {
    let upstream = upstream.clone();
    let layer = TimeoutLayer::new(limit.clone()).context(TryContext);
    layer.layer(service_fn(move |_: Try| upstream.clone().answer())).oneshot(Try(attempt)).await
}

#[tokio::test(start_paused = true)]
async fn rfc_6298_takes_no_sample_from_a_retransmission_and_stays_doubled_until_a_fresh_one() {
    let limit = TimeLimit::new(LimitConfig::rfc6298(10 * MS, 60_000 * MS)).unwrap();
    let (first, second) = (Attempt::FIRST, Attempt::FIRST.next());
    let upstream = Upstream::new(Answer::After(100 * MS));
    attempt(&limit, &upstream, first).await.unwrap();
    assert!(limit.limit().abs_diff(300 * MS) < MS);

    upstream.set(Answer::Never);
    attempt(&limit, &upstream, first).await.unwrap_err();
    attempt(&limit, &upstream, second).await.unwrap_err();
    assert!(limit.limit().abs_diff(1200 * MS) < MS, "each expiry doubles, a retransmission's too");

    upstream.set(Answer::After(100 * MS));
    attempt(&limit, &upstream, second).await.unwrap();
    assert_eq!(limit.snapshot().doublings, 2, "it stays doubled");
    attempt(&limit, &upstream, first).await.unwrap();
    assert_eq!(limit.snapshot().doublings, 0);
    assert!(limit.limit().abs_diff(250 * MS) < MS);
}

#[tokio::test(start_paused = true)]
async fn rfc_6298_doubles_once_for_calls_that_expire_together() {
    let limit = TimeLimit::new(LimitConfig::rfc6298(10 * MS, 60_000 * MS)).unwrap();
    let service = behind(&limit, &Upstream::new(Answer::Never));
    futures::future::join_all((0..50).map(|_| call(&service))).await;
    assert_eq!((limit.limit(), limit.snapshot().doublings), (2000 * MS, 1));
}

#[tokio::test(start_paused = true)]
async fn rfc_6298_is_not_doubled_by_calls_that_began_under_a_longer_limit() {
    let limit = TimeLimit::new(LimitConfig::rfc6298(10 * MS, 60_000 * MS)).unwrap();
    let service = behind(&limit, &Upstream::new(Answer::Never));
    let mut cold: Vec<_> = (0..20).map(|_| tokio_test::task::spawn(call(&service))).collect();
    cold.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    for _ in 0..19 {
        limit.run(ok(tokio::time::sleep(50 * MS))).await.unwrap();
    }
    let before = limit.snapshot();
    tokio::time::advance(Duration::from_secs(1)).await;
    cold.iter_mut().for_each(|call| assert!(call.poll().is_ready()));
    assert_eq!(limit.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn retries_are_samples_where_each_attempt_has_an_answer_of_its_own() {
    let limit = adaptive();
    let upstream = Upstream::new(Answer::After(50 * MS));
    attempt(&limit, &upstream, Attempt::FIRST.next()).await.unwrap();
    assert_eq!(limit.snapshot().samples, 1, "per attempt, not per call");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_the_limit_short_and_is_no_timeout_of_the_service() {
    let limit = adaptive();
    settled(&limit).await;
    let before = limit.snapshot();
    let layer = TimeoutLayer::new(limit.clone()).context(|&deadline: &Deadline| Some(deadline));
    let service = layer.layer(service_fn(|_| std::future::pending::<Result<(), BoxError>>()));
    let start = Instant::now();
    let error = service.oneshot(Deadline::after(start.into_std(), 20 * MS)).await.unwrap_err();
    assert_eq!(*error.downcast::<Elapsed>().unwrap(), Elapsed::at_the_deadline(20 * MS));
    assert_eq!(Instant::now() - start, 20 * MS);
    assert_eq!(limit.snapshot(), before, "20 ms of waiting says nothing about a latency of 50 ms");
}

#[tokio::test(start_paused = true)]
async fn with_no_time_left_the_service_is_not_called() {
    let layer = TimeoutLayer::new(adaptive()).context(|&deadline: &Deadline| Some(deadline));
    let service =
        layer.layer(service_fn(|_| async { unreachable!("called") as Result<(), BoxError> }));
    let now = Instant::now().into_std();
    let error = service.oneshot(Deadline::at(now)).await.unwrap_err();
    let elapsed = *error.downcast::<Elapsed>().unwrap();
    assert_eq!(elapsed, Elapsed::before_the_call());
    assert_eq!(elapsed.grounds.executed, Executed::No);
    assert_eq!(elapsed.to_string(), "the deadline had passed before the call");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_a_stopped_process_found_late_is_kept_and_is_no_sample() {
    // Both the answer and the timer are due when the future is polled again.
    let limit = adaptive();
    settled(&limit).await;
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let mut call = tokio_test::task::spawn(limit.run(ok(receiver)));
    assert!(call.poll().is_pending());
    tokio::time::advance(Duration::from_secs(4)).await;
    sender.send(()).unwrap();
    assert!(
        matches!(call.poll(), std::task::Poll::Ready(Ok(Ok(())))),
        "the inner future is polled before the timer"
    );
    assert!(limit.limit() < 250 * MS, "the pause was this process's own: {:?}", limit.limit());
    assert_eq!(limit.snapshot().samples, 100);
}

#[tokio::test(start_paused = true)]
async fn rfc_6298_takes_no_sample_from_an_answer_that_a_stopped_process_found_late() {
    let limit = TimeLimit::new(LimitConfig::rfc6298(10 * MS, 60_000 * MS)).unwrap();
    settled(&limit).await;
    let before = limit.snapshot();
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let mut call = tokio_test::task::spawn(limit.run(ok(receiver)));
    assert!(call.poll().is_pending());
    tokio::time::advance(Duration::from_secs(60)).await;
    sender.send(()).unwrap();
    assert!(matches!(call.poll(), std::task::Poll::Ready(Ok(Ok(())))));
    assert_eq!(limit.snapshot(), before);
}
