//! Stamps that are not to be believed.

use futures::FutureExt;
use steadfast_clock::{
    DriftTooLarge, HlcLayer, PropagateHlcLayer, Propagation, StampFault, StampRefused, Timestamp,
    TooFarAhead,
};
use steadfast_core::{Executed, Grounds, Refusal, RefusalKind, cause};
use tower::{Layer, ServiceExt};

use super::{MS, Peer, ahead_of, clock, received, refusal, request, stamp_in, stamped};

#[test]
fn a_request_from_the_future_is_refused_before_the_handler_and_the_clock_stays_as_it_was() {
    let (clock, peer) = (clock(), Peer::default());
    let before = clock.tick();
    let remote = ahead_of(&clock, 2500 * MS);
    let service = HlcLayer::new(clock.clone()).layer(peer.service());
    let error = service.oneshot(stamped(remote)).now_or_never().unwrap().unwrap_err();
    let grounds =
        Grounds::not_executed(RefusalKind::Unacceptable).with_retry_after(Some(2000 * MS));
    assert_eq!(cause::<Grounds>(&*error), Some(&grounds));
    let refused = refusal(error);
    let drift = DriftTooLarge::new(remote, 2000 * MS);
    assert_eq!(refused, StampRefused::before_the_call(StampFault::TooFarAhead(drift)));
    assert_eq!(refused.executed(), Executed::No);
    assert_eq!((peer.calls(), clock.last()), (0, before));
}

#[test]
fn what_is_refused_is_accepted_after_the_time_that_the_refusal_names() {
    let (clock, peer) = (clock(), Peer::default());
    let remote = ahead_of(&clock, 2500 * MS);
    let service = HlcLayer::new(clock.clone()).layer(peer.service());
    let ask = || service.clone().oneshot(stamped(remote)).now_or_never().unwrap();
    let retry_after = refusal(ask().unwrap_err()).retry_after().unwrap();
    clock.clock().advance(retry_after - MS);
    assert_eq!(refusal(ask().unwrap_err()).retry_after(), Some(MS));
    clock.clock().advance(MS);
    ask().unwrap();
}

#[test]
fn what_will_never_be_accepted_names_no_time() {
    let service = HlcLayer::new(clock()).layer(Peer::default().service());
    let error = service.oneshot(stamped(Timestamp::MAX)).now_or_never().unwrap().unwrap_err();
    assert_eq!(refusal(error).retry_after(), None);
}

#[test]
fn a_response_from_the_future_is_refused_and_may_have_been_executed() {
    let clock = clock();
    let remote = ahead_of(&clock, 501 * MS);
    let peer = Peer::answers_stamp(remote);
    let service = PropagateHlcLayer::new(clock.clone()).layer(peer.service());
    let error = service.oneshot(request(&[])).now_or_never().unwrap().unwrap_err();
    let refused = refusal(error);
    assert_eq!(
        refused,
        StampRefused::after_the_call(StampFault::TooFarAhead(DriftTooLarge::new(remote, MS)))
    );
    assert_eq!((refused.executed(), refused.retry_after()), (Executed::Maybe, Some(MS)));
    let sent = peer.seen.lock().unwrap()[0].0.clone().unwrap();
    assert_eq!(clock.last().compact().to_string(), sent, "nothing but the request was stamped");
}

#[test]
fn ignored_a_request_goes_on_and_the_handler_learns_what_it_carried() {
    for remote in [Timestamp::MAX, ahead_of(&clock(), 501 * MS)] {
        let (clock, peer) = (clock(), Peer::default());
        let before = clock.tick();
        let layer =
            HlcLayer::from(Propagation::new(clock.clone()).too_far_ahead(TooFarAhead::Ignore));
        let response =
            layer.layer(peer.service()).oneshot(stamped(remote)).now_or_never().unwrap().unwrap();
        assert_eq!(
            (peer.last().at, peer.last().sent),
            (before.next(), Some(remote)),
            "ticked, not updated"
        );
        assert_eq!(stamp_in(response.headers()), before.next().next());
    }
}

#[test]
fn ignored_a_response_goes_on_and_the_program_learns_what_it_carried() {
    let clock = clock();
    let before = clock.tick();
    let layer =
        PropagateHlcLayer::from(Propagation::new(clock.clone()).too_far_ahead(TooFarAhead::Ignore));
    let response = layer.layer(Peer::answers_stamp(Timestamp::MAX).service()).oneshot(request(&[]));
    let received = received(&response.now_or_never().unwrap().unwrap());
    assert_eq!((received.at, received.sent), (before.next().next(), Some(Timestamp::MAX)));
}

#[test]
fn up_to_the_limit_a_stamp_is_believed_whatever_is_said_about_those_beyond() {
    for too_far_ahead in [TooFarAhead::Refuse, TooFarAhead::Ignore] {
        let (clock, peer) = (clock(), Peer::default());
        let remote = ahead_of(&clock, 500 * MS);
        let layer = HlcLayer::from(Propagation::new(clock).too_far_ahead(too_far_ahead));
        let response =
            layer.layer(peer.service()).oneshot(stamped(remote)).now_or_never().unwrap().unwrap();
        assert_eq!((peer.last().at, peer.last().sent), (remote.next(), Some(remote)));
        assert_eq!(stamp_in(response.headers()), remote.next().next());
    }
}

#[test]
fn one_stamp_from_the_future_among_several_is_what_counts() {
    let (clock, peer) = (clock(), Peer::default());
    let (fine, far) = (ahead_of(&clock, MS), ahead_of(&clock, 600 * MS));
    let values = [fine, far].map(|stamp| stamp.compact().to_string());
    let layer = HlcLayer::new(clock.clone());
    let outcome = layer
        .layer(peer.service())
        .oneshot(request(&[&values[0], &values[1]]))
        .now_or_never()
        .unwrap();
    outcome.unwrap_err();
    let layer = HlcLayer::from(Propagation::new(clock.clone()).too_far_ahead(TooFarAhead::Ignore));
    layer
        .layer(peer.service())
        .oneshot(request(&[&values[1], &values[0]]))
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(peer.last().sent, Some(far));
    assert!(clock.last() < fine, "nothing of it is adopted");
}
