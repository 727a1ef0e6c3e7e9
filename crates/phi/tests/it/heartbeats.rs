//! Answers as heartbeats: what proves life, and what says nothing.

use std::{
    future::pending,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use steadfast_core::{
    Classify, EveryError, Grounds, RefusalKind, Sealed, Select, Selected, Verdict,
};
use steadfast_phi::{DetectorConfig, HeartbeatLayer, Peer};
use steadfast_testkit::{Probe, Reply};
use tokio_test::{assert_pending, task::spawn};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{MS, peer};

fn heard(peer: &Peer) -> u64 {
    peer.snapshot().heartbeats
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_a_heartbeat_when_it_comes_and_not_when_the_call_is_made() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    control.always(Reply::echo().held());
    let mut service = HeartbeatLayer::new(peer.clone()).layer(probe);
    let mut call = spawn(service.ready().await.unwrap().call(7));
    assert_pending!(call.poll());
    tokio::time::advance(50 * MS).await;
    assert_eq!(heard(&peer), 0);
    control.release_all();
    assert!(call.poll().is_ready());
    assert_eq!((heard(&peer), peer.snapshot().silence), (1, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn errors_refusals_and_the_callers_own_deadline_say_nothing_of_the_peer() {
    let peer = peer();
    let errors: [fn() -> BoxError; 5] = [
        || "a message".into(),
        || io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        || Grounds::not_executed(RefusalKind::DeadlineExceeded).into(),
        || Grounds::maybe_executed(RefusalKind::TimedOut).into(),
        || Sealed::new("a handler's").into(),
    ];
    for error in errors {
        let service = service_fn(move |_: u32| async move { Err::<u32, _>(error()) });
        HeartbeatLayer::new(peer.clone()).layer(service).oneshot(1).await.unwrap_err();
    }
    assert_eq!(heard(&peer), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_says_nothing_at_any_point() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    control.always(Reply::echo().held());
    let mut service = HeartbeatLayer::new(peer.clone()).layer(probe);
    for polls in 0..4 {
        let mut call = spawn(service.ready().await.unwrap().call(7));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        drop(call);
    }
    let cut = service.ready().await.unwrap().call(7);
    tokio::time::timeout(MS, cut).await.unwrap_err();
    assert_eq!(heard(&peer), 0);
    assert_eq!((control.counts().live_futures, control.counts().cancelled), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_panic_says_nothing_and_the_service_goes_on() {
    let (peer, probe) = (peer(), Probe::new());
    probe.control().script([Reply::panic(), Reply::panic_in_call(), Reply::echo()]);
    let mut service = HeartbeatLayer::new(peer.clone()).layer(probe);
    let mut call = spawn(service.ready().await.unwrap().call(7));
    catch_unwind(AssertUnwindSafe(|| call.poll())).unwrap_err();
    drop(call);
    let _ready = service.ready().await.unwrap();
    catch_unwind(AssertUnwindSafe(|| drop(service.call(7)))).unwrap_err();
    assert_eq!(heard(&peer), 0);
    assert_eq!(service.ready().await.unwrap().call(7).await.unwrap(), 7);
    assert_eq!(heard(&peer), 1);
}

/// A classifier of the user's that knows an error of its peer, and uses the handle while it judges.
#[derive(Clone)]
struct Reenters(Peer);

impl Classify<u32, BoxError> for Reenters {
    fn classify(&self, _: Result<&u32, &BoxError>) -> Verdict {
        unreachable!("a heartbeat is no verdict")
    }

    fn answered(&self, outcome: Result<&u32, &BoxError>) -> bool {
        self.0.heartbeat();
        let _ = (self.0.phi(), self.0.status(), self.0.snapshot(), self.0.transitions());
        outcome.is_err()
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_may_use_the_handle_and_decides_what_an_answer_is() {
    let peer = peer();
    let service = HeartbeatLayer::new(peer.clone()).classify(Reenters(peer.clone()));
    let fails = service_fn(|_: u32| async { Err::<u32, BoxError>("of the peer's own".into()) });
    service.clone().layer(fails).oneshot(1).await.unwrap_err();
    assert_eq!(heard(&peer), 2, "the classifier's and the layer's");
    let answers = service_fn(|n: u32| async move { Ok::<_, BoxError>(n) });
    service.layer(answers).oneshot(1).await.unwrap();
    assert_eq!(heard(&peer), 3, "the classifier's alone");
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_says_nothing() {
    #[derive(Clone)]
    struct Panics;
    impl Classify<u32, BoxError> for Panics {
        fn classify(&self, _: Result<&u32, &BoxError>) -> Verdict {
            panic!("in the classifier")
        }
        fn answered(&self, _: Result<&u32, &BoxError>) -> bool {
            panic!("in the classifier")
        }
    }
    let peer = peer();
    let mut service = HeartbeatLayer::new(peer.clone()).classify(Panics).layer(Probe::new());
    let mut call = spawn(service.ready().await.unwrap().call(7));
    catch_unwind(AssertUnwindSafe(|| call.poll())).unwrap_err();
    drop(call);
    assert_eq!(heard(&peer), 0);
}

#[tokio::test(start_paused = true)]
async fn the_peer_that_was_chosen_is_the_one_that_is_heard() {
    #[derive(Clone)]
    struct ByParity([Peer; 2]);
    impl Select<u32> for ByParity {
        type Handle = Peer;

        fn select(&self, request: &u32) -> Selected<'_, Peer> {
            Selected::Shared(&self.0[(request % 2) as usize])
        }

        fn common(&self) -> Option<&Peer> {
            None
        }
    }
    let peers = [peer(), peer()];
    let mut service = HeartbeatLayer::new(ByParity(peers.clone())).layer(Probe::new());
    for request in [1, 3, 5, 4] {
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    assert_eq!(peers.map(|peer| heard(&peer)), [1, 3]);
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn a_peer_for_each_key_and_a_straggler_of_a_forgotten_key_does_no_harm() {
    let capacity = 2.try_into().unwrap();
    let peers =
        Peer::per_key(DetectorConfig::default(), capacity, |request: &u32| *request).unwrap();
    let probe = Probe::new();
    let control = probe.control();
    let layer = HeartbeatLayer::new(peers.clone()).classify(EveryError);
    let mut service = layer.layer(probe);
    control.script([Reply::echo().held()]);
    let mut straggler = spawn(service.ready().await.unwrap().call(1_000_000));
    assert_pending!(straggler.poll());
    for request in 0..100 {
        service.ready().await.unwrap().call(request).await.unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    assert!(peers.len() <= 2);
    assert!(peers.entries().iter().all(|(_, peer)| heard(peer) <= 2));
    control.release_all();
    assert!(straggler.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn no_error_says_anything_to_the_coarsest_classifier() {
    let peer = peer();
    let layer = HeartbeatLayer::new(peer.clone()).classify(EveryError);
    let never = service_fn(|_: u32| pending::<Result<u32, String>>());
    tokio::time::timeout(MS, layer.layer(never).oneshot(1)).await.unwrap_err();
    let fails = service_fn(|_: u32| async { Err::<u32, _>(String::new()) });
    layer.layer(fails).oneshot(1).await.unwrap_err();
    assert_eq!(heard(&peer), 0);
}
