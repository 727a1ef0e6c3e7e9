//! What a Prometheus exporter shows.

use std::{future::pending, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_core::{Deadline, Verdict};
use steadfast_timeout::{Elapsed, LimitConfig, TimeLimit, TimeoutLayer};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{MS, never, ok};

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn line(text: &str, start: &str) -> String {
    text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}

#[test]
fn each_call_is_counted_once_and_the_gauge_returns_to_zero() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = paused();
        runtime.block_on(async {
            let limit = TimeLimit::new(LimitConfig::fixed(100 * MS).named("upstream")).unwrap();
            limit.run(ok(async {})).await.unwrap();
            limit.run(ok(tokio::time::sleep(MS))).await.unwrap();
            limit.run(never()).await.unwrap_err();
            drop(limit.run(ok(async {})));
            let layer =
                TimeoutLayer::new(limit.clone()).context(|&deadline: &Deadline| Some(deadline));
            let service = layer.layer(service_fn(|_: Deadline| async { Ok::<_, BoxError>(()) }));
            let now = tokio::time::Instant::now().into_std();
            service.oneshot(Deadline::at(now)).await.unwrap_err();
            let hung = layer.layer(service_fn(|_| pending::<Result<(), BoxError>>()));
            let now = tokio::time::Instant::now().into_std();
            hung.oneshot(Deadline::after(now, 50 * MS)).await.unwrap_err();

            let text = handle.render();
            for (outcome, count) in [
                ("completed", 2),
                ("timed_out", 1),
                ("cancelled", 1),
                ("deadline_passed", 1),
                ("deadline_cut", 1),
            ] {
                let start = format!(
                    "steadfast_timeout_calls_total{{timeout=\"upstream\",outcome=\"{outcome}\"}}"
                );
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

/// Runs `test` where a recorder is installed, with a way to ask what the gauge of a name shows.
/// Names are taken for the whole process: each test has its own.
fn recorded(test: impl AsyncFnOnce(&dyn Fn(&str) -> Option<String>)) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let gauge = |name: &str| {
        let start = format!("steadfast_timeout_limit_seconds{{timeout=\"{name}\"}} ");
        handle.render().lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
    };
    let runtime = paused();
    metrics::with_local_recorder(&recorder, || runtime.block_on(test(&gauge)));
}

fn named(name: &str, limit: Duration) -> TimeLimit {
    TimeLimit::new(LimitConfig::fixed(limit).named(name)).unwrap()
}

async fn wait(limit: &TimeLimit) {
    limit.run(ok(tokio::time::sleep(MS))).await.unwrap();
}

#[test]
fn explorations_are_counted_by_how_they_end() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = paused();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let limit = TimeLimit::new(crate::quantile().named("explored")).unwrap();
            (0..20).for_each(|_| limit.record(50 * MS));
            limit.run(never()).await.unwrap_err();
            assert!(tokio::time::timeout(150 * MS, limit.run(never())).await.is_err(), "dropped");
            limit.run(ok(tokio::time::sleep(150 * MS))).await.unwrap();
            let judge = |_: Result<&(), &Elapsed>| -> Verdict { panic!("on purpose") };
            let call = limit.run_judged(ok(tokio::time::sleep(limit.limit() + 50 * MS)), judge);
            assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
            assert_eq!(limit.snapshot().explorations, 4);
        });
    });
    let text = recorder.handle().render();
    for (outcome, count) in [("answered", 1), ("in_vain", 1), ("interrupted", 2)] {
        let start = format!(
            "steadfast_timeout_explorations_total{{timeout=\"explored\",outcome=\"{outcome}\"}}"
        );
        assert_eq!(line(&text, &start), format!("{start} {count}"), "{text}");
    }
    for (outcome, count) in [("completed", 1), ("timed_out", 1), ("cancelled", 2)] {
        let start =
            format!("steadfast_timeout_calls_total{{timeout=\"explored\",outcome=\"{outcome}\"}}");
        assert_eq!(line(&text, &start), format!("{start} {count}"), "{text}");
    }
}

