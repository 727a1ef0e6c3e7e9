//! Whatever a peer sends: no error, no panic, and a clock that stays sound.

use ::http::HeaderValue;
use futures::FutureExt;
use proptest::{collection::vec, prelude::*};
use steadfast_clock::{
    HLC_HEADER, HlcLayer, PropagateHlcLayer, Propagation, Timestamp, TooFarAhead,
};
use tower::{Layer, ServiceExt};

use super::{Clock, MS, Peer, ahead_of, clock, received, request, stamp_in};

const GARBAGE: [&str; 17] = [
    "",
    "soon",
    "-1",
    "hlc-0123456789ABCDEF",
    "hlc-123456789abcdef",
    "hlc-0123456789abcdef0",
    "hlc-+123456789abcdef",
    "hlc-0x23456789abcdef",
    "hlc-0123456789abcde\u{fc}",
    "HLC-0123456789abcdef",
    "2026-11-24T03:59:35.123400Z+00042",
    ",,",
    "\"hlc-0123456789abcdef\"",
    // What other headers carry: identifiers of a span, in `traceparent`, in `b3`, and a UUID.
    "b7ad6b7169203331",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
];

/// Everything that may stand in a header.
fn value() -> impl Strategy<Value = HeaderValue> {
    let stamp =
        any::<u64>().prop_map(|bits| Timestamp::from_bits(bits).compact().to_string().into_bytes());
    let near = "(hlc-)?[0-9a-fA-F+, -]{0,40}".prop_map(String::into_bytes);
    let bytes = prop_oneof![stamp, near, vec(any::<u8>(), 0..64), vec(32..=255_u8, 0..64)];
    bytes.prop_filter_map("no header value", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

#[test]
fn what_cannot_be_read_is_as_good_as_none_in_a_request() {
    for garbage in GARBAGE {
        let (clock, peer) = (clock(), Peer::default());
        let before = clock.tick();
        let service = HlcLayer::new(clock.clone()).layer(peer.service());
        let response = service.oneshot(request(&[garbage])).now_or_never().unwrap().unwrap();
        assert_eq!(
            (peer.last().at, peer.last().sent),
            (before.next(), None),
            "{garbage:?}: ticked"
        );
        assert_eq!(stamp_in(response.headers()), before.next().next());
    }
}

#[test]
fn what_cannot_be_read_is_as_good_as_none_in_a_response() {
    for garbage in GARBAGE {
        let clock = clock();
        let before = clock.tick();
        let service = PropagateHlcLayer::new(clock.clone()).layer(Peer::answers(garbage).service());
        let response = service.oneshot(request(&[])).now_or_never().unwrap().unwrap();
        let received = received(&response);
        assert_eq!(
            (received.at, received.sent),
            (before.next().next(), None),
            "{garbage:?}: ticked"
        );
        assert_eq!(
            response.headers()[HLC_HEADER].as_bytes(),
            garbage.as_bytes(),
            "the response is what it was"
        );
    }
}

#[test]
fn a_header_as_long_as_a_server_takes_is_no_harm() {
    let long = [b"a,".repeat(32 * 1024), b"0".repeat(64 * 1024)].concat();
    let (clock, peer) = (clock(), Peer::default());
    let mut asks = request(&[]);
    asks.headers_mut().insert(HLC_HEADER, HeaderValue::from_bytes(&long).unwrap());
    HlcLayer::new(clock).layer(peer.service()).oneshot(asks).now_or_never().unwrap().unwrap();
    assert_eq!(peer.last().sent, None);
}

/// The clock never adopts what it should not.
fn is_sound(clock: &Clock) -> bool {
    clock.last() <= ahead_of(clock, 501 * MS)
}

proptest! {
    #[test]
    fn no_request_fails_by_what_its_header_holds(values in vec(value(), 0..5)) {
        let (clock, peer) = (clock(), Peer::default());
        let mut asks = request(&[]);
        for value in values {
            asks.headers_mut().append(HLC_HEADER, value);
        }
        let layer = HlcLayer::from(Propagation::new(clock.clone()).too_far_ahead(TooFarAhead::Ignore));
        let response = layer.layer(peer.service()).oneshot(asks).now_or_never().unwrap();
        prop_assert!(stamp_in(response.unwrap().headers()) > peer.last().at);
        prop_assert_eq!(peer.calls(), 1);
        prop_assert!(is_sound(&clock));
    }

    #[test]
    fn no_response_fails_by_what_its_header_holds(value in value()) {
        let clock = clock();
        let layer = PropagateHlcLayer::from(Propagation::new(clock.clone()).too_far_ahead(TooFarAhead::Ignore));
        let response = layer.layer(Peer::answers(value).service()).oneshot(request(&[])).now_or_never().unwrap();
        prop_assert_eq!(received(&response.unwrap()).at, clock.last());
        prop_assert!(is_sound(&clock));
    }

    #[test]
    fn only_a_stamp_too_far_ahead_is_ever_refused(value in value()) {
        let (clock, peer) = (clock(), Peer::default());
        let mut asks = request(&[]);
        asks.headers_mut().insert(HLC_HEADER, value.clone());
        let outcome = HlcLayer::new(clock.clone()).layer(peer.service()).oneshot(asks).now_or_never().unwrap();
        // The newest stamp by a reading of its own.
        let parts = value.as_bytes().split(|&byte| byte == b',').filter_map(|part| std::str::from_utf8(part).ok());
        let stamps = parts.map(str::trim).filter(|part| part.len() == 20).filter_map(|part| part.parse().ok());
        let newest: Option<Timestamp> = stamps.max();
        let too_far = newest.is_some_and(|newest| newest.physical() > ahead_of(&clock, 500 * MS).physical());
        prop_assert_eq!(outcome.is_err(), too_far);
        prop_assert_eq!(peer.calls(), usize::from(!too_far));
    }
}
