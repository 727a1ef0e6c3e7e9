//! A clock that must store its high water, and cannot.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use ::http::{Request, Response};
use futures::FutureExt;
use steadfast_clock::{
    HighWater, HighWaterError, HlcConfig, HlcLayer, PersistentHlc, PropagateHlcLayer, Propagation,
    StampFault, StampRefused, Timestamp, TooFarAhead,
};
use steadfast_core::{Grounds, ManualWallClock, RefusalKind, cause};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use super::{Peer, refusal, request, stamp_in};

/// Fails while it is told to.
#[derive(Clone, Default)]
struct Flaky(Arc<AtomicBool>);

impl HighWater for Flaky {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        Ok(None)
    }

    fn store(&self, _: Timestamp) -> Result<(), HighWaterError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(HighWaterError::Store {
                action: "stored",
                source: io::Error::from(io::ErrorKind::StorageFull).into(),
            });
        }
        Ok(())
    }
}

/// A clock, and the switch that makes its next stamp need a store that fails.
struct Node {
    clock: PersistentHlc<Arc<ManualWallClock>, Flaky>,
    wall: Arc<ManualWallClock>,
    fails: Arc<AtomicBool>,
}

impl Node {
    fn new() -> Self {
        let wall =
            Arc::new(ManualWallClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)));
        let store = Flaky::default();
        let clock =
            PersistentHlc::open(Arc::clone(&wall), HlcConfig::new(), store.clone()).unwrap();
        clock.tick().unwrap();
        Self { clock, wall, fails: store.0 }
    }

    fn breaks(&self) {
        self.fails.store(true, Ordering::Relaxed);
        self.wall.advance(Duration::from_secs(1));
    }

    fn mends(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }

    /// A service during whose work the store breaks.
    fn breaks_meanwhile(
        &self,
    ) -> impl tower::Service<Request<()>, Response = Response<()>, Error = BoxError> + use<> {
        let (fails, wall) = (Arc::clone(&self.fails), Arc::clone(&self.wall));
        service_fn(move |_: Request<()>| {
            fails.store(true, Ordering::Relaxed);
            wall.advance(Duration::from_secs(1));
            std::future::ready(Ok::<_, BoxError>(Response::new(())))
        })
    }
}

#[test]
fn a_request_that_cannot_be_stamped_is_refused_before_the_call_on_either_side() {
    let (node, peer) = (Node::new(), Peer::default());
    node.breaks();
    let ignores =
        HlcLayer::from(Propagation::new(node.clock.clone()).too_far_ahead(TooFarAhead::Ignore));
    let client = PropagateHlcLayer::new(node.clock.clone()).layer(peer.service());
    for outcome in [
        HlcLayer::new(node.clock.clone())
            .layer(peer.service())
            .oneshot(request(&[]))
            .now_or_never()
            .unwrap(),
        ignores
            .layer(peer.service())
            .oneshot(request(&["hlc-ffffffffffffffff"]))
            .now_or_never()
            .unwrap(),
        client.oneshot(request(&[])).now_or_never().unwrap(),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(
            cause::<Grounds>(&*error),
            Some(&Grounds::not_executed(RefusalKind::Unavailable))
        );
        assert_eq!(refusal(error), StampRefused::before_the_call(StampFault::NotStored));
    }
    assert_eq!(peer.calls(), 0);
}

#[test]
fn a_response_that_cannot_be_stamped_is_refused_and_may_have_been_executed() {
    for outcome in [
        {
            let node = Node::new();
            HlcLayer::new(node.clock.clone())
                .layer(node.breaks_meanwhile())
                .oneshot(request(&[]))
                .now_or_never()
        },
        {
            let node = Node::new();
            PropagateHlcLayer::new(node.clock.clone())
                .layer(node.breaks_meanwhile())
                .oneshot(request(&[]))
                .now_or_never()
        },
    ] {
        let error = outcome.unwrap().unwrap_err();
        assert_eq!(
            cause::<Grounds>(&*error),
            Some(&Grounds::maybe_executed(RefusalKind::Unavailable))
        );
        assert_eq!(refusal(error), StampRefused::after_the_call(StampFault::NotStored));
    }
}

#[test]
fn once_the_store_works_again_requests_are_stamped_above_all_that_was_before() {
    let (node, peer) = (Node::new(), Peer::default());
    let service = HlcLayer::new(node.clock.clone()).layer(peer.service());
    let call = || {
        stamp_in(service.clone().oneshot(request(&[])).now_or_never().unwrap().unwrap().headers())
    };
    let before = call();
    node.breaks();
    service.clone().oneshot(request(&[])).now_or_never().unwrap().unwrap_err();
    node.mends();
    assert!(call() > before);
}