#[test]
fn the_gauge_follows_the_limit() {
    recorded(async |gauge| {
        let limit = TimeLimit::new(crate::quantile().named("followed")).unwrap();
        let shown = || gauge("followed").unwrap().parse::<f64>().unwrap();
        for _ in 0..20 {
            limit.run(ok(tokio::time::sleep(50 * MS))).await.unwrap();
        }
        assert!((shown() - limit.limit().as_secs_f64()).abs() < 1e-9, "after a success");
        limit.run(ok(tokio::time::sleep(180 * MS))).await.unwrap();
        assert!(limit.limit() > 350 * MS);
        assert!((shown() - limit.limit().as_secs_f64()).abs() < 1e-9, "after an exploration");
    });
}

#[test]
fn a_look_at_the_limit_before_there_is_a_recorder_does_not_silence_the_gauge() {
    let limit = named("looked at", 100 * MS);
    assert_eq!((limit.limit(), limit.snapshot().limit), (100 * MS, 100 * MS));
    limit.record(MS);
    recorded(async |gauge| {
        wait(&limit).await;
        assert_eq!(gauge("looked at").unwrap(), "0.1");
    });
}

#[test]
fn a_limit_without_a_name_has_no_gauge() {
    recorded(async |gauge| {
        wait(&crate::fixed(100 * MS)).await;
        assert_eq!(gauge("default"), None);
    });
}

#[test]
fn a_limit_without_end_has_no_gauge_with_a_deadline_or_without() {
    recorded(async |gauge| {
        let layer = TimeoutLayer::new(named("endless", Duration::MAX))
            .context(|&deadline: &Option<Deadline>| deadline);
        let service = layer.layer(service_fn(|_: Option<Deadline>| async {
            tokio::time::sleep(MS).await;
            Ok::<_, BoxError>(())
        }));
        let now = tokio::time::Instant::now().into_std();
        for deadline in
            [None, Some(Deadline::after(now, 100 * MS)), Some(Deadline::after(now, Duration::MAX))]
        {
            service.clone().oneshot(deadline).await.unwrap();
            assert_eq!(gauge("endless"), None, "{deadline:?}");
        }
        assert_eq!(layer.handle().limit(), Duration::MAX);
    });
}

#[cfg(feature = "keyed")]
#[test]
fn limits_by_key_count_under_one_name_and_have_no_gauge() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = paused();
    metrics::with_local_recorder(&recorder, || {
        let capacity = std::num::NonZeroUsize::new(10).unwrap();
        let config = LimitConfig::fixed(100 * MS).named("by key");
        let limits = TimeLimit::per_key(config, capacity, |&key: &u32| key).unwrap();
        runtime.block_on(async {
            for key in [1, 2, 1] {
                wait(&limits.handle(&key)).await;
            }
        });
    });
    let text = recorder.handle().render();
    let calls = "steadfast_timeout_calls_total{timeout=\"by key\",outcome=\"completed\"}";
    assert_eq!(line(&text, calls), format!("{calls} 3"), "{text}");
    assert_eq!(line(&text, "steadfast_timeout_limit_seconds"), "", "{text}");
}

#[test]
fn of_two_limits_with_one_name_the_first_is_shown_and_the_other_once_it_is_gone() {
    recorded(async |gauge| {
        let shown = || gauge("twins").unwrap();
        let [first, second, third] = [1, 2, 3].map(|n| named("twins", n * 100 * MS));
        wait(&first).await;
        wait(&second).await;
        wait(&third).await;
        assert_eq!(shown(), "0.1", "the others do not overwrite it");
        drop(second);
        assert_eq!(shown(), "0.1", "only the first zeroes it");
        drop(first);
        assert_eq!(shown(), "0");
        wait(&third).await;
        assert_eq!(shown(), "0.3");
        drop(third);
        assert_eq!(shown(), "0");
    });
}

