//! Not ready instead of refusing, for balancers.

use std::time::Duration;

use steadfast_breaker::{BreakerLayer, Circuit, OnOpen, State};
use steadfast_core::Verdict;
use steadfast_testkit::Probe;
use tokio_test::{assert_pending, assert_ready_ok, task::spawn};
use tower::{
    BoxError, Layer, Service, ServiceExt,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequestsDiscover},
    service_fn,
};

use crate::{FAILED, OPEN_TIME, calls, circuit, config, n};

fn not_ready() -> Circuit {
    circuit(config().on_open(OnOpen::NotReady).probes(n(1), n(1)))
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_ready_until_its_time_has_passed_and_does_not_spin() {
    let circuit = not_ready();
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    let mut task = spawn(());
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    tokio::time::advance(OPEN_TIME - Duration::from_secs(1)).await;
    assert!(!task.is_woken(), "nothing to look at yet");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    let response = service.call(5).await;
    assert_eq!((response.is_ok(), circuit.state()), (true, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn waiters_are_woken_by_a_probe_that_is_given_back_and_by_commands() {
    let circuit = not_ready();
    let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    let probe = circuit.try_admit().unwrap();
    let mut task = spawn(());
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    assert!(!task.is_woken());
    drop(probe);
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));

    circuit.force_open();
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    assert!(!task.is_woken());
    circuit.reset();
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
}

/// Each handle waits for itself, with a waker of its own: the one probe lets one through, and what
/// becomes of it wakes the rest, once each.
#[tokio::test(start_paused = true)]
async fn each_of_several_services_is_woken_and_none_is_left_behind() {
    let circuit = not_ready();
    let layer = BreakerLayer::new(circuit.clone());
    let mut services: Vec<_> = (0..5).map(|_| (layer.layer(Probe::new()), spawn(()))).collect();
    calls(&circuit, 4, FAILED);
    for (service, task) in &mut services {
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    }
    tokio::time::sleep(OPEN_TIME).await;
    assert!(services.iter().all(|(_, task)| task.is_woken()), "by its own timer");
    let (mut first, mut task) = services.remove(0);
    task.enter(|cx, _| assert_ready_ok!(first.poll_ready(cx)));
    let probe = first.call(5);
    for (service, task) in &mut services {
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
        assert!(!task.is_woken(), "the probe is under way");
    }
    let (gone, gone_task) = services.pop().unwrap();
    drop(gone);
    assert!(probe.await.is_ok());
    assert!(!gone_task.is_woken(), "it has left");
    assert_eq!(circuit.state(), State::Closed);
    for (service, task) in &mut services {
        assert!(task.is_woken());
        task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
        assert!(!task.is_woken());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_while_waiting_leaves_nothing_behind() {
    let circuit = not_ready();
    calls(&circuit, 4, FAILED);
    let mut task = spawn(());
    for _ in 0..100 {
        let mut service = BreakerLayer::new(circuit.clone()).layer(Probe::new());
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    }
    circuit.reset();
    assert!(!task.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_balancer_sends_nothing_to_an_open_circuit() {
    let (healthy, broken) = (not_ready(), not_ready());
    let service = |circuit: &Circuit, answer: &'static str| {
        BreakerLayer::new(circuit.clone())
            .layer(service_fn(move |_: ()| async move { Ok::<_, BoxError>(answer) }))
    };
    let services = ServiceList::new([service(&healthy, "healthy"), service(&broken, "broken")]);
    let discover = PendingRequestsDiscover::new(services, CompleteOnResponse::default());
    let mut balance = Balance::new(discover);
    calls(&broken, 4, FAILED);
    for _ in 0..50 {
        assert_eq!(balance.ready().await.unwrap().call(()).await.unwrap(), "healthy");
    }
    tokio::time::advance(OPEN_TIME).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        seen.insert(balance.ready().await.unwrap().call(()).await.unwrap());
    }
    assert_eq!((seen.len(), broken.state()), (2, State::Closed), "it came back by a probe");
    calls(&healthy, 1, Verdict::Success);
}
