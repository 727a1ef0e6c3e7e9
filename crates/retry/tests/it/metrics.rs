//! What a Prometheus exporter shows.

use std::{io, time::Duration};

use futures::future::{pending, ready};
use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_core::{Deadline, Executed, Pushback, Verdict};
use steadfast_retry::RetryLayer;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{BROKEN, REFUSED, Reply, Script, ample, exactly, steady};

/// Runs `calls` under a recorder of its own and returns what the exporter renders, without
/// comments, in order.
fn scraped(calls: impl AsyncFnOnce()) -> Vec<String> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(calls());
    });
    let mut lines: Vec<String> = handle.render().lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty() && !line.starts_with('#'));
    lines.sort();
    lines
}

fn calls_total(outcome: &str, number: u32) -> String {
    format!("steadfast_retry_calls_total{{retry=\"users\",outcome=\"{outcome}\"}} {number}")
}

fn retries_total(number: u32) -> String {
    format!("steadfast_retry_retries_total{{retry=\"users\"}} {number}")
}

fn counted(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| !line.ends_with(" 0")).collect()
}

#[test]
fn each_call_is_counted_once_with_its_outcome() {
    let with = |replies: Vec<Reply>| {
        RetryLayer::new(steady().named("users")).budget(ample()).layer(Script::new(replies))
    };
    let cases: [(&str, u32, Vec<Reply>); 4] = [
        ("success", 0, vec![Ok(7)]),
        ("success", 1, vec![REFUSED, Ok(7)]),
        ("attempts_exhausted", 2, vec![REFUSED]),
        ("not_repeatable", 0, vec![BROKEN]),
    ];
    for (outcome, retries, replies) in cases {
        let lines = scraped(async || drop(with(replies).oneshot(1).await));
        let retried = (retries > 0).then(|| retries_total(retries));
        let expected: Vec<String> = [calls_total(outcome, 1)].into_iter().chain(retried).collect();
        assert_eq!(counted(&lines), expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn calls_that_end_by_a_bound_are_told_apart() {
    let lines = scraped(async || {
        let named = || RetryLayer::new(steady().named("users")).budget(ample());
        let script = || Script::new([REFUSED]);
        drop(named().budget(exactly(0, 0)).layer(script()).oneshot(1).await);
        let now = tokio::time::Instant::now().into_std();
        let soon = Some(Deadline::after(now, Duration::from_millis(10)));
        drop(named().context(move |_: &u32| soon).layer(script()).oneshot(1).await);
        let later = Verdict::Transient {
            executed: Executed::No,
            pushback: Pushback::After(Duration::from_secs(60)),
        };
        drop(
            named()
                .classify(move |_: Result<&u32, &io::Error>| later)
                .layer(script())
                .oneshot(1)
                .await,
        );
        let never = |_: Result<&u32, &io::Error>| Verdict::Permanent;
        drop(named().classify(never).layer(script()).oneshot(1).await);
        let hangs = service_fn(|_: u32| pending::<io::Result<u32>>());
        drop(named().layer(hangs).call(1));
        let mut waits = tokio_test::task::spawn(named().layer(script()).oneshot(1));
        assert!(waits.poll().is_pending());
    });
    let expected = [
        calls_total("budget_exhausted", 1),
        calls_total("cancelled", 2),
        calls_total("deadline", 1),
        calls_total("failed", 1),
        calls_total("retry_after", 1),
        retries_total(1),
    ];
    assert_eq!(counted(&lines), expected.iter().collect::<Vec<_>>());
}

#[test]
fn handles_made_before_the_recorder_is_installed_count_all_the_same() {
    let service = RetryLayer::new(steady().named("users"))
        .budget(ample())
        .layer(service_fn(|n: u32| ready(Ok::<_, io::Error>(n))));
    let lines = scraped(async || drop(service.clone().oneshot(1).await));
    assert_eq!(counted(&lines), [&calls_total("success", 1)]);
}
