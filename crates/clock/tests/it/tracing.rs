//! A jump of the wall clock is an event.

use steadfast_clock::{Hlc, HlcConfig};
use steadfast_testkit::events;

use crate::{HOUR, MS, manual};

#[test]
fn a_jump_is_one_warning_and_time_that_passes_is_none() {
    let hlc = Hlc::new(manual(), HlcConfig::new().named("orders")).unwrap();
    let lines = events(|| {
        hlc.clock().advance(HOUR);
        hlc.tick();
        hlc.clock().step_back(5000 * MS);
        hlc.tick();
        hlc.tick();
    });
    assert_eq!(
        lines,
        ["WARN steadfast::clock message=the wall clock was set clock=orders jump=Back(5s)"]
    );
}