#[test]
fn a_layer_is_named_by_its_limit_and_one_without_a_name_keeps_the_default() {
    recorded(async |gauge| {
        let layer = TimeoutLayer::fixed(100 * MS).unwrap();
        let named = TimeoutLayer::new(named("layer", 100 * MS));
        let service = named.layer(service_fn(|()| async {
            tokio::time::sleep(MS).await;
            Ok::<_, BoxError>(())
        }));
        service.oneshot(()).await.unwrap();
        assert_eq!(gauge("layer").unwrap(), "0.1");
        wait(layer.handle()).await;
        assert_eq!((gauge("default"), layer.handle().name()), (None, "default"));
    });
}

#[test]
fn a_call_whose_classifier_panics_is_counted_once() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = paused();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let judge = |_: Result<&(), &Elapsed>| -> Verdict { panic!("on purpose") };
            let call = crate::adaptive().run_judged(ok(tokio::time::sleep(MS)), judge);
            AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
        });
    });
    let text = recorder.handle().render();
    let start = "steadfast_timeout_calls_total{timeout=\"default\"";
    let counted: u32 = text
        .lines()
        .filter(|line| line.starts_with(start))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert_eq!(counted, 1, "{text}");
}

#[cfg(feature = "http")]
#[test]
fn each_body_is_counted_once_however_it_ends() {
    use std::{convert::Infallible, io};

    use bytes::Bytes;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, Full, StreamBody};
    use steadfast_timeout::{BodyTimeoutConfig, BodyTimeoutLayer};

    type Body = http_body_util::combinators::BoxBody<Bytes, io::Error>;

    async fn body(config: BodyTimeoutConfig, inner: Body) -> steadfast_timeout::TimedBody<Body> {
        let mut inner = Some(inner);
        let service = service_fn(move |(): ()| {
            let response = http::Response::new(inner.take().unwrap());
            async { Ok::<_, Infallible>(response) }
        });
        BodyTimeoutLayer::new(config).unwrap().layer(service).oneshot(()).await.unwrap().into_body()
    }
    let silent = || {
        let frames = stream::pending::<Result<Frame<Bytes>, io::Error>>();
        BodyExt::boxed(StreamBody::new(frames))
    };
    let full = |text: &'static str| {
        Full::<Bytes>::from(text).map_err(|never: Infallible| match never {}).boxed()
    };
    let broken = || {
        let error = Err::<Frame<Bytes>, _>(io::ErrorKind::ConnectionReset.into());
        BodyExt::boxed(StreamBody::new(stream::iter([error])))
    };
    let config = || BodyTimeoutConfig::new().between_frames(100 * MS).named("bodies");
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        paused().block_on(async {
            // Read to its end, at its end from the first on, and never polled to `None`.
            body(config(), full("hello")).await.collect().await.unwrap();
            drop(body(config(), full("")).await);
            drop(body(config(), full("hello")).await.frame().await.unwrap().unwrap());
            body(config(), silent()).await.collect().await.unwrap_err();
            body(config().whole(50 * MS), silent()).await.collect().await.unwrap_err();
            body(config(), broken()).await.collect().await.unwrap_err();
            drop(body(config(), silent()).await);
            assert!(body(config(), silent()).await.frame().now_or_never().is_none());
        });
    });
    let text = recorder.handle().render();
    let start = "steadfast_timeout_bodies_total{timeout=\"bodies\",outcome=\"";
    for (outcome, count) in
        [("ended", 3), ("stalled", 1), ("overdue", 1), ("failed", 1), ("dropped", 2)]
    {
        let start = format!("{start}{outcome}\"}}");
        assert_eq!(line(&text, &start), format!("{start} {count}"), "{text}");
    }
    assert_eq!(
        line(&text, "steadfast_timeout_limit_seconds"),
        "steadfast_timeout_limit_seconds{timeout=\"bodies\"} 0"
    );
    assert_eq!(line(&text, "steadfast_timeout_calls_total"), "", "a body is no call");
}
