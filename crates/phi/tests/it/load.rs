//! The standing of a peer as its load, in tower's own balancer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use steadfast_phi::{
    HeartbeatLayer, OnConvicted, Peer, Status, Suspect, SuspectLayer, SuspectLoad,
};
use tower::{
    BoxError, Layer, Service, ServiceExt,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, Constant, Load, PendingRequests},
    service_fn,
};

use crate::{MS, beats, convicted, peer, silence_after};

fn load_of(peer: &Peer, load: u32) -> SuspectLoad<u32> {
    SuspectLayer::new(peer.clone()).layer(Constant::new((), load)).load()
}

/// Takes the trial that is due.
async fn take_trial(peer: &Peer) {
    let silent = service_fn(|_: u32| async { Err::<u32, BoxError>("nothing".into()) });
    SuspectLayer::new(peer.clone()).layer(silent).oneshot(1).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn status_comes_before_the_load_of_the_service_itself() {
    let (unknown, trusted, suspected, dead) = (peer(), peer(), peer(), convicted().await);
    beats(&trusted).await;
    beats(&suspected).await;
    silence_after(&suspected, Status::Suspected).await;
    trusted.heartbeat();
    assert_eq!(load_of(&trusted, 7), load_of(&unknown, 7));
    assert!(load_of(&trusted, 1) < load_of(&unknown, 2));
    assert_eq!(*load_of(&dead, 3).inner(), 3);
    // Not yet tried, they are worth one request.
    for peer in [&suspected, &dead] {
        assert_eq!(load_of(peer, 7), load_of(&trusted, 7));
        take_trial(peer).await;
    }
    assert_eq!((suspected.status(), dead.status()), (Status::Suspected, Status::Convicted));
    assert!(load_of(&trusted, 1000) < load_of(&suspected, 0));
    assert!(load_of(&suspected, 1000) < load_of(&dead, 0));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(load_of(&dead, 7), load_of(&peer(), 7), "the next is due");
}

/// A real service: it counts, and answers after 5 ms, or never while it is gone.
#[derive(Clone, Default)]
struct Upstream {
    calls: Arc<AtomicU32>,
    gone: Arc<AtomicU32>,
}

impl Upstream {
    fn endpoint(
        &self,
        peer: &Peer,
    ) -> impl Service<u32, Response = u32, Error = BoxError> + Load<Metric: PartialOrd + std::fmt::Debug>
    {
        let Self { calls, gone } = self.clone();
        let service = service_fn(move |n: u32| {
            calls.fetch_add(1, Ordering::Relaxed);
            let gone = gone.load(Ordering::Relaxed) != 0;
            Box::pin(async move {
                tokio::time::sleep(5 * MS).await;
                if gone { Err::<_, BoxError>("no answer".into()) } else { Ok(n) }
            })
        });
        let service = HeartbeatLayer::new(peer.clone()).layer(service);
        let pending = PendingRequests::new(service, CompleteOnResponse::default());
        let suspect: Suspect<_, SuspectLayer> = SuspectLayer::new(peer.clone()).layer(pending);
        suspect
    }

    fn calls(&self) -> u32 {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn tower_s_balancer_prefers_the_trusted_peer_and_finds_the_other_again() {
    let (peers, upstreams) = ([peer(), peer()], [Upstream::default(), Upstream::default()]);
    let endpoints = [0, 1].map(|n: usize| upstreams[n].endpoint(&peers[n]));
    let mut balance = Balance::new(ServiceList::new(endpoints));
    let mut ask = async |requests: u32| {
        for _ in 0..requests {
            let call = balance.ready().await.unwrap().call(1);
            drop(call.await);
            tokio::time::sleep(5 * MS).await;
        }
    };
    ask(1000).await;
    let [first, second] = [0, 1].map(|n: usize| upstreams[n].calls());
    assert!(first > 200 && second > 200, "both are trusted: {first} and {second}");

    upstreams[1].gone.store(1, Ordering::Relaxed);
    while peers[1].status() != Status::Convicted {
        ask(10).await;
    }
    let _ = [0, 1].map(|n: usize| upstreams[n].calls());
    // Ten seconds.
    ask(1000).await;
    let [first, second] = [0, 1].map(|n: usize| upstreams[n].calls());
    assert!(first >= 985 && (8..=11).contains(&second), "{first} and {second}");

    upstreams[1].gone.store(0, Ordering::Relaxed);
    ask(1000).await;
    let [first, second] = [0, 1].map(|n: usize| upstreams[n].calls());
    assert_eq!(peers[1].status(), Status::Trusted);
    assert!(second > 200 && first > 200, "it is back: {first} and {second}");
}

#[tokio::test(start_paused = true)]
async fn a_balancer_over_peers_that_are_not_ready_loses_no_request_and_waits_when_all_are_dead() {
    let peers = [convicted().await, convicted().await];
    for peer in &peers {
        take_trial(peer).await;
    }
    let calls = Arc::new(AtomicU32::new(0));
    let endpoints = [0, 1].map(|n: usize| {
        let calls = Arc::clone(&calls);
        let service = service_fn(move |request: u32| {
            calls.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, BoxError>(request) }
        });
        let layer = SuspectLayer::new(peers[n].clone()).on_convicted(OnConvicted::NotReady);
        layer.layer(Constant::new(service, 0))
    });
    let balance = Balance::new(ServiceList::new(endpoints));
    let mut balance = tower::buffer::Buffer::new(balance, 8);
    let mut waiting = tokio_test::task::spawn(balance.ready().await.unwrap().call(7));
    tokio::time::sleep(500 * MS).await;
    assert!(waiting.poll().is_pending() && calls.load(Ordering::Relaxed) == 0);
    peers[1].heartbeat();
    tokio::time::sleep(MS).await;
    assert_eq!(waiting.await.unwrap(), 7);
    // One is merely suspected, the other dead: all go to the one.
    for request in 0..100 {
        assert_eq!(balance.ready().await.unwrap().call(request).await.unwrap(), request);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 101);
}
