//! The shape every crate of the house has: a configuration, a handle that checks it, a layer, a
//! service. Most of it is checked by the compiler.

use std::{
    future::{Future, Ready, ready},
    io,
    time::Duration,
};

use steadfast_core::{ConfigError, DefaultClassifier, Error, EveryError, Executed, Ratio, Refusal};
use steadfast_phi::{
    Detector, DetectorConfig, DetectorFull, DetectorSnapshot, HeartbeatLayer, Heartbeats,
    HeartbeatsFuture, OnConvicted, Peer, PeerSnapshot, Prober, ProberConfig, Status, Suspect,
    SuspectFuture, SuspectLayer, Suspected, Transitions,
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{convicted, peer};

fn shared<T: Send + Sync + 'static>(_: &T) {}

fn spawnable<T: Future + Send + 'static>(future: T) -> T {
    future
}

#[test]
fn configuration_handle_layer_service() {
    let config: DetectorConfig = DetectorConfig::default()
        .named("stock")
        .suspect(0.25)
        .trust_after(3.try_into().unwrap())
        .capacity(10.try_into().unwrap())
        .local_pause(Duration::from_millis(50))
        .trial_interval(Duration::from_secs(2));
    let peer: Peer = Peer::new(config.clone()).unwrap();
    let detector: Detector<&str> = Detector::new(config.clone()).unwrap();
    let one: Peer<&str> = detector.peer(&"a").unwrap();
    shared(&(config, peer.clone(), detector.clone(), one.clone()));
    assert_eq!((detector.name(), *one.key()), ("stock", "a"));
    let _snapshots: (PeerSnapshot, DetectorSnapshot) = (peer.snapshot(), detector.snapshot());
    let streams: (Transitions<()>, Transitions<&str>) = (peer.transitions(), one.transitions());
    shared(&streams);

    let layer: HeartbeatLayer<DefaultClassifier, Peer> = HeartbeatLayer::new(peer.clone());
    let _handle: &Peer = layer.handle();
    let mut service: Heartbeats<u8, HeartbeatLayer> = layer.layer(7);
    shared(&(layer, service.clone()));
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));

    let layer: SuspectLayer<Peer<&str>> = SuspectLayer::new(one).on_convicted(OnConvicted::Refuse);
    let _handle: &Peer<&str> = layer.handle();
    let mut service: Suspect<u8, SuspectLayer<Peer<&str>>> = layer.layer(7);
    shared(&(layer, service.clone()));
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
    assert_eq!(format!("{peer:?}"), "Peer { .. }");
}

#[test]
fn what_cannot_work_is_refused_by_the_handle() {
    for interval in [Duration::ZERO, Duration::from_secs(3601)] {
        let config = DetectorConfig::default().trial_interval(interval);
        let error: ConfigError = Peer::new(config).unwrap_err();
        assert_eq!((error.field, error.value), ("trial_interval", format!("{interval:?}")));
    }
    let error: ConfigError = Prober::new(ProberConfig::new(Duration::ZERO), peer()).unwrap_err();
    assert_eq!(error.field, "interval");
}

#[tokio::test]
async fn behaviours_are_type_parameters_and_futures_have_names() {
    type Inner = Ready<Result<u8, BoxError>>;
    let inner = service_fn(|n: u8| -> Inner { ready(Ok(n)) });
    let layer: HeartbeatLayer<EveryError> = HeartbeatLayer::new(peer()).classify(EveryError);
    let mut service: Heartbeats<_, HeartbeatLayer<EveryError>> = layer.layer(inner);
    let response: HeartbeatsFuture<Inner, EveryError> = service.ready().await.unwrap().call(7);
    assert_eq!(spawnable(response).await.unwrap(), 7);
    let mut service = SuspectLayer::new(peer()).layer(inner);
    let response: SuspectFuture<Inner> = service.ready().await.unwrap().call(7);
    assert_eq!(spawnable(response).await.unwrap(), 7);
    #[cfg(feature = "http")]
    let _layer: HeartbeatLayer<steadfast_core::http::HttpClassifier> =
        HeartbeatLayer::new(peer()).http();
    #[cfg(feature = "tonic")]
    let _layer: HeartbeatLayer<steadfast_core::tonic::GrpcClassifier> =
        HeartbeatLayer::new(peer()).grpc();
}

