//! Where a hostile reader would press.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_breaker::{BreakerLayer, Circuit, OnOpen, OpenTime, Permit, State, Transitions};
use steadfast_core::{Ratio, TimeSource, Verdict};
use steadfast_testkit::Probe;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, service_fn};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn each_probe_has_the_whole_limit_to_itself() {
    let circuit = circuit(config().probes(n(3), n(2)).probe_limit(seconds(10)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let first = circuit.try_admit().unwrap();
    tokio::time::advance(Duration::from_millis(9_990)).await;
    let second = circuit.try_admit().unwrap();
    first.record(Verdict::Success);
    tokio::time::advance(Duration::from_millis(20)).await;
    second.record(Verdict::Success);
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_service_with_one_call_at_a_time_under_way_closes_its_circuit() {
    let circuit = circuit(config().probes(n(3), n(3)).probe_limit(seconds(10)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    // Each answer takes six seconds, and a call comes each five: there is always one under way.
    let mut under_way = vec![circuit.try_admit().unwrap()];
    for _ in 0..3 {
        tokio::time::advance(seconds(5)).await;
        under_way.extend(circuit.try_admit());
        tokio::time::advance(seconds(1)).await;
        under_way.remove(0).record(Verdict::Success);
    }
    assert_eq!(circuit.state(), State::Closed);
}

/// A waker that owns something which uses the circuit when it is dropped.
struct Owner(
    #[expect(dead_code, reason = "dropped with the waker")] Mutex<Option<(Permit, Transitions)>>,
);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

fn owner(circuit: &Circuit) -> Waker {
    Arc::new(Owner(Mutex::new(Some((circuit.try_admit().unwrap(), circuit.subscribe()))))).into()
}

/// Wakers are user code, and so are their clones and drops.
#[test]
fn wakers_are_dropped_with_the_lock_free() {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let circuit = circuit(config());
        let mut transitions = circuit.subscribe();
        for _ in 0..2 {
            // The second waker displaces the first.
            let waker = owner(&circuit);
            assert!(
                pin!(transitions.changed()).poll(&mut Context::from_waker(&waker)).is_pending()
            );
        }
        drop(transitions);
        done.send(()).unwrap();
    });
    finished.recv_timeout(seconds(20)).expect("no deadlock");
}

#[test]
fn a_waker_that_panics_does_not_lose_the_others() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }

    let circuit = circuit(config());
    let mut subscriptions: Vec<_> = (0..3).map(|_| circuit.subscribe()).collect();
    let (first, rest) = subscriptions.split_first_mut().unwrap();
    let (middle, last) = rest.split_first_mut().unwrap();
    let mut before = spawn(first.changed());
    assert!(before.poll().is_pending());
    let panics = Arc::new(Panics).into();
    assert!(pin!(middle.changed()).poll(&mut Context::from_waker(&panics)).is_pending());
    let mut after = spawn(last[0].changed());
    assert!(after.poll().is_pending());
    catch_unwind(AssertUnwindSafe(|| circuit.force_open())).unwrap_err();
    assert!(before.is_woken() && after.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_future_polled_again_after_it_was_ready_does_not_speak_twice() {
    let circuit = circuit(config().probes(n(3), n(3)));
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let layer = BreakerLayer::new(circuit.clone());
    let mut service = layer.layer(service_fn(|n: u32| async move { Ok::<_, BoxError>(n) }));
    let mut future = Box::pin(service.call(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready());
    for _ in 0..3 {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx).is_ready())).unwrap_err();
    }
    drop(future);
    assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_dry_run_lets_through_is_one_increment() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let circuit = circuit(config());
        circuit.dry_run();
        calls(&circuit, 4, FAILED);
        calls(&circuit, 3, Verdict::Success);
    });
    let text = scrape.render();
    let count = |outcome: &str| {
        let line =
            text.lines().find(|line| line.contains(&format!("outcome=\"{outcome}\""))).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(
        (count("failure"), count("would_refuse"), count("success")),
        ("4".into(), "3".into(), "0".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_does_not_make_a_balancers_service_ready_only_to_refuse() {
    let circuit =
        circuit(config().on_open(OnOpen::NotReady).probes(n(1), n(1)).probe_limit(seconds(10)));
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let hung = circuit.try_admit().unwrap();
    tokio::time::advance(seconds(10)).await;
    spawn(()).enter(|cx, _| assert!(service.poll_ready(cx).is_pending()));
    assert_eq!(circuit.state(), State::Open, "the probe is overdue");
    drop(hung);
}

/// The coarse clock does not follow paused time, nor does its step that of tokio's timers.
#[tokio::test(start_paused = true)]
async fn waiting_on_a_clock_that_lags_behind_the_timer_does_not_spin() {
    let open_time = OpenTime::constant(Duration::from_millis(300)).unwrap();
    let config =
        config().on_open(OnOpen::NotReady).time_source(TimeSource::Coarse).open_time(open_time);
    let circuit = circuit(config);
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    let mut polls = 0;
    let ready = std::future::poll_fn(|cx| {
        polls += 1;
        Service::<u32>::poll_ready(&mut service, cx)
    });
    // Paused time runs as fast as it can; each timer that rings is one poll.
    let _ = tokio::time::timeout(seconds(1), ready).await;
    assert!(polls <= 10, "{polls} polls in one second of a clock that stands still");
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_and_are_dropped_do_not_end_a_run_of_failures() {
    let limit = Duration::from_millis(100);
    let run = n(3);
    let circuit = circuit(
        config()
            .count_window(n(100))
            .minimum_calls(n(100))
            .slow_calls(limit, Ratio::ONE)
            .consecutive_failures(run),
    );
    calls(&circuit, 2, FAILED);
    let hung = circuit.try_admit().unwrap();
    tokio::time::advance(limit * 2).await;
    drop(hung);
    assert_eq!(circuit.snapshot().consecutive_failures, 2);
    calls(&circuit, 1, FAILED);
    assert_eq!(circuit.state(), State::Open);
}

/// Nor do they mend one that a success has ended.
#[tokio::test(start_paused = true)]
async fn a_hung_call_after_a_success_does_not_make_one_row_of_the_failures_before_and_after() {
    let limit = Duration::from_millis(100);
    let config = config().failure_ratio(None).slow_calls(limit, Ratio::ONE);
    for config in [config.clone(), config.time_window(seconds(100), 10)] {
        let circuit = circuit(config.consecutive_failures(n(2)));
        calls(&circuit, 1, FAILED);
        calls(&circuit, 1, Verdict::Success);
        let hung = circuit.try_admit().unwrap();
        tokio::time::advance(limit * 2).await;
        drop(hung);
        assert_eq!(circuit.snapshot().consecutive_failures, 0);
        calls(&circuit, 1, FAILED);
        assert_eq!((circuit.state(), circuit.snapshot().consecutive_failures), (State::Closed, 1));
    }
}

/// Under a time window that holds a failure the successes count down to the minimum; only the one
/// that completes it judges.
#[tokio::test(start_paused = true)]
async fn the_minimum_is_completed_to_the_call_under_a_time_window_with_a_failure() {
    for minimum in [2, 3, 10, 1000] {
        let config = config()
            .time_window(seconds(10), 10)
            .minimum_calls(n(minimum))
            .failure_ratio(Ratio::new(1e-6).unwrap());
        let circuit = circuit(config);
        calls(&circuit, 1, FAILED);
        for n in 2..minimum {
            calls(&circuit, 1, Verdict::Success);
            assert_eq!(circuit.state(), State::Closed, "{n} of {minimum}");
        }
        calls(&circuit, 1, Verdict::Success);
        assert_eq!(circuit.state(), State::Open, "minimum {minimum}");
    }
}

#[tokio::test(start_paused = true)]
async fn circuits_with_a_seed_draw_open_times_of_their_own_and_the_same_ones_again() {
    let open_time = OpenTime::exponential(seconds(5), seconds(60)).unwrap();
    let draw = || {
        let key = |request: &u32| *request;
        let circuits =
            Circuit::per_key(config().open_time(open_time).seed(7), 32.try_into().unwrap(), key)
                .unwrap();
        let opened = |key: &u32| {
            let circuit = circuits.handle(key);
            calls(&circuit, 4, FAILED);
            circuit.snapshot().open_for.unwrap()
        };
        (0..20).map(|key| opened(&key)).collect::<Vec<_>>()
    };
    let first = draw();
    let distinct: std::collections::HashSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), 20, "{first:?}");
    assert_eq!(first, draw());
}

#[test]
fn a_threshold_of_zero_for_slow_calls_is_refused() {
    let error = Circuit::new(config().slow_calls(Duration::ZERO, Ratio::HALF)).unwrap_err();
    assert_eq!(error.field, "slow_calls");
}

#[tokio::test(start_paused = true)]
async fn a_handle_forgets_what_it_waited_for_once_the_circuit_is_closed() {
    let circuit = circuit(config().on_open(OnOpen::NotReady));
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    let mut task = spawn(());
    task.enter(|cx, _| assert!(service.poll_ready(cx).is_pending()));
    circuit.reset();
    assert!(task.is_woken());
    task.enter(|cx, _| {
        assert_eq!(service.poll_ready(cx).map(|ready| ready.is_ok()), Poll::Ready(true));
    });
    circuit.force_open();
    assert!(!call(&circuit, Verdict::Success));
    assert!(!task.is_woken(), "no service waits any more");
}
