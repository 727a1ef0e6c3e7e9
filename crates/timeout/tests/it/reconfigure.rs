//! Limits that are changed while calls go through them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use futures::FutureExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_testkit::events;
use steadfast_timeout::{Elapsed, LimitConfig, MultipleOf, Quantile, TimeLimit};
use tokio::time::{Instant, sleep};

use crate::{MS, never, ok};

const SECOND: Duration = Duration::from_secs(1);

fn quantile(floor: Duration, ceiling: Duration) -> MultipleOf<Quantile> {
    LimitConfig::quantile(floor, ceiling)
}

fn learned(latency: Duration) -> TimeLimit {
    let limit = TimeLimit::new(quantile(10 * MS, 5 * SECOND).named("stock")).unwrap();
    (0..100).for_each(|_| limit.record(latency));
    limit
}

/// Within the width of a bucket of the histogram.
fn about(limit: Duration, expected: Duration) -> bool {
    (expected..expected * 17 / 16).contains(&limit)
}

#[test]
fn samples_stay_and_the_new_numbers_hold_at_once() {
    let limit = learned(50 * MS);
    assert!(about(limit.limit(), 100 * MS));
    limit.reconfigure(quantile(10 * MS, 5 * SECOND).factor(3.0)).unwrap();
    assert!(about(limit.limit(), 150 * MS), "{:?}", limit.limit());
    limit.reconfigure(quantile(SECOND, 5 * SECOND)).unwrap();
    assert_eq!(limit.limit(), SECOND);
    limit.reconfigure(quantile(MS, 20 * MS)).unwrap();
    assert_eq!(limit.limit(), 20 * MS);
    (0..100).for_each(|_| limit.record(200 * MS));
    limit.reconfigure(quantile(MS, 5 * SECOND).quantile(0.4)).unwrap();
    assert!(about(limit.limit(), 100 * MS), "{:?}", limit.limit());
    limit.reconfigure(quantile(MS, 5 * SECOND).minimum_samples(201)).unwrap();
    assert_eq!((limit.limit(), limit.snapshot().samples), (SECOND, 200), "the cold start");
    let config = quantile(MS, 5 * SECOND).minimum_samples(201).cold_start(2 * SECOND);
    limit.reconfigure(config).unwrap();
    assert_eq!(limit.limit(), 2 * SECOND);
}

#[test]
fn each_rule_goes_on_with_what_it_has_learned() {
    let ewma = TimeLimit::new(LimitConfig::ewma(MS, 5 * SECOND)).unwrap();
    let rfc = TimeLimit::new(LimitConfig::rfc6298(MS, 5 * SECOND)).unwrap();
    for limit in [&ewma, &rfc] {
        (0..200).for_each(|_| limit.record(50 * MS));
    }
    ewma.reconfigure(LimitConfig::ewma(MS, 5 * SECOND).factor(2.0).weight(1.0)).unwrap();
    assert_eq!(ewma.limit().as_millis(), 100);
    ewma.record(70 * MS);
    assert_eq!(ewma.limit().as_millis(), 140, "the whole average is the new sample");
    rfc.reconfigure(LimitConfig::rfc6298(MS, 5 * SECOND).granularity(20 * MS)).unwrap();
    assert!(rfc.limit().abs_diff(70 * MS) < MS / 10, "{:?}", rfc.limit());
    rfc.reconfigure(LimitConfig::rfc6298(MS, 40 * MS)).unwrap();
    assert_eq!(rfc.limit(), 40 * MS);
    let fixed = TimeLimit::new(LimitConfig::fixed(SECOND)).unwrap();
    for length in [2 * SECOND, Duration::MAX, MS] {
        fixed.reconfigure(LimitConfig::fixed(length)).unwrap();
        assert_eq!(fixed.limit(), length);
    }
}

