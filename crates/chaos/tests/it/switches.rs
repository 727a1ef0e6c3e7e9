//! The handle: switched, changed and read while requests run.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use steadfast_chaos::{Delay, Fault, FaultLayer, Faults, Injected, Mode, Plan, RateError, Rule};
use steadfast_testkit::BoxError;
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{DELAY, SECOND, able, always, call, counts, it, on, settled, under};

fn half() -> Plan {
    Plan::new(42).rule(Rule::new("it", Fault::CrashedBefore).probability(0.5))
}

/// Which of so many requests are struck.
async fn struck<S>(service: &mut S, requests: u32) -> Vec<bool>
where
    S: Service<u32, Response = u32, Error = BoxError>,
{
    let mut struck = Vec::new();
    for request in 0..requests {
        struck.push(service.ready().await.unwrap().call(request).await.is_err());
    }
    struck
}

#[tokio::test]
async fn off_until_it_is_turned_on_and_off_again_at_once() {
    let faults = Faults::new(Plan::new(1).rule(Rule::new("it", Fault::CrashedBefore))).unwrap();
    let (_, mut service) = under(&able(&faults));
    assert_eq!(faults.mode(), Mode::Off);
    assert_eq!(struck(&mut service, 1).await, [false]);
    faults.turn_on();
    assert_eq!((faults.mode(), struck(&mut service, 1).await), (Mode::On, vec![true]));
    faults.turn_off();
    assert_eq!(struck(&mut service, 1).await, [false]);
    assert_eq!((faults.snapshot().requests, counts(&faults)), (1, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_met_a_fault_stays_with_it() {
    let faults = always(Fault::ReplyLate(DELAY));
    let (_, mut service) = under(&able(&faults));
    let mut late = call(&mut service, 1);
    assert!(late.poll().is_pending());
    faults.turn_off();
    assert!(matches!(call(&mut service, 2).poll(), Poll::Ready(Ok(2))));
    assert!(settled(&mut late).await.is_pending());
    advance(SECOND).await;
    assert!(matches!(settled(&mut late).await, Poll::Ready(Ok(1))));
}

#[tokio::test]
async fn a_dry_run_counts_what_the_plan_then_does() {
    let faults = Faults::new(half()).unwrap();
    let (probe, mut service) = under(&able(&faults));
    faults.dry_run();
    assert_eq!(struck(&mut service, 100).await, [false; 100]);
    let told = it(&faults);
    assert_eq!((probe.counts().calls, told.struck, told.skipped), (100, 0, 0));
    faults.turn_on();
    let seen = struck(&mut service, 100).await;
    let number = seen.iter().filter(|&&struck| struck).count() as u64;
    assert!((30..70).contains(&number));
    let done = it(&faults);
    assert_eq!((done.would_strike, done.struck, number), (told.would_strike, number, number));
    // Turned on while it is on, it goes on; turned on again, it begins.
    faults.turn_on();
    assert_ne!(struck(&mut service, 100).await, seen);
    faults.turn_off();
    faults.turn_on();
    assert_eq!(struck(&mut service, 100).await, seen);
}

#[tokio::test(start_paused = true)]
async fn a_plans_time_begins_when_it_is_turned_on() {
    let rule = Rule::new("it", Fault::CrashedBefore).during(SECOND..2 * SECOND);
    let faults = Faults::new(Plan::new(1).rule(rule)).unwrap();
    let (_, mut service) = under(&able(&faults));
    advance(Duration::from_secs(60)).await;
    faults.turn_on();
    for expected in [false, true, false] {
        assert_eq!(struck(&mut service, 1).await, [expected]);
        advance(SECOND).await;
    }
}

#[tokio::test]
async fn a_rate_changes_while_it_runs_and_keeps_the_requests_it_struck() {
    let faults = on(half());
    let (_, mut service) = under(&able(&faults));
    let before = struck(&mut service, 200).await;
    faults.turn_off();
    faults.set_probability("it", 0.8).unwrap();
    faults.turn_on();
    let after = struck(&mut service, 200).await;
    assert!(before.iter().zip(&after).all(|(before, after)| !before || *after));
    assert!(after.iter().filter(|&&struck| struck).count() > 130, "a rate outlives a new start");
    assert!(matches!(
        faults.set_probability("its", 0.1),
        Err(RateError::UnknownRule { name }) if &*name == "its"
    ));
    for none in [f64::NAN, -0.1, 1.1] {
        assert!(matches!(faults.set_probability("it", none), Err(RateError::Config(_))));
    }
    faults.set_probability("it", 0.0).unwrap();
    assert_eq!(struck(&mut service, 100).await, [false; 100]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_replaced_while_it_runs_and_its_counts_begin_anew() {
    let faults = always(Fault::ReplyLate(DELAY));
    let (probe, mut service) = under(&able(&faults));
    probe.script([steadfast_testkit::Reply::echo().held()]);
    let mut late = call(&mut service, 1);
    assert!(late.poll().is_pending());
    let two = Plan::new(1)
        .rule(Rule::new("never", Fault::RequestLost).probability(0.0))
        .rule(Rule::new("it", Fault::CrashedBefore));
    faults.replace(two).unwrap();
    probe.release_all();
    assert!(late.poll().is_pending());
    assert_eq!(counts(&faults), (0, 0), "it was the old plan's");
    assert_eq!(struck(&mut service, 1).await, [true]);
    assert_eq!((faults.mode(), counts(&faults)), (Mode::On, (1, 0)));
    let bad = Plan::new(1).rule(Rule::new("it", Fault::RequestLost).probability(f64::NAN));
    assert_eq!(faults.replace(bad).unwrap_err().field, "probability");
    assert_eq!(struck(&mut service, 1).await, [true], "the old one stays");
}

/// The tag and the key are taken from the request.
#[tokio::test]
async fn rules_strike_by_the_tag_and_draw_by_the_key() {
    let plan = Plan::new(3)
        .rule(Rule::new("it", Fault::CrashedBefore).only("even").probability(0.5))
        .rule(Rule::new("rest", Fault::Error).only("odd"));
    let service = service_fn(|request: (u32, String)| async move { Ok::<_, BoxError>(request.0) });
    let of = |faults: Faults| {
        FaultLayer::new(faults)
            .tag(|(number, _): &(u32, String)| Some(if number % 2 == 0 { "even" } else { "odd" }))
            .key(|(_, name): &(u32, String)| (name != "none").then(|| name.clone()))
            .layer(service)
    };
    let mut outcomes = Vec::new();
    for order in [0..50, 50..100] {
        let mut service = of(on(plan.clone()));
        // Another number of requests before: the keys decide, and not the numbers.
        for _ in 0..order.start {
            drop(service.ready().await.unwrap().call((2, "none".into())).await);
        }
        let mut struck = BTreeSet::new();
        for key in 0..100_u32 {
            let call = service.ready().await.unwrap().call((2, format!("order {key}")));
            if call.await.is_err() {
                struck.insert(key);
            }
        }
        let error = service.ready().await.unwrap().call((1, "none".into())).await.unwrap_err();
        assert!(error.is::<Injected>());
        outcomes.push(struck);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert!((30..70).contains(&outcomes[0].len()));
}

/// The faults of the numbers, or of the keys, that so many tasks make together.
fn faults_of_tasks(tasks: u32, by_key: bool) -> (u64, BTreeSet<u32>) {
    const REQUESTS: u32 = 8000;
    let plan = Plan::new(5)
        .rule(Rule::new("delayed", Fault::ReplyLate(Delay::of(SECOND))).probability(0.1))
        .rule(Rule::new("it", Fault::CrashedBefore).probability(0.3));
    let faults = on(plan);
    let layer =
        FaultLayer::new(faults.clone()).key(move |&request: &u32| by_key.then_some(request));
    let inner = service_fn(|request: u32| async move {
        tokio::task::yield_now().await;
        Ok::<_, BoxError>(request)
    });
    let service = layer.layer(inner);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(8)
        .enable_time()
        .build()
        .unwrap();
    let struck = runtime.block_on(async {
        let barrier = Arc::new(tokio::sync::Barrier::new(tasks as usize));
        let run = |task: u32| {
            let (service, barrier) = (service.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let mut struck = BTreeSet::new();
                for request in (task..REQUESTS).step_by(tasks as usize) {
                    let call = service.clone().oneshot(request);
                    // A late reply is told from the others by being pending.
                    let call = tokio::time::timeout(Duration::from_millis(0), call);
                    if matches!(call.await, Ok(Err(_))) {
                        struck.insert(request);
                    }
                }
                struck
            })
        };
        let running: Vec<_> = (0..tasks).map(run).collect();
        let mut all = BTreeSet::new();
        for task in running {
            all.extend(task.await.unwrap());
        }
        all
    });
    (it(&faults).struck, struck)
}

#[test]
fn one_task_and_eight_meet_the_same_faults() {
    let (one, requests) = faults_of_tasks(1, false);
    let (eight, _) = faults_of_tasks(8, false);
    assert_eq!((one, requests.len() as u64), (eight, one), "the same numbers");
    let (one, requests) = faults_of_tasks(1, true);
    let (eight, by_eight) = faults_of_tasks(8, true);
    assert_eq!((one, requests), (eight, by_eight), "the same requests");
}

#[test]
fn a_plan_that_cannot_work_is_refused_and_a_handle_says_little_of_itself() {
    let bad = Plan::new(1).rule(Rule::new("it", Fault::Error).probability(1.5));
    assert_eq!(Faults::new(bad).unwrap_err().field, "probability");
    let faults = Faults::new(Plan::new(1).named("bad day")).unwrap();
    assert_eq!(format!("{faults:?}"), "Faults { name: \"bad day\", mode: Off, .. }");
    assert_eq!(Faults::new(Plan::new(1)).unwrap().name(), "default");
}

/// Switched, changed and replaced by one thread while others call: nothing is lost or counted
/// twice, and a dry run injects nothing.
#[test]
fn switches_that_race_with_requests_do_no_harm() {
    let rules = |number: u64| {
        (0..=number % 3).fold(Plan::new(number), |plan, rule| {
            plan.rule(Rule::new(format!("{rule}"), Fault::CrashedBefore).probability(0.5))
        })
    };
    let faults = Faults::new(rules(0)).unwrap();
    let service = FaultLayer::new(faults.clone())
        .layer(service_fn(|request: u32| async move { Ok::<_, BoxError>(request) }));
    let (stop, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut wrong = None;
    thread::scope(|scope| {
        for _ in 0..3 {
            let mut service = service.clone();
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut call = tokio_test::task::spawn(service.call(1));
                    let Poll::Ready(outcome) = call.poll() else { panic!("at once") };
                    failed.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
                }
            });
        }
        // Until the callers have met faults, however late the machine lets them begin.
        for round in 0.. {
            if round > 500 && failed.load(Ordering::Relaxed) > 100 {
                break;
            }
            match round % 5 {
                0 => faults.turn_on(),
                1 => faults.replace(rules(round)).unwrap(),
                2 => faults.set_probability("0", 0.9).unwrap(),
                3 => faults.dry_run(),
                _ => faults.turn_off(),
            }
            thread::yield_now();
            let snapshot = faults.snapshot();
            let decided: u64 =
                snapshot.rules.iter().map(|r| r.struck + r.skipped + r.would_strike).sum();
            if decided > snapshot.requests {
                wrong = Some(snapshot);
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(wrong, None, "more was decided than seen");
    faults.replace(rules(2)).unwrap();
    faults.dry_run();
    let mut service = service;
    for _ in 0..1000 {
        let mut call = tokio_test::task::spawn(service.call(1));
        assert!(matches!(call.poll(), Poll::Ready(Ok(1))));
    }
    let snapshot = faults.snapshot();
    let of = |count: fn(&steadfast_chaos::RuleSnapshot) -> u64| -> u64 {
        snapshot.rules.iter().map(count).sum()
    };
    assert_eq!((snapshot.requests, of(|r| r.struck), of(|r| r.skipped)), (1000, 0, 0));
    assert!(of(|r| r.would_strike) > 700);
}
