//! What happened before has the smaller stamp, across processes whose wall clocks disagree.

use std::{future::ready, io};

use ::http::{HeaderName, HeaderValue, Request, Response};
use futures::FutureExt;
use steadfast_clock::{HLC_HEADER, HlcLayer, PropagateHlcLayer, Propagation, Received, Timestamp};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, retry, service_fn};

use super::{Clock, MS, Peer, ahead_of, clock, clock_at, received, request, stamp_in, stamped};

const OWN: HeaderName = HeaderName::from_static("x-order");

/// A request through three nodes; everything that was stamped on the way, in the order in which it
/// happened.
async fn through(client: &Clock, gateway: &Clock, backend: &Clock) -> Vec<Timestamp> {
    let seen = backend.clone();
    let handler = service_fn(move |request: Request<()>| {
        let received: Received = *request.extensions().get().unwrap();
        let response = Response::new(vec![received.sent.unwrap(), received.at, seen.tick()]);
        ready(Ok::<_, BoxError>(response))
    });
    let backend = PropagateHlcLayer::new(gateway.clone())
        .layer(HlcLayer::new(backend.clone()).layer(handler));
    let forward = service_fn(move |request: Request<()>| {
        let (backend, received) =
            (backend.clone(), *request.extensions().get::<Received>().unwrap());
        async move {
            // A gateway that copies its request, stamp and all.
            let answer = backend.oneshot(request).await?;
            let back = super::received(&answer);
            let inner = [vec![received.sent.unwrap(), received.at], answer.into_body()].concat();
            Ok::<_, BoxError>(Response::new([inner, vec![back.sent.unwrap(), back.at]].concat()))
        }
    });
    let gateway = HlcLayer::new(gateway.clone()).layer(forward);
    let before = client.tick();
    let answer = PropagateHlcLayer::new(client.clone())
        .layer(gateway)
        .oneshot(Request::new(()))
        .await
        .unwrap();
    let back = received(&answer);
    [vec![before], answer.into_body(), vec![back.sent.unwrap(), back.at, client.tick()]].concat()
}

