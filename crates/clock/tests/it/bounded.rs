//! Bounded clocks on the clocks of this machine.

use std::{sync::Arc, time::Duration};

use steadfast_clock::{
    BoundedClock, CachedClock, Certainty, CoarseClock, FixedBound, Hlc, HlcConfig, Interval,
    PhysicalClock, Timestamp, Unknown,
};
use steadfast_core::{SystemWallClock, WallClock};
use steadfast_testkit::FaultyClock;

use crate::{HOUR, MS, manual};

/// Whether an interval round the system's clock held while it was read. The clock itself is taken
/// for the true time.
fn holds(clock: &BoundedClock<FixedBound, impl PhysicalClock>) -> bool {
    let before = SystemWallClock.now();
    let now = clock.now().unwrap();
    let after = SystemWallClock.now();
    // A machine whose clock is set back meanwhile proves nothing.
    after < before || now.overlaps(Interval::between(before, after))
}

#[test]
fn a_coarse_clock_is_read_exactly_however_late_its_tick() {
    let bound = FixedBound::new(Duration::from_nanos(1)).unwrap();
    assert!((0..10_000).all(|_| holds(&BoundedClock::system(bound))));
    assert!((0..10_000).all(|_| holds(&BoundedClock::new(CoarseClock, bound))));
    let width = BoundedClock::new(CoarseClock, bound).now().unwrap().width();
    assert_eq!(
        width,
        Duration::from_nanos(2),
        "no lag is needed for a reading that is none behind"
    );
}

#[test]
fn a_cached_clock_that_nobody_keeps_fresh_is_read_anew() {
    let wall = Arc::new(manual());
    let cached = Arc::new(CachedClock::of(Arc::clone(&wall), MS).unwrap());
    let clock = BoundedClock::new(Arc::clone(&cached), FixedBound::new(MS).unwrap());
    for starved in [MS, HOUR] {
        wall.advance(starved);
        let now = clock.now().unwrap();
        assert!(now.contains(wall.now()) && now.width() == 2 * MS, "{now:?} {:?}", wall.now());
        assert_eq!(cached.now(), wall.now(), "who reads it anew lets the others see it");
    }
}

#[test]
fn a_clock_behind_others_is_read_through_all_of_them() {
    let wall = Arc::new(manual());
    let cached = Arc::new(CachedClock::of(Arc::clone(&wall), MS).unwrap());
    let shifted = Arc::new(FaultyClock::new(cached).ahead_by_nanos(-3_000_000));
    let clock =
        BoundedClock::new(CachedClock::of(shifted, MS).unwrap(), FixedBound::new(MS).unwrap());
    wall.advance(HOUR);
    assert_eq!(clock.now().unwrap(), Interval::around(wall.now() - 3 * MS, MS));
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
fn a_commit_under_a_bound_above_the_drift_that_is_believed_is_refused() {
    for (bound, believed) in [(499 * MS, true), (501 * MS, false)] {
        let wall = Arc::new(manual());
        let hlc = Hlc::new(Arc::clone(&wall), HlcConfig::new()).unwrap();
        let clock = BoundedClock::new(wall, FixedBound::new(bound).unwrap());
        assert_eq!(hlc.update(clock.now().unwrap().latest_stamp()).is_ok(), believed, "{bound:?}");
    }
}

#[test]
fn everything_public_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<BoundedClock<FixedBound>>();
    shared::<BoundedClock<Arc<FixedBound>, CoarseClock>>();
    shared::<Interval>();
    shared::<Unknown>();
}
