//! Budgets that are changed while retries are asked of them.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread,
    time::Duration,
};

use steadfast_core::{Ratio, TimeSource};
use steadfast_retry::{Budget, BudgetConfig, Withdrawal};
use tokio::time::advance;

const WINDOW: Duration = Duration::from_secs(10);

fn config(percent: u8, floor_per_second: u32) -> BudgetConfig {
    BudgetConfig::new().ratio(Ratio::percent(percent)).floor_per_second(floor_per_second)
}

fn withdraw(budget: &Budget) -> Option<Withdrawal> {
    budget.try_withdraw(NonZeroU32::MIN).ok()
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_counted_give_credit_by_the_new_ratio() {
    let budget = Budget::new(config(0, 0)).unwrap();
    (0..100).for_each(|_| budget.deposit());
    assert_eq!(budget.snapshot().available, 0);
    budget.reconfigure(config(20, 0)).unwrap();
    assert_eq!((budget.snapshot().available, budget.snapshot().requests), (20, 100));
    budget.reconfigure(config(20, 3)).unwrap();
    assert_eq!(budget.snapshot().available, 50);
    assert_eq!(format!("{:?}", budget.config()), format!("{:?}", config(20, 3)));
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_shrinks_below_what_is_out_has_nothing_and_never_less() {
    let budget = Budget::new(config(0, 1)).unwrap();
    let mut held: Vec<_> = (0..10).map(|_| withdraw(&budget).unwrap()).collect();
    for withdrawal in held.drain(..4) {
        withdrawal.spend();
    }
    budget.reconfigure(BudgetConfig::new().ratio(Ratio::ZERO).floor_per_second(0)).unwrap();
    let state = budget.snapshot();
    assert_eq!((state.available, state.withdrawn), (0, 10));
    assert!(withdraw(&budget).is_none());
    // What was withdrawn before may be given back, and may be sent.
    drop(held.pop());
    held.pop().unwrap().spend();
    assert_eq!((budget.snapshot().available, budget.snapshot().withdrawn), (0, 9));
    // Five are sent and four wait: of a floor of 8 in a window there is nothing to have.
    let eight = config(0, 1).window(WINDOW * 8 / 10);
    assert_eq!(budget.reconfigure(eight).unwrap_err().field, "window");
    budget.reconfigure(config(0, 1)).unwrap();
    assert_eq!(budget.snapshot().available, 1);
    assert!(withdraw(&budget).is_some());
    // What was sent leaves the window.
    advance(2 * WINDOW).await;
    assert_eq!((budget.snapshot().available, budget.snapshot().withdrawn), (6, 4));
    drop(held);
    assert_eq!(budget.snapshot().available, 10);
}

#[test]
fn what_a_budget_keeps_is_refused_by_name_and_then_nothing_has_changed() {
    let budget = Budget::new(config(20, 1).named("stock")).unwrap();
    (0..10).for_each(|_| budget.deposit());
    let before = (format!("{:?}", budget.config()), budget.snapshot());
    let good = || config(100, 100);
    for (config, field, value) in [
        (good().window(WINDOW / 2), "window", "5s"),
        (good().window(Duration::ZERO), "window", "0ns"),
        (good().time_source(TimeSource::Coarse), "time_source", "Coarse"),
        (good().named("orders"), "named", "\"orders\""),
    ] {
        let error = budget.reconfigure(config).unwrap_err();
        assert_eq!((error.field, error.value.as_str()), (field, value));
        assert_eq!((format!("{:?}", budget.config()), budget.snapshot()), before, "{field}");
    }
    budget.reconfigure(good()).unwrap();
    budget.reconfigure(good().named("stock")).unwrap();
    assert!(format!("{:?}", budget.config()).contains("stock"));
}

/// The ratio of one and the floor of the other would be 20 for ten requests.
#[test]
fn what_is_withdrawn_during_changes_is_allowed_by_one_configuration_and_not_by_a_mixture() {
    let budget = Budget::new(config(100, 0)).unwrap();
    (0..10).for_each(|_| budget.deposit());
    let (out, is_done) = (AtomicI64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = Vec::new();
                while !is_done.load(Ordering::Relaxed) {
                    match withdraw(&budget) {
                        Some(withdrawal) => {
                            held.push(withdrawal);
                            let out = out.fetch_add(1, Ordering::Relaxed) + 1;
                            assert!(out <= 10, "{out} are out");
                        }
                        None => {
                            assert!(budget.snapshot().available <= 10);
                            // Counted before it is given back, so that the count is never too high.
                            out.fetch_sub(held.len() as i64, Ordering::Relaxed);
                            held.clear();
                        }
                    }
                }
                out.fetch_sub(held.len() as i64, Ordering::Relaxed);
            });
        }
        for _ in 0..5_000 {
            budget.reconfigure(config(0, 1)).unwrap();
            budget.reconfigure(config(100, 0)).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(budget.snapshot().available, 10, "all is given back");
}

#[cfg(all(feature = "metrics", feature = "tracing"))]
#[test]
fn a_change_is_an_event_and_counted_and_one_that_is_refused_is_only_counted() {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use steadfast_testkit::events;

    let recorder = PrometheusBuilder::new().build_recorder();
    let lines = metrics::with_local_recorder(&recorder, || {
        events(|| {
            let budget = Budget::new(config(20, 1).named("stock")).unwrap();
            budget.reconfigure(config(10, 1)).unwrap();
            budget.reconfigure(config(10, 1).window(WINDOW / 2)).unwrap_err();
        })
    });
    assert_eq!(lines, ["INFO steadfast::retry message=budget was reconfigured budget=stock"]);
    let text = recorder.handle().render();
    let line =
        "steadfast_retry_budget_reconfigurations_total{budget=\"stock\",outcome=\"applied\"} 1";
    assert!(text.lines().any(|found| found == line), "{text}");
    assert!(text.contains("outcome=\"refused\"} 1"), "{text}");
}

#[test]
fn an_exhausted_budget_says_its_name_to_logs_and_not_in_its_detail() {
    let config = BudgetConfig::new().ratio(Ratio::ZERO).floor_per_second(0).named("vault");
    let error = Budget::new(config).unwrap().try_withdraw(NonZeroU32::MIN).unwrap_err();
    assert_eq!(error.to_string(), r#"the retry budget "vault" is exhausted"#);
    assert_eq!(steadfast_core::Refusal::detail(&error), "the retry budget is exhausted");
}