/// Requests, services and futures need be no more than `Send`, and not even that.
#[tokio::test]
async fn a_prober_can_be_spawned_with_a_service_that_is_not_shared_between_threads() {
    use std::cell::Cell;
    let service = service_fn({
        let calls = Cell::new(0);
        move |n: u8| {
            calls.set(calls.get() + 1);
            async move { Ok::<_, BoxError>(n) }
        }
    });
    let config = ProberConfig::new(Duration::from_secs(1))
        .jitter(Ratio::HALF)
        .timeout(Duration::from_secs(1))
        .seed(7);
    let prober: Prober = Prober::new(config, peer()).unwrap();
    shared(&prober);
    let run = prober.run(service, {
        let next = Cell::new(0_u8);
        move || next.replace(1)
    });
    let run = spawnable(run);
    let not_even_that = service_fn(|n: std::rc::Rc<u8>| async move { Ok::<_, BoxError>(*n) });
    let not_sent = prober.run(not_even_that, || std::rc::Rc::new(7));
    drop(prober);
    futures::future::join(run, not_sent).await;
}

#[cfg(feature = "keyed")]
#[tokio::test]
async fn a_peer_for_each_key_takes_both_layers() {
    use steadfast_core::PerKey;
    type Host = fn(&(&'static str, u8)) -> &'static str;
    let peers: PerKey<&str, Peer, Host> = Peer::per_key(
        DetectorConfig::default(),
        std::num::NonZeroUsize::MIN,
        (|request| request.0) as Host,
    )
    .unwrap();
    let heartbeats: HeartbeatLayer<EveryError, PerKey<&str, Peer, Host>> =
        HeartbeatLayer::new(peers.clone()).classify(EveryError);
    let suspect: SuspectLayer<PerKey<&str, Peer, Host>> = SuspectLayer::new(peers.clone());
    let service = service_fn(|(_, n): (&str, u8)| ready(Ok::<_, BoxError>(n)));
    let service = suspect.layer(heartbeats.layer(service));
    shared(&service);
    assert_eq!(service.oneshot(("a", 7)).await.unwrap(), 7);
    assert_eq!(peers.handle(&"a").status(), Status::Trusted);
}

/// An error type of the user's own.
#[derive(Debug)]
enum Mine {
    Suspected(Suspected),
}

impl From<Suspected> for Mine {
    fn from(suspected: Suspected) -> Self {
        Self::Suspected(suspected)
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_error_takes_the_refusal() {
    async fn refused<E: From<Suspected>>() -> E {
        let never = service_fn(|()| ready(Ok::<(), E>(())));
        let mut service = SuspectLayer::new(convicted().await).layer(never);
        assert!(service.ready().await.is_ok() && service.call(()).await.is_ok(), "the trial");
        service.call(()).await.err().unwrap()
    }
    assert!(refused::<BoxError>().await.is::<Suspected>());
    let Mine::Suspected(mine) = refused().await;
    assert!(mine.phi >= 8.0);
    let guarded = refused::<Error<io::Error>>().await;
    assert_eq!(guarded.refusal().map(Refusal::executed), Some(Executed::No));
}

#[test]
fn a_refusal_is_small_and_says_why() {
    let suspected = Suspected::new(9.26, Some(Duration::from_secs(2)));
    assert_eq!(suspected.to_string(), "peer suspected, phi 9.3");
    assert_eq!(
        (suspected.retry_after(), suspected.executed()),
        (Some(Duration::from_secs(2)), Executed::No)
    );
    let _copied = (suspected, suspected);
    let full = DetectorFull::new(3);
    assert_eq!(full.to_string(), "the detector is full: 3 peers");
}
