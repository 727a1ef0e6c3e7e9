//! Bounded clocks on the clocks of this machine.

use std::{sync::Arc, time::Duration};

use steadfast_clock::{
    BoundedClock, CachedClock, Certainty, CoarseClock, FixedBound, Hlc, Interval, PhysicalClock, Timestamp, Unknown,
};
use steadfast_core::{SystemWallClock, WallClock};

/// Whether an interval round the system's clock held while it was read. The clock itself is taken for the true time.
fn holds(clock: &BoundedClock<FixedBound, impl PhysicalClock>) -> bool {
    let before = SystemWallClock.now();
    let now = clock.now().unwrap();
    let after = SystemWallClock.now();
    // A machine whose clock is set back meanwhile proves nothing.
    after < before || now.overlaps(Interval::between(before, after))
}

#[test]
fn readings_that_are_behind_are_covered_by_their_lag() {
    let bound = FixedBound::new(Duration::from_nanos(1)).unwrap();
    assert!((0..10_000).all(|_| holds(&BoundedClock::system(bound))));
    assert!((0..10_000).all(|_| holds(&BoundedClock::new(CoarseClock, bound))));
    // A cached reading is rounded down to its grain as well.
    let cached = Arc::new(CachedClock::new(Duration::from_millis(1)).unwrap());
    let clock = BoundedClock::new(Arc::clone(&cached), bound);
    let width = clock.now().unwrap().width();
    assert!(width >= Duration::from_micros(1100), "{width:?}");
}

#[test]
fn a_stamp_taken_under_the_latest_end_lies_ahead_until_it_has_passed() {
    let clock = BoundedClock::system(FixedBound::new(Duration::from_millis(100)).unwrap());
    let hlc = Hlc::default();
    let stamp = hlc.update(clock.now().unwrap().latest_stamp()).unwrap();
    assert_ne!(clock.now().unwrap().compare(stamp), Certainty::After);
    assert_eq!(clock.now().unwrap().compare(Timestamp::MIN), Certainty::After);
}

#[test]
fn everything_public_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<BoundedClock<FixedBound>>();
    shared::<BoundedClock<Arc<FixedBound>, CoarseClock>>();
    shared::<Interval>();
    shared::<Unknown>();
}
