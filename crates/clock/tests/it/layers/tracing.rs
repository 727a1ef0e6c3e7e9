//! The events there are, and what is not in them.

use futures::FutureExt;
use steadfast_clock::{HlcLayer, Propagation, TooFarAhead};
use steadfast_testkit::events;
use tower::{Layer, ServiceExt};

use super::{MS, Peer, ahead_of, named, request, stamped};

#[test]
fn a_stamp_too_far_ahead_is_one_debug_event_and_no_other_message_is() {
    let lines = events(|| {
        let clock = named("orders");
        let (fine, far) = (ahead_of(&clock, MS), ahead_of(&clock, 1000 * MS));
        let refuses = HlcLayer::new(clock.clone());
        let ignores = HlcLayer::from(Propagation::new(clock).too_far_ahead(TooFarAhead::Ignore));
        for (layer, request) in [
            (&refuses, request(&[])),
            (&refuses, request(&["soon"])),
            (&refuses, stamped(fine)),
            (&refuses, stamped(far)),
            (&ignores, stamped(far)),
        ] {
            drop(layer.layer(Peer::default().service()).oneshot(request).now_or_never().unwrap());
        }
    });
    let expected = [
        "DEBUG steadfast::clock message=a stamp too far ahead was refused clock=orders excess=500ms",
        "DEBUG steadfast::clock message=a stamp too far ahead was ignored clock=orders excess=500ms",
    ];
    assert_eq!(lines, expected);
}