#[tokio::test]
async fn a_request_through_three_nodes_is_stamped_in_the_order_in_which_it_happened() {
    for [client, gateway, backend] in
        [[0, 0, 0], [400, 0, 200], [0, 450, 30], [200, 100, 0], [0, 100, 200]]
    {
        let [client, gateway, backend] = [client, gateway, backend].map(|ms| clock_at(ms * MS));
        for _ in 0..3 {
            let stamps = through(&client, &gateway, &backend).await;
            assert_eq!(stamps.len(), 11);
            assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
            client.clock().advance(MS);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_side_by_side_each_keep_their_order_and_no_stamp_is_given_twice() {
    let (here, there) = (clock_at(300 * MS), clock());
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (here, there, gateway) = (here.clone(), there.clone(), here.clone());
            tokio::spawn(async move {
                let mut own = Vec::new();
                for _ in 0..200 {
                    let stamps = through(&here, &gateway, &there).await;
                    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
                    // What the client ticked, sent and received.
                    own.extend([stamps[0], stamps[1], stamps[9], stamps[10]]);
                }
                own
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let given = all.len();
    all.sort();
    all.dedup();
    assert_eq!((given, all.len()), (3200, 3200));
}

#[test]
fn the_server_replaces_the_stamp_its_handler_set_and_leaves_the_request_as_it_was() {
    let (clock, remote) = (clock(), ahead_of(&clock(), 10 * MS));
    let peer = Peer::answers("hlc-0000000000000001, hlc-0000000000000002");
    let response =
        HlcLayer::new(clock).layer(peer.service()).oneshot(stamped(remote)).now_or_never().unwrap();
    assert_eq!(stamp_in(response.unwrap().headers()), remote.next().next());
    let (header, received) = peer.seen.lock().unwrap()[0].clone();
    assert_eq!(header.unwrap(), remote.compact().to_string());
    assert_eq!(received, Some(Received::new(remote.next(), Some(remote))));
}

#[test]
fn the_client_replaces_every_stamp_its_request_has() {
    let (clock, peer) = (clock(), Peer::default());
    let before = clock.tick();
    let values = ["hlc-0000000000000001", "garbage"];
    PropagateHlcLayer::new(clock)
        .layer(peer.service())
        .oneshot(request(&values))
        .now_or_never()
        .unwrap()
        .unwrap();
    let header = peer.seen.lock().unwrap()[0].0.clone().unwrap();
    assert_eq!(header, before.next().compact().to_string());
}

#[test]
fn of_several_stamps_the_newest_that_can_be_read_counts() {
    let clock = clock();
    let [old, new] = [1, 2].map(|ms| ahead_of(&clock, ms * MS).compact().to_string());
    let joined = format!("{old},{new}");
    for values in [
        &[&*old, &*new][..],
        &[&new, &old],
        &["soon", &new, ""],
        &[&joined],
        &["soon,", &joined, &old],
    ] {
        let peer = Peer::default();
        HlcLayer::new(clock.clone())
            .layer(peer.service())
            .oneshot(request(values))
            .now_or_never()
            .unwrap()
            .unwrap();
        assert_eq!(peer.last().sent.unwrap().compact().to_string(), new, "{values:?}");
    }
}

#[test]
fn an_old_stamp_is_told_and_sets_nothing_back() {
    let (clock, peer) = (clock(), Peer::default());
    let before = clock.tick();
    HlcLayer::new(clock)
        .layer(peer.service())
        .oneshot(stamped(Timestamp::MIN))
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(peer.last(), Received::new(before.next(), Some(Timestamp::MIN)));
}

#[test]
fn a_header_of_ones_own_is_used_and_the_default_one_is_not() {
    let (here, there) = (clock_at(200 * MS), clock());
    let decoy = ahead_of(&there, 400 * MS);
    let handler = service_fn(move |request: Request<()>| {
        let received: Received = *request.extensions().get().unwrap();
        assert!(received.at < decoy && received.sent.is_some());
        assert_eq!(
            request.headers()[HLC_HEADER],
            decoy.compact().to_string(),
            "not ours: left alone"
        );
        ready(Ok::<_, BoxError>(Response::new(())))
    });
    let stack = ServiceBuilder::new()
        .layer(PropagateHlcLayer::from(Propagation::new(here.clone()).header(OWN)))
        .layer(HlcLayer::from(Propagation::new(there).header(OWN)));
    let response = stack.service(handler).oneshot(stamped(decoy)).now_or_never().unwrap().unwrap();
    assert!(response.headers().contains_key(OWN) && !response.headers().contains_key(HLC_HEADER));
    assert!(received(&response).sent.is_some());
}

#[test]
fn of_two_layers_with_two_headers_the_one_that_receives_last_leaves_its_own() {
    let (outer, inner) = (clock(), clock_at(1000 * MS));
    let [early, late] = [ahead_of(&outer, MS), ahead_of(&inner, MS)];
    let stamp = |stamp: Timestamp| HeaderValue::try_from(stamp.compact().to_string()).unwrap();
    let mut both = stamped(early);
    both.headers_mut().insert(OWN, stamp(late));
    let server = ServiceBuilder::new()
        .layer(HlcLayer::new(outer.clone()))
        .layer(HlcLayer::from(Propagation::new(inner.clone()).header(OWN)));
    let peer = Peer::default();
    server.service(peer.service()).oneshot(both).now_or_never().unwrap().unwrap();
    assert_eq!(peer.last().sent, Some(late), "the inner one's");
    assert!(outer.last() > early && inner.last() > late, "each has stamped its own clock");

    let answers = service_fn(move |_: Request<()>| {
        let mut response = Response::new(());
        response.headers_mut().insert(HLC_HEADER, stamp(early));
        response.headers_mut().insert(OWN, stamp(late));
        ready(Ok::<_, BoxError>(response))
    });
    let client = ServiceBuilder::new()
        .layer(PropagateHlcLayer::new(outer))
        .layer(PropagateHlcLayer::from(Propagation::new(inner).header(OWN)));
    let response = client.service(answers).oneshot(request(&[])).now_or_never().unwrap().unwrap();
    assert_eq!(received(&response).sent, Some(early), "the outer one's");
}

#[test]
fn an_error_of_the_service_passes_as_it_is_and_is_not_stamped() {
    let fails = service_fn(|_: Request<()>| {
        ready(Err::<Response<()>, BoxError>(io::Error::other("mine").into()))
    });
    let clock = clock();
    let before = clock.tick();
    let error = HlcLayer::new(clock.clone())
        .layer(fails)
        .oneshot(request(&[]))
        .now_or_never()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.downcast::<io::Error>().unwrap().to_string(), "mine");
    assert_eq!(clock.last(), before.next(), "the receipt alone was stamped");
    let error =
        PropagateHlcLayer::new(clock.clone()).layer(fails).oneshot(request(&[])).now_or_never();
    assert_eq!(error.unwrap().unwrap_err().downcast::<io::Error>().unwrap().to_string(), "mine");
    assert_eq!(clock.last(), before.next().next(), "the request alone was stamped");
}

/// Sends again, so many times, whatever the answer.
#[derive(Clone)]
struct Again(u32);

impl retry::Policy<Request<()>, Response<()>, BoxError> for Again {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        _: &mut Result<Response<()>, BoxError>,
    ) -> Option<Self::Future> {
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}

#[test]
fn each_attempt_of_a_retry_outside_has_a_stamp_of_its_own() {
    let peer = Peer::default();
    let stack = ServiceBuilder::new()
        .layer(retry::RetryLayer::new(Again(2)))
        .layer(PropagateHlcLayer::new(clock()));
    stack.service(peer.service()).oneshot(request(&[])).now_or_never().unwrap().unwrap();
    let sent: Vec<HeaderValue> =
        peer.seen.lock().unwrap().iter().map(|(header, _)| header.clone().unwrap()).collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.is_sorted_by(|a, b| a < b), "{sent:?}");
}
