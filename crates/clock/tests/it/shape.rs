//! The shape that all crates share, held by the compiler: config, handle, layer, service.

use std::time::Duration;

use steadfast_clock::{Hlc, HlcConfig, HlcSnapshot, Timestamp};
use steadfast_core::{ManualWallClock, SystemWallClock};

use crate::manual;

/// A config is plain data and can be a constant as long as it owns no name.
const STRICT: HlcConfig =
    HlcConfig::new().max_drift(Duration::from_millis(1)).start_after(Timestamp::MIN);

fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}

#[test]
fn a_config_is_checked_once_by_the_handle_and_names_its_field() {
    let clock: Hlc<SystemWallClock> = Hlc::system(STRICT.named("orders")).unwrap();
    let manual: Hlc<ManualWallClock> = Hlc::new(manual(), HlcConfig::default()).unwrap();
    shared(&clock);
    shared(&manual);
    let state: HlcSnapshot = clock.snapshot();
    assert_eq!((state.last, state.refused), (Timestamp::MIN, 0));
    let error = Hlc::system(STRICT.max_drift(Duration::ZERO)).unwrap_err();
    assert_eq!((error.field, error.value.as_str()), ("max_drift", "0ns"));
}

#[cfg(feature = "http")]
mod http {
    use ::http::{HeaderName, Request, Response};
    use steadfast_clock::{
        HlcLayer, HlcService, PropagateHlc, PropagateHlcLayer, Propagation, StampFault,
        StampRefused, TooFarAhead,
    };
    use steadfast_core::Grounds;
    use tower::{BoxError, Layer, Service};

    use super::*;

    #[derive(Clone)]
    struct Inner(u32);

    impl Service<Request<()>> for Inner {
        type Response = Response<()>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<()>, BoxError>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            std::future::ready(Ok(Response::new(())))
        }
    }

    fn serves<S: Service<Request<()>, Future: Send + 'static> + Clone + Send + Sync + 'static>(
        _: &S,
    ) {
    }

    #[test]
    fn both_layers_take_a_handle_or_one_propagation_and_their_services_give_back_what_is_inside() {
        let clock = Hlc::default();
        let own = Propagation::new(clock.clone())
            .header(HeaderName::from_static("x-order"))
            .too_far_ahead(TooFarAhead::Ignore);
        let servers: [HlcLayer; 2] = [HlcLayer::new(clock.clone()), own.clone().into()];
        let clients: [PropagateHlcLayer; 2] = [PropagateHlcLayer::new(clock), own.into()];
        for (server, client) in servers.iter().zip(&clients) {
            let mut server: HlcService<Inner, HlcLayer<Hlc>> = server.layer(Inner(1));
            let mut client: PropagateHlc<Inner, PropagateHlcLayer<Hlc>> = client.layer(Inner(1));
            serves(&server);
            serves(&client);
            server.get_mut().0 += 1;
            client.get_mut().0 += 2;
            assert_eq!((server.get_ref().0, client.get_ref().0), (2, 3));
            assert_eq!((server.into_inner().0, client.into_inner().0), (2, 3));
        }
    }

    #[test]
    fn a_refusal_has_named_constructors_and_public_grounds() {
        let before: Grounds = StampRefused::before_the_call(StampFault::NotStored).grounds;
        let after: Grounds = StampRefused::after_the_call(StampFault::NotStored).grounds;
        assert_ne!(before, after);
    }
}
