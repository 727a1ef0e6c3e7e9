//! What every layer owes to tower.

use ::http::{Request, Response};
use futures::FutureExt;
use steadfast_clock::{HlcLayer, PropagateHlcLayer};
use steadfast_testkit::{Probe, contract};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer,
};

use super::{MS, Peer, ahead_of, clock, request, stamped};

/// The probe as a service over HTTP: its numbers are bodies.
fn over_http(
    probe: Probe,
) -> impl Service<Request<u32>, Response = Response<u32>, Error = BoxError> + Clone {
    probe.map_request(Request::<u32>::into_body).map_response(Response::new)
}

#[test]
fn the_servers_layer_keeps_the_contract_of_all_layers() {
    contract::suite(|probe| {
        let service = HlcLayer::new(clock()).layer(over_http(probe));
        service.map_request(Request::new).map_response(Response::into_body)
    });
}

#[test]
fn the_clients_layer_keeps_the_contract_of_all_layers() {
    contract::suite(|probe| {
        let service = PropagateHlcLayer::new(clock()).layer(over_http(probe));
        service.map_request(Request::new).map_response(Response::into_body)
    });
}

#[test]
fn both_together_keep_the_contract_of_all_layers() {
    contract::suite(|probe| {
        let stack = ServiceBuilder::new()
            .layer(PropagateHlcLayer::new(clock()))
            .layer(HlcLayer::new(clock()));
        stack.service(over_http(probe)).map_request(Request::new).map_response(Response::into_body)
    });
}

#[test]
fn a_refused_request_leaves_the_permit_with_its_handle_until_the_next_call_or_its_end() {
    for next_call in [true, false] {
        let clock = clock();
        let one_at_a_time = ServiceBuilder::new()
            .layer(GlobalConcurrencyLimitLayer::new(1))
            .service(Peer::default().service());
        let layer = HlcLayer::new(clock.clone());
        let (mut refused, mut other) =
            (layer.layer(one_at_a_time.clone()), layer.layer(one_at_a_time));
        let too_far = stamped(ahead_of(&clock, 1000 * MS));
        refused
            .ready()
            .now_or_never()
            .unwrap()
            .unwrap()
            .call(too_far)
            .now_or_never()
            .unwrap()
            .unwrap_err();
        let mut waiting = tokio_test::task::spawn(other.ready());
        assert!(waiting.poll().is_pending(), "the handle is still ready");
        if next_call {
            refused
                .ready()
                .now_or_never()
                .unwrap()
                .unwrap()
                .call(request(&[]))
                .now_or_never()
                .unwrap()
                .unwrap();
        } else {
            drop(refused);
        }
        assert!(waiting.is_woken() && waiting.poll().is_ready());
    }
}

#[test]
fn all_services_a_layer_makes_share_its_clock() {
    // axum applies a layer for each route and connection.
    let layer = HlcLayer::new(clock());
    let mut last = layer.clock().tick();
    for _ in 0..20 {
        let response =
            layer.clone().layer(Peer::default().service()).oneshot(request(&[])).now_or_never();
        let next = super::stamp_in(response.unwrap().unwrap().headers());
        assert!(next > last);
        last = next;
    }
    assert_eq!(layer.clock().last(), last);
}