#[test]
fn what_a_limit_keeps_is_refused_by_name_and_then_nothing_has_changed() {
    let limit = learned(50 * MS);
    let good = || quantile(10 * MS, 20 * MS);
    let refused: [(LimitConfig, &str, &str); 9] = [
        (LimitConfig::fixed(SECOND), "rule", "\"fixed\""),
        (LimitConfig::ewma(MS, SECOND).into(), "rule", "\"ewma\""),
        (LimitConfig::rfc6298(MS, SECOND).into(), "rule", "\"rfc6298\""),
        (good().window(30 * SECOND).into(), "window", "30s"),
        (good().explore(false).into(), "explore", "false"),
        (good().named("orders").into(), "named", "\"orders\""),
        (good().factor(f64::NAN).into(), "factor", "NaN"),
        (good().cold_start(SECOND).into(), "cold_start", "1s"),
        (quantile(2 * SECOND, SECOND).into(), "floor", "2s"),
    ];
    let before = (format!("{:?}", limit.config()), limit.snapshot());
    for (config, field, value) in refused {
        let error = limit.reconfigure(config).unwrap_err();
        assert_eq!((error.field, error.value.as_str()), (field, value));
        assert_eq!((format!("{:?}", limit.config()), limit.snapshot()), before, "{field}");
    }
    limit.reconfigure(good().named("stock")).unwrap();
    assert_eq!(limit.limit(), 20 * MS);
    // A name that is left out stays.
    limit.reconfigure(good()).unwrap();
    let config = format!("{:?}", limit.config());
    assert!(config.contains("stock") && config.contains("20ms"), "{config}");
    limit.reconfigure(limit.config()).unwrap();
    assert_eq!(format!("{:?}", limit.config()), config);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_cut_to_the_new_ceiling_and_does_not_come_back() {
    let limit = learned(50 * MS);
    limit.run(ok(sleep(180 * MS))).await.unwrap();
    assert!(limit.snapshot().held.unwrap() >= 359 * MS);
    limit.reconfigure(quantile(10 * MS, 150 * MS)).unwrap();
    let held = limit.snapshot().held.unwrap();
    assert!((149 * MS..=151 * MS).contains(&held), "{held:?}");
    assert_eq!(limit.limit(), 150 * MS);
    limit.reconfigure(quantile(10 * MS, 5 * SECOND)).unwrap();
    assert!(limit.limit() < 152 * MS, "{:?}", limit.limit());
}

#[tokio::test(start_paused = true)]
async fn calls_and_explorations_under_way_keep_what_they_were_given() {
    let limit = TimeLimit::new(quantile(10 * MS, 5 * SECOND)).unwrap();
    (0..20).for_each(|_| limit.record(500 * MS));
    let given = limit.limit();
    let began = Instant::now();
    let (explores, fails) = futures::join!(limit.run(ok(sleep(given + 200 * MS))), async {
        let call = limit.run(never());
        futures::pin_mut!(call);
        assert!(call.as_mut().now_or_never().is_none());
        limit.reconfigure(quantile(MS, 2 * MS)).unwrap();
        assert_eq!(limit.limit(), 2 * MS);
        // Beyond the new ceiling there is nothing to find.
        (call.await, Instant::now() - began)
    });
    assert_eq!(explores, Err(Elapsed::after(given)));
    assert_eq!(fails.0, Err(Elapsed::after(given)));
    assert!((given..given + 2 * MS).contains(&fails.1), "{fails:?}");

    let limit = TimeLimit::new(quantile(10 * MS, 5 * SECOND)).unwrap();
    (0..20).for_each(|_| limit.record(500 * MS));
    let explores = limit.run(ok(sleep(given + 200 * MS)));
    futures::pin_mut!(explores);
    assert!(explores.as_mut().now_or_never().is_none());
    sleep(given + 100 * MS).await;
    assert!(explores.as_mut().now_or_never().is_none());
    assert_eq!(limit.snapshot().explorations, 1);
    limit.reconfigure(quantile(MS, 2 * MS)).unwrap();
    assert_eq!(explores.await, Ok(()), "it began before");
    assert_eq!(limit.limit(), 2 * MS);
    assert!(limit.snapshot().held.is_none_or(|held| held <= 3 * MS), "{:?}", limit.snapshot());
}

/// The floor of the one lies above the ceiling of the other: `Duration::clamp` would panic on a
/// pair that is read half before and half after a change.
#[test]
fn a_limit_that_is_read_during_changes_is_between_the_lesser_floor_and_the_greater_ceiling() {
    let (low, high) = (|| quantile(10 * MS, 20 * MS), || quantile(SECOND, 2 * SECOND));
    let (low_rfc, high_rfc) =
        (|| LimitConfig::rfc6298(10 * MS, 20 * MS), || LimitConfig::rfc6298(SECOND, 2 * SECOND));
    let limits = [
        learned(50 * MS),
        TimeLimit::new(quantile(10 * MS, 20 * MS)).unwrap(),
        TimeLimit::new(low_rfc()).unwrap(),
    ];
    limits[0].reconfigure(low()).unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut steps = 0_u32;
                while !is_done.load(Ordering::Relaxed) {
                    for limit in &limits {
                        let seen = limit.limit();
                        assert!((10 * MS..=2 * SECOND).contains(&seen), "{seen:?}");
                        limit.record(Duration::from_millis(u64::from(steps % 3000)));
                        limit.record_timeout(seen);
                        steps += 1;
                    }
                }
            });
        }
        for _ in 0..2_000 {
            limits[0].reconfigure(low()).unwrap();
            limits[0].reconfigure(high()).unwrap();
            limits[1].reconfigure(high()).unwrap();
            limits[1].reconfigure(low()).unwrap();
            limits[2].reconfigure(high_rfc()).unwrap();
            limits[2].reconfigure(low_rfc()).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
    let limit = limits[0].limit();
    assert!((SECOND..=2 * SECOND).contains(&limit), "{limit:?}");
    for limit in &limits[1..] {
        assert!((10 * MS..=20 * MS).contains(&limit.limit()), "{limit:?}");
    }
}

