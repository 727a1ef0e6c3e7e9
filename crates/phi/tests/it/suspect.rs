//! No request for a peer that is taken for dead, but one on trial in each interval.

use std::{
    future::Ready,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use steadfast_core::{Executed, Grounds, Refusal, RefusalKind, cause};
use steadfast_phi::{
    Detector, DetectorConfig, Heard, Heartbeat, HeartbeatLayer, OnConvicted, Peer, Status,
    SuspectLayer, Suspected,
};
use steadfast_testkit::{Probe, Reply};
use tokio_test::{assert_pending, assert_ready_ok, task::spawn};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{MS, convicted, peer, silence_after};

const INTERVAL: Duration = Duration::from_secs(1);

fn refusal(error: &BoxError) -> Suspected {
    *error.downcast_ref().expect("a refusal")
}

#[tokio::test(start_paused = true)]
async fn a_trusted_or_unknown_or_merely_suspected_peer_is_sent_everything() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let mut service = SuspectLayer::new(peer.clone()).layer(probe);
    assert_eq!(peer.status(), Status::Unknown);
    service.ready().await.unwrap().call(1).await.unwrap();
    crate::beats(&peer).await;
    assert_eq!(peer.status(), Status::Trusted);
    service.ready().await.unwrap().call(1).await.unwrap();
    silence_after(&peer, Status::Suspected).await;
    for _ in 0..5 {
        service.ready().await.unwrap().call(1).await.unwrap();
    }
    assert_eq!((peer.status(), control.counts().calls), (Status::Suspected, 7));
}

