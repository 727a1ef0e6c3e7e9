//! Stamps that are not to be believed.

use std::time::Duration;

use futures::FutureExt;
use steadfast_clock::{
    DriftTooLarge, HlcLayer, Physical, PropagateHlcLayer, Propagation, StampFault, StampRefused,
    Timestamp, TooFarAhead,
};
use steadfast_core::{
    Classify, DefaultClassifier, Executed, Grounds, Refusal, RefusalKind, Verdict, cause,
};
use tower::{Layer, ServiceExt};

use super::{MS, Peer, ahead_of, clock, received, refusal, request, stamp_in, stamped};

#[test]
fn a_request_from_the_future_is_refused_before_the_handler_and_the_clock_stays_as_it_was() {
    let (clock, peer) = (clock(), Peer::default());
    let before = clock.tick();
    let remote = ahead_of(&clock, 2500 * MS);
    let service = HlcLayer::new(clock.clone()).layer(peer.service());
    let error = service.oneshot(stamped(remote)).now_or_never().unwrap().unwrap_err();
    let grounds = Grounds::not_executed(RefusalKind::Unavailable).with_retry_after(Some(2000 * MS));
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
fn no_node_knows_which_clock_is_wrong_so_even_years_are_worth_another_node_within_two_seconds() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let limit = Timestamp::from(Physical::LIMIT);
    let years = [10 * MS, 2001 * MS, 10_000 * MS, 24 * 3600 * 1000 * MS, YEAR, 56 * YEAR];
    let stamps = years.map(|by| ahead_of(&clock(), 500 * MS + by)).into_iter().chain([limit]);
    for remote in stamps {
        let (clock, peer) = (clock(), Peer::default());
        let service = HlcLayer::new(clock.clone()).layer(peer.service());
        let error = service.oneshot(stamped(remote)).now_or_never().unwrap().unwrap_err();
        let refused = refusal(error);
        let StampFault::TooFarAhead(drift) = refused.fault else { panic!("{refused}") };
        let grounds = Grounds::not_executed(RefusalKind::Unavailable)
            .with_retry_after(Some(drift.excess.min(2000 * MS)));
        assert_eq!(refused.grounds, grounds, "{remote}");
        assert_eq!(drift.excess, remote.physical().since(ahead_of(&clock, 500 * MS).physical()));
        assert_eq!((peer.calls(), clock.last()), (0, Timestamp::MIN));
    }
}

#[test]
fn what_no_clock_gives_out_is_the_requests_fault_and_never_accepted() {
    let beyond = Timestamp::from(Physical::LIMIT.plus_grains(1));
    for remote in [beyond, Timestamp::MAX] {
        let service = HlcLayer::new(clock()).layer(Peer::default().service());
        let error = service.oneshot(stamped(remote)).now_or_never().unwrap().unwrap_err();
        assert_eq!(refusal(error).grounds, Grounds::not_executed(RefusalKind::Unacceptable));
    }
}

#[test]
fn an_answer_that_is_not_to_be_believed_shows_a_peer_that_is_unavailable_however_far_it_is_ahead() {
    for remote in [ahead_of(&clock(), 501 * MS), ahead_of(&clock(), 10_500 * MS), Timestamp::MAX] {
        let peer = Peer::answers_stamp(remote);
        let service = PropagateHlcLayer::new(clock()).layer(peer.service());
        let error = service.oneshot(request(&[])).now_or_never().unwrap().unwrap_err();
        let verdict = DefaultClassifier.classify(Err::<&(), _>(&error));
        assert_eq!(verdict, Verdict::transient(Executed::Maybe), "a breaker counts it");
        assert_eq!(refusal(error).grounds, Grounds::maybe_executed(RefusalKind::Unavailable));
    }
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
    assert_eq!((refused.executed(), refused.retry_after()), (Executed::Maybe, None));
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