/// Of two changes at once one comes after the other, as a whole.
#[test]
fn changes_at_once_do_not_mix() {
    let limit = learned(50 * MS);
    let configs = [quantile(10 * MS, 20 * MS), quantile(SECOND, 2 * SECOND)];
    for _ in 0..500 {
        thread::scope(|scope| {
            for config in configs.clone() {
                scope.spawn(|| limit.reconfigure(config).unwrap());
            }
        });
        let (config, seen) = (format!("{:?}", limit.config()), limit.limit());
        let is_high = config.contains("floor: 1s, ceiling: 2s");
        assert_eq!(seen, if is_high { SECOND } else { 20 * MS }, "{config}");
    }
}

#[cfg(feature = "keyed")]
#[test]
fn limits_by_key_are_changed_with_those_of_keys_to_come_and_stay_by_themselves() {
    let capacity = std::num::NonZeroUsize::new(10).unwrap();
    let limits =
        TimeLimit::per_key(quantile(10 * MS, 5 * SECOND), capacity, |&key: &u32| key).unwrap();
    (0..20).for_each(|_| limits.handle(&1).record(50 * MS));
    (0..20).for_each(|_| limits.handle(&2).record(70 * MS));
    limits.reconfigure(quantile(10 * MS, 3 * SECOND).factor(4.0).into()).unwrap();
    assert!(about(limits.handle(&1).limit(), 200 * MS));
    assert!(about(limits.handle(&2).limit(), 280 * MS));
    (0..20).for_each(|_| limits.handle(&3).record(10 * MS));
    assert!(about(limits.handle(&3).limit(), 40 * MS), "of a key that came later");
    let error = limits.reconfigure(LimitConfig::fixed(SECOND)).unwrap_err();
    assert_eq!(error.field, "rule");
    assert!(about(limits.handle(&1).limit(), 200 * MS));
    let config = format!("{:?}", limits.config().unwrap());
    assert!(config.contains("factor: 4"), "{config}");
    // One by itself.
    limits.handle(&1).reconfigure(quantile(10 * MS, 20 * MS)).unwrap();
    assert_eq!(limits.handle(&1).limit(), 20 * MS);
    assert!(about(limits.handle(&2).limit(), 280 * MS));
}

#[test]
fn a_change_is_an_event_and_counted_and_one_that_is_refused_is_only_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let change = || {
        let limit = learned(50 * MS);
        limit.reconfigure(quantile(10 * MS, 20 * MS)).unwrap();
        limit.reconfigure(LimitConfig::fixed(SECOND)).unwrap_err();
        #[cfg(feature = "keyed")]
        {
            let capacity = std::num::NonZeroUsize::new(10).unwrap();
            let config = quantile(10 * MS, 20 * MS).named("keyed");
            let limits = TimeLimit::per_key(config, capacity, |&key: &u32| key).unwrap();
            (0..5).for_each(|key| drop(limits.handle(&key)));
            limits.reconfigure(quantile(10 * MS, 30 * MS).into()).unwrap();
        }
    };
    let lines = metrics::with_local_recorder(&recorder, || events(change));
    let event =
        |name| format!("INFO steadfast::timeout message=limit was reconfigured timeout={name}");
    let text = recorder.handle().render();
    let names: &[&str] = if cfg!(feature = "keyed") { &["stock", "keyed"] } else { &["stock"] };
    assert_eq!(lines, names.iter().map(event).collect::<Vec<_>>(), "once for all keys");
    for name in names {
        let line = format!(
            "steadfast_timeout_reconfigurations_total{{timeout=\"{name}\",outcome=\"applied\"}} 1"
        );
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(text.contains("{timeout=\"stock\",outcome=\"refused\"} 1"), "{text}");
}

#[test]
fn a_fixed_limit_that_gets_no_end_is_shown_no_more_and_one_that_gets_an_end_is() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let handle = recorder.handle();
    let shown = |name: &str| {
        let start = format!("steadfast_timeout_limit_seconds{{timeout=\"{name}\"}} ");
        let text = handle.render();
        text.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
    };
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let fixed = |limit| TimeLimit::new(LimitConfig::fixed(limit).named("fixed")).unwrap();
            let limit = fixed(Duration::MAX);
            limit.run(ok(sleep(MS))).await.unwrap();
            assert_eq!(shown("fixed"), None);
            limit.reconfigure(LimitConfig::fixed(SECOND)).unwrap();
            limit.run(ok(sleep(MS))).await.unwrap();
            assert_eq!(shown("fixed").unwrap(), "1");
            limit.reconfigure(LimitConfig::fixed(Duration::MAX)).unwrap();
            assert_eq!(shown("fixed").unwrap(), "0");
        });
    });
}
