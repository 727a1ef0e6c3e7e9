//! What a Prometheus exporter shows.

use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_core::Deadline;
use steadfast_timeout::{LimitConfig, TimeLimit, TimeoutLayer};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::MS;

fn line(text: &str, start: &str) -> String {
    text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}

#[test]
fn each_call_is_counted_once_and_the_gauge_returns_to_zero() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let limit = TimeLimit::new(LimitConfig::fixed(100 * MS).unwrap().named("upstream"));
            limit.run(async {}).await.unwrap();
            limit.run(tokio::time::sleep(MS)).await.unwrap();
            limit.run(std::future::pending::<()>()).await.unwrap_err();
            drop(limit.run(async {}));
            let layer = TimeoutLayer::from(limit.clone()).context(|&deadline: &Deadline| Some(deadline));
            let service = layer.layer(service_fn(|_: Deadline| async { Ok::<_, BoxError>(()) }));
            let now = tokio::time::Instant::now().into_std();
            service.oneshot(Deadline::at(now)).await.unwrap_err();

            let text = handle.render();
            for (outcome, count) in [("completed", 2), ("timed_out", 1), ("cancelled", 1), ("deadline_passed", 1)] {
                let start = format!("steadfast_timeout_calls_total{{timeout=\"upstream\",outcome=\"{outcome}\"}}");
                assert_eq!(line(&text, &start), format!("{start} {count}"), "{text}");
            }
            let gauge = "steadfast_timeout_limit_seconds{timeout=\"upstream\"}";
            assert_eq!(line(&text, gauge), format!("{gauge} 0.1"), "{text}");
            drop(limit);
        });
    });
    let gauge = "steadfast_timeout_limit_seconds{timeout=\"upstream\"}";
    assert_eq!(line(&handle.render(), gauge), format!("{gauge} 0"));
}

#[test]
fn the_gauge_follows_the_limit() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let limit = crate::adaptive();
        (0..20).for_each(|_| limit.record(50 * MS));
        let text = handle.render();
        let shown = line(&text, "steadfast_timeout_limit_seconds{timeout=\"default\"}");
        let seconds: f64 = shown.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((seconds - limit.limit().as_secs_f64()).abs() < 1e-9, "{shown}");
    });
}