#[tokio::test(start_paused = true)]
async fn a_convicted_peer_is_sent_one_request_in_each_interval_and_the_first_at_once() {
    let (peer, probe) = (convicted().await, Probe::new());
    let control = probe.control();
    control.always(Reply::error());
    let mut service = SuspectLayer::new(peer.clone()).layer(probe);
    for interval in 0..5_u64 {
        service.ready().await.unwrap().call(1).await.unwrap_err();
        for part in 0..4 {
            let error = service.ready().await.unwrap().call(1).await.unwrap_err();
            let Suspected { phi, grounds, .. } = refusal(&error);
            assert!(phi >= 8.0, "{phi}");
            assert_eq!((grounds.kind, grounds.executed), (RefusalKind::Unavailable, Executed::No));
            assert_eq!(grounds.retry_after, Some(INTERVAL - part * INTERVAL / 4));
            tokio::time::advance(INTERVAL / 4).await;
        }
        assert_eq!(control.counts().calls, interval + 1);
    }
    // An interval in which no request came is not saved up.
    tokio::time::advance(100 * INTERVAL).await;
    for _ in 0..10 {
        service.ready().await.unwrap().call(1).await.unwrap_err();
    }
    assert_eq!(control.counts().calls, 6);
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_only_heartbeats_are_answers_is_not_locked_out() {
    let peer = convicted().await;
    let layer = HeartbeatLayer::new(peer.clone());
    let mut service = SuspectLayer::new(peer.clone()).layer(layer.layer(Probe::new()));
    service.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!(peer.status(), Status::Suspected, "heard of, and not yet trusted");
    while peer.status() != Status::Trusted {
        tokio::time::advance(100 * MS).await;
        service.ready().await.unwrap().call(1).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn clones_layers_and_threads_share_the_trials_of_one_peer() {
    let peer = convicted().await;
    let probe = Probe::new();
    let control = probe.control();
    control.always(Reply::error());
    let other = SuspectLayer::new(peer.clone()).layer(probe.clone());
    let service = SuspectLayer::new(peer).layer(probe);
    for _ in 0..5 {
        service.clone().oneshot(1).await.unwrap_err();
        other.clone().oneshot(1).await.unwrap_err();
    }
    assert_eq!(control.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_dropped_before_it_is_sent_lets_the_next_one_through() {
    let (peer, probe) = (convicted().await, Probe::new());
    let control = probe.control();
    control.always(Reply::echo().held());
    let mut service = SuspectLayer::new(peer).layer(probe);
    for _ in 0..3 {
        drop(service.ready().await.unwrap().call(1));
    }
    assert_eq!(control.counts().calls, 3);
    // Sent, and then dropped, it was a trial.
    let mut sent = spawn(service.ready().await.unwrap().call(1));
    assert_pending!(sent.poll());
    drop(sent);
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert_eq!((refusal(&error).retry_after(), control.counts().calls), (Some(INTERVAL), 4));
}

#[tokio::test(start_paused = true)]
async fn a_trial_whose_call_panics_lets_the_next_one_through() {
    let (peer, probe) = (convicted().await, Probe::new());
    probe.control().script([Reply::panic_in_call(), Reply::error()]);
    let mut service = SuspectLayer::new(peer).layer(probe);
    let _ready = service.ready().await.unwrap();
    catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).unwrap_err();
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(!error.is::<Suspected>());
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_was_held_back_for_long_gives_no_later_one_back() {
    let (peer, probe) = (convicted().await, Probe::new());
    let control = probe.control();
    control.always(Reply::error());
    let mut service = SuspectLayer::new(peer).layer(probe);
    let late = service.ready().await.unwrap().call(1);
    tokio::time::advance(INTERVAL).await;
    service.ready().await.unwrap().call(1).await.unwrap_err();
    drop(late);
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(error.is::<Suspected>());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_seen_by_its_grounds_and_does_not_reach_the_service() {
    let peer = convicted().await;
    let never = service_fn(|_: u32| -> Ready<Result<u32, BoxError>> { unreachable!() });
    let mut service = SuspectLayer::new(peer.clone()).layer(never);
    // The trial is taken by another handle.
    let mut other = SuspectLayer::new(peer).layer(Probe::new());
    other.ready().await.unwrap().call(1).await.unwrap();
    let mut refused = spawn(service.ready().await.unwrap().call(1));
    for _ in 0..2 {
        let std::task::Poll::Ready(Err(error)) = refused.poll() else { unreachable!() };
        let grounds = cause::<Grounds>(&*error).expect("grounds");
        assert_eq!(grounds.retry_after, Some(INTERVAL));
        assert!(error.to_string().starts_with("peer suspected, phi "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_detector_to_logs_and_not_in_its_detail() {
    let peer = Peer::new(DetectorConfig::default().named("vault")).unwrap();
    crate::beats(&peer).await;
    silence_after(&peer, Status::Convicted).await;
    let mut service = SuspectLayer::new(peer).layer(Probe::new());
    service.ready().await.unwrap().call(1).await.unwrap();
    let refusal = refusal(&service.ready().await.unwrap().call(1).await.unwrap_err());
    assert!(refusal.to_string().starts_with("peer of \"vault\" suspected, phi "), "{refusal}");
    assert!(refusal.detail().starts_with("peer suspected, phi "), "{}", refusal.detail());
    assert_eq!(refusal.grounds.handle.unwrap().as_str(), "vault");
}

fn not_ready(peer: &Peer) -> SuspectLayer {
    SuspectLayer::new(peer.clone()).on_convicted(OnConvicted::NotReady)
}

/// Convicted, and its trial is taken.
async fn tried() -> Peer {
    let peer = convicted().await;
    let mut service = SuspectLayer::new(peer.clone()).layer(Probe::new());
    service.ready().await.unwrap().call(1).await.unwrap();
    peer
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_until_the_next_trial_is_due_and_does_not_spin() {
    let peer = tried().await;
    let mut service = not_ready(&peer).layer(Probe::new());
    let mut task = spawn(());
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    tokio::time::sleep(INTERVAL - 2 * MS).await;
    assert!(!task.is_woken(), "nothing to look at yet");
    tokio::time::sleep(2 * MS).await;
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    let trial = service.call(5);
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx), "it is taken"));
    assert_eq!(trial.await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_wakes_every_task_that_waits_once() {
    let peer = tried().await;
    let layer = not_ready(&peer);
    let mut services: Vec<_> = (0..5).map(|_| (layer.layer(Probe::new()), spawn(()))).collect();
    for (service, task) in &mut services {
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    }
    let (gone, gone_task) = services.pop().unwrap();
    drop(gone);
    peer.heartbeat();
    assert!(!gone_task.is_woken(), "it has left");
    for (service, task) in &mut services {
        assert!(task.is_woken());
        task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
        assert!(!task.is_woken());
    }
    peer.heartbeat();
    assert!(services.iter().all(|(_, task)| !task.is_woken()), "they wait no longer");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_another_peer_wake_no_task() {
    let detector = steadfast_phi::Detector::new(DetectorConfig::default()).unwrap();
    let (dead, live) = (detector.peer(&"dead").unwrap(), detector.peer(&"live").unwrap());
    crate::beats(&dead).await;
    silence_after(&dead, Status::Convicted).await;
    let layer = SuspectLayer::new(dead.clone()).on_convicted(OnConvicted::NotReady);
    layer.layer(Probe::new()).oneshot(1).await.unwrap();
    let (mut service, mut task) = (layer.layer(Probe::new()), spawn(()));
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    for _ in 0..10 {
        live.heartbeat();
    }
    assert!(!task.is_woken());
    dead.heartbeat();
    assert!(task.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_given_back_wakes_those_that_wait() {
    let peer = convicted().await;
    let mut holds = not_ready(&peer).layer(Probe::new());
    let trial = holds.ready().await.unwrap().call(1);
    let (mut service, mut task) = (not_ready(&peer).layer(Probe::new()), spawn(()));
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    drop(trial);
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn the_task_that_polled_last_is_woken_and_a_dropped_one_leaves_nothing_behind() {
    let peer = tried().await;
    let mut service = not_ready(&peer).layer(Probe::new());
    let (mut first, mut last) = (spawn(()), spawn(()));
    first.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    last.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    let mut clone = service.clone();
    peer.heartbeat();
    assert!(last.is_woken() && !first.is_woken());
    drop(service);
    first.enter(|cx, _| assert_ready_ok!(clone.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_asked_only_once_the_peer_may_be() {
    let peer = tried().await;
    let probe = Probe::new();
    let control = probe.control();
    let (mut service, mut task) = (not_ready(&peer).layer(probe), spawn(()));
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    assert_eq!(control.counts().ready_polls, 0);
    peer.heartbeat();
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    assert_eq!(control.counts().ready_polls, 1);
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn peers_by_key_are_refused_each_for_itself() {
    let peers = Peer::per_key(DetectorConfig::default(), 10.try_into().unwrap(), |key: &u32| *key);
    let peers = peers.unwrap();
    let dead = peers.handle(&1);
    crate::beats(&dead).await;
    silence_after(&dead, Status::Convicted).await;
    let layer = SuspectLayer::new(peers).on_convicted(OnConvicted::NotReady);
    let probe = Probe::new();
    probe.control().always(Reply::echo());
    let service = layer.layer(probe);
    service.clone().oneshot(1).await.unwrap();
    assert!(service.clone().oneshot(1).await.unwrap_err().is::<Suspected>());
    assert_eq!(service.oneshot(2).await.unwrap(), 2);
}

/// A datagram that comes twice, or from before a restart, says nothing of now.
#[tokio::test(start_paused = true)]
async fn a_stale_heartbeat_makes_no_trial_due_and_wakes_no_task() {
    let peer = peer();
    for sequence in 1..50 {
        peer.heartbeat_with(Heartbeat::new().sequence(sequence).incarnation(2));
        tokio::time::advance(100 * MS).await;
    }
    silence_after(&peer, Status::Convicted).await;
    let mut service = SuspectLayer::new(peer.clone()).layer(Probe::new());
    service.ready().await.unwrap().call(1).await.unwrap();
    let (mut waits, mut task) = (not_ready(&peer).layer(Probe::new()), spawn(()));
    task.enter(|cx, _| assert_pending!(waits.poll_ready(cx)));
    for stale in [
        Heartbeat::new().sequence(7).incarnation(2),
        Heartbeat::new().sequence(1000).incarnation(1),
    ] {
        assert_eq!(peer.heartbeat_with(stale), Heard::Stale);
        assert!(!task.is_woken());
        let error = service.ready().await.unwrap().call(1).await.unwrap_err();
        assert_eq!(refusal(&error).retry_after(), Some(INTERVAL));
    }
    assert_eq!(peer.status(), Status::Convicted);
}

/// Given back, it would make every request a trial, and a balancer would send here what another
/// peer can serve.
#[tokio::test(start_paused = true)]
async fn a_trial_that_a_layer_further_in_refuses_is_spent() {
    let peer = convicted().await;
    let open = service_fn(|_: u32| async {
        Err::<u32, BoxError>(Grounds::not_executed(RefusalKind::Unavailable).into())
    });
    let mut service = SuspectLayer::new(peer).layer(open);
    let error = service.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(!error.is::<Suspected>());
    for _ in 0..3 {
        let error = service.ready().await.unwrap().call(1).await.unwrap_err();
        assert_eq!(refusal(&error).retry_after(), Some(INTERVAL));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ready_handle_that_is_dropped_keeps_no_trial_from_those_that_wait() {
    let peer = tried().await;
    let mut handles = [0; 3].map(|_| (not_ready(&peer).layer(Probe::new()), spawn(())));
    for (service, task) in &mut handles {
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    }
    tokio::time::sleep(INTERVAL).await;
    let [(mut first, mut task), rest @ ..] = handles;
    task.enter(|cx, _| assert_ready_ok!(first.poll_ready(cx)));
    drop(first);
    for (mut service, mut task) in rest {
        assert!(task.is_woken());
        task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_a_forgotten_peer_goes_on_waiting_and_trying_by_itself() {
    let detector = Detector::new(DetectorConfig::default()).unwrap();
    let old = detector.peer(&1).unwrap();
    crate::beats(&old).await;
    silence_after(&old, Status::Convicted).await;
    let layer = SuspectLayer::new(old.clone()).on_convicted(OnConvicted::NotReady);
    layer.layer(Probe::new()).oneshot(1).await.unwrap();
    let (mut service, mut task) = (layer.layer(Probe::new()), spawn(()));
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    assert!(detector.forget(&1));
    detector.heartbeat(&1).unwrap();
    assert!(!task.is_woken(), "that is another peer");
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    tokio::time::sleep(INTERVAL).await;
    assert!(task.is_woken());
    task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    service.call(1).await.unwrap();
    task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
    old.heartbeat();
    assert!(task.is_woken());
}

/// Nothing in either layer is sent to another thread.
#[tokio::test(start_paused = true)]
async fn services_and_requests_that_are_not_send_go_through_both_layers() {
    use std::{cell::RefCell, rc::Rc};
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (peer, seen) = (convicted().await, Rc::new(RefCell::new(Vec::new())));
            let noted = Rc::clone(&seen);
            let service = service_fn(move |request: Rc<u32>| {
                let noted = Rc::clone(&noted);
                async move {
                    noted.borrow_mut().push(*request);
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(request)
                }
            });
            let service = HeartbeatLayer::new(peer.clone()).layer(service);
            let service = not_ready(&peer).layer(service);
            let tasks: Vec<_> = (0..4)
                .map(|n| tokio::task::spawn_local(service.clone().oneshot(Rc::new(n))))
                .collect();
            for task in tasks {
                let _ = task.await.unwrap();
            }
            assert!(!seen.borrow().is_empty());
            assert_ne!(peer.status(), Status::Convicted);
        })
        .await;
}

/// A dead peer whose key had to make room begins anew: it is sent everything, as one that was never
/// heard.
#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn a_key_that_was_evicted_begins_as_unknown_and_is_refused_nothing() {
    let peers = Peer::per_key(DetectorConfig::default(), 2.try_into().unwrap(), |key: &u32| *key);
    let peers = peers.unwrap();
    let dead = peers.handle(&1);
    crate::beats(&dead).await;
    silence_after(&dead, Status::Convicted).await;
    let service = SuspectLayer::new(peers.clone()).layer(Probe::new());
    service.clone().oneshot(1).await.unwrap();
    assert!(service.clone().oneshot(1).await.unwrap_err().is::<Suspected>());
    for key in 2..100 {
        service.clone().oneshot(key).await.unwrap();
        service.clone().oneshot(key).await.unwrap();
    }
    assert!(peers.len() <= 2);
    assert_eq!(peers.handle(&1).status(), Status::Unknown);
    for _ in 0..5 {
        service.clone().oneshot(1).await.unwrap();
    }
    assert_eq!(dead.status(), Status::Convicted, "what is left of it speaks for itself alone");
}
