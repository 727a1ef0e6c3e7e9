//! Calls that are dropped, and services that panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ::http::{Request, Response};
use futures::FutureExt;
use steadfast_clock::{HlcLayer, PropagateHlcLayer};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::{MS, Peer, ahead_of, clock, clock_at, request, stamped};

#[test]
fn a_request_dropped_at_any_point_has_been_heard_and_leaves_nothing_behind() {
    for polls in 0..2 {
        let clock = clock();
        let remote = ahead_of(&clock, 100 * MS);
        let pending =
            service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, BoxError>>());
        let mut service = HlcLayer::new(clock.clone()).layer(pending);
        let mut call = tokio_test::task::spawn(service.call(stamped(remote)));
        for _ in 0..polls {
            assert!(call.poll().is_pending());
        }
        drop(call);
        assert_eq!(clock.last(), remote.next(), "adopted, and its receipt stamped");
        assert!(clock.tick() > remote);
        drop(service);
        let wall = Arc::clone(clock.clock());
        drop(clock);
        assert_eq!(Arc::strong_count(&wall), 1, "no handle of the clock is left");
    }
}

#[test]
fn a_call_dropped_at_any_point_leaves_the_clients_clock_sound() {
    for polls in 0..2 {
        let (here, there) = (clock(), clock_at(300 * MS));
        let (started, handler) =
            (there.clone(), service_fn(|_: Request<()>| std::future::pending()));
        let stack = ServiceBuilder::new()
            .layer(PropagateHlcLayer::new(here.clone()))
            .layer(HlcLayer::new(there));
        let mut service =
            stack.service(handler.map_result(|response: Result<Response<()>, BoxError>| response));
        let mut call = tokio_test::task::spawn(service.call(request(&[])));
        for _ in 0..polls {
            assert!(call.poll().is_pending());
        }
        drop(call);
        assert!(here.last() < started.last(), "the server heard of it, and the client of nothing");
        let later =
            service_fn(|_: Request<()>| std::future::ready(Ok::<_, BoxError>(Response::new(()))));
        let stack = ServiceBuilder::new()
            .layer(PropagateHlcLayer::new(here.clone()))
            .layer(HlcLayer::new(started.clone()));
        stack.service(later).oneshot(request(&[])).now_or_never().unwrap().unwrap();
        assert!(here.last() > started.last());
    }
}

#[test]
fn a_response_dropped_unread_has_been_stamped_and_no_more() {
    let clock = clock();
    let before = clock.tick();
    let mut service = HlcLayer::new(clock.clone()).layer(Peer::default().service());
    drop(service.call(request(&[])).now_or_never());
    assert_eq!(clock.last(), before.next().next());
}

#[test]
fn a_panic_of_the_handler_passes_and_the_next_request_is_stamped() {
    let clock = clock();
    let panics = service_fn(|_: Request<()>| async { panic!("on purpose") });
    let panics = panics.map_result(|response: Result<Response<()>, BoxError>| response);
    let call = HlcLayer::new(clock.clone()).layer(panics).oneshot(request(&[]));
    assert!(catch_unwind(AssertUnwindSafe(|| call.now_or_never())).is_err());
    let before = clock.last();
    let response =
        HlcLayer::new(clock).layer(Peer::default().service()).oneshot(request(&[])).now_or_never();
    assert!(super::stamp_in(response.unwrap().unwrap().headers()) > before);
}

#[test]
fn a_refused_call_that_is_polled_again_says_the_same() {
    let clock = clock();
    let mut service = HlcLayer::new(clock.clone()).layer(Peer::default().service());
    let mut call = tokio_test::task::spawn(service.call(stamped(ahead_of(&clock, 1000 * MS))));
    assert!(matches!(call.poll(), std::task::Poll::Ready(Err(_))));
    assert!(matches!(call.poll(), std::task::Poll::Ready(Err(_))));
}
