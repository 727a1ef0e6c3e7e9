//! A wall clock that is set, as seen through the clock that stands on it.

#[cfg(target_os = "linux")]
mod suspend;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use steadfast_clock::{CachedClock, CoarseClock, Hlc, HlcConfig, Jump, Physical, PhysicalClock};
use steadfast_core::{ManualWallClock, WallClock};

use crate::{HOUR, MS, manual};

type Seen = Arc<Mutex<Vec<Jump>>>;

fn watched() -> (Hlc<ManualWallClock>, Seen) {
    let seen = Seen::default();
    let config = HlcConfig::new().on_jump({
        let seen = Arc::clone(&seen);
        move |jump| seen.lock().unwrap().push(jump)
    });
    (Hlc::new(manual(), config).unwrap(), seen)
}

#[test]
fn a_jump_either_way_is_an_event_and_a_count_and_fails_no_tick() {
    let (hlc, seen) = watched();
    let mut last = hlc.tick();
    for (step, lead) in [(None, Duration::ZERO), (Some(HOUR), HOUR), (None, HOUR)] {
        if let Some(back) = step {
            hlc.clock().step_back(back);
        }
        let stamp = hlc.tick();
        assert!(stamp > last);
        assert_eq!(hlc.lead(), lead);
        last = stamp;
    }
    hlc.clock().step_forward(2 * HOUR);
    assert!(hlc.tick() > last);
    assert_eq!(*seen.lock().unwrap(), [Jump::Back(HOUR), Jump::Forward(2 * HOUR)]);
    let state = hlc.snapshot();
    assert_eq!((state.jumps_forward, state.jumps_back, state.lead), (1, 1, Duration::ZERO));
}

#[test]
fn receiving_notices_jumps_as_well() {
    let (hlc, seen) = watched();
    let past = hlc.tick();
    hlc.clock().step_back(HOUR);
    hlc.update(past).unwrap();
    hlc.clock().step_forward(HOUR);
    hlc.merge(past).unwrap();
    assert_eq!(*seen.lock().unwrap(), [Jump::Back(HOUR), Jump::Forward(HOUR)]);
}

#[test]
fn time_that_passes_is_no_jump() {
    let (hlc, seen) = watched();
    for pause in [MS, 900 * MS, HOUR, 24 * HOUR] {
        hlc.clock().advance(pause);
        hlc.tick();
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn a_cached_clock_that_nobody_kept_fresh_has_not_jumped() {
    let wall = Arc::new(manual());
    let hlc = Hlc::new(CachedClock::of(Arc::clone(&wall), MS).unwrap(), HlcConfig::new()).unwrap();
    for starved in [900 * MS, 5000 * MS] {
        wall.advance(2000 * MS);
        hlc.clock().refresh();
        wall.advance(starved);
        hlc.tick();
        assert_eq!(hlc.snapshot().jumps_back + hlc.snapshot().jumps_forward, 0);
    }
}

#[test]
fn the_system_s_clocks_do_not_seem_to_jump() {
    fn count<C: steadfast_clock::PhysicalClock>(clock: C) -> u64 {
        let hlc = Hlc::new(clock, HlcConfig::new().jump_threshold(HOUR)).unwrap();
        for _ in 0..10_000 {
            hlc.tick();
        }
        let state = hlc.snapshot();
        state.jumps_forward + state.jumps_back
    }
    assert_eq!(
        count(steadfast_core::SystemWallClock)
            + count(CoarseClock)
            + count(CachedClock::new(MS).unwrap()),
        0
    );
}

#[test]
fn a_listener_may_use_the_clock_and_its_panic_leaves_the_clock_sound() {
    let slot: Arc<Mutex<Option<Hlc<Arc<ManualWallClock>>>>> = Arc::default();
    let config = HlcConfig::new().on_jump({
        let slot = Arc::clone(&slot);
        move |_| {
            let hlc = slot.lock().unwrap().clone().unwrap();
            assert!(hlc.tick() > hlc.last(), "a tick is above the last one: this fails");
        }
    });
    let wall = Arc::new(manual());
    let hlc = Hlc::new(Arc::clone(&wall), config).unwrap();
    *slot.lock().unwrap() = Some(hlc.clone());
    let before = hlc.tick();
    wall.step_back(HOUR);
    assert!(catch_unwind(AssertUnwindSafe(|| hlc.tick())).is_err());
    assert!(hlc.tick() > before);
    assert_eq!(hlc.snapshot().jumps_back, 1, "the jump was counted once");
}

/// An hour ahead and back again with each reading, and in no time.
#[derive(Debug, Default)]
struct Swinging(AtomicU64);

impl WallClock for Swinging {
    fn now(&self) -> SystemTime {
        self.physical().into()
    }
}

impl PhysicalClock for Swinging {
    /// Once for the event, once for the look: both of a pair are the same.
    fn physical(&self) -> Physical {
        let ahead = self.0.fetch_add(1, Ordering::Relaxed).div_ceil(2).is_multiple_of(2);
        Physical::from_unix(crate::NOW + if ahead { HOUR } else { Duration::ZERO })
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_listener_that_ticks_is_not_called_by_its_own_ticks() {
    let slot: Arc<Mutex<Option<Hlc<Swinging>>>> = Arc::default();
    let calls = Arc::new(AtomicU64::new(0));
    let config = HlcConfig::new().on_jump({
        let (slot, calls) = (Arc::clone(&slot), Arc::clone(&calls));
        move |_| {
            assert!(calls.fetch_add(1, Ordering::Relaxed) < 100, "it calls itself");
            let hlc = slot.lock().unwrap().clone();
            if let Some(hlc) = hlc {
                hlc.tick();
            }
        }
    });
    let hlc = Hlc::new(Swinging::default(), config).unwrap();
    *slot.lock().unwrap() = Some(hlc.clone());
    for _ in 0..10 {
        hlc.tick();
    }
    let state = hlc.snapshot();
    assert_eq!(calls.load(Ordering::Relaxed), 10);
    assert_eq!(
        state.jumps_forward + state.jumps_back,
        20,
        "those that it found itself are counted"
    );
    slot.lock().unwrap().take();
}

#[test]
fn a_listener_that_panicked_is_told_of_the_next_jump() {
    let calls = Arc::new(AtomicU64::new(0));
    let config = HlcConfig::new().on_jump({
        let calls = Arc::clone(&calls);
        move |_| assert!(calls.fetch_add(1, Ordering::Relaxed) > 0, "the first time it fails")
    });
    let hlc = Hlc::new(manual(), config).unwrap();
    hlc.clock().step_back(HOUR);
    assert!(catch_unwind(AssertUnwindSafe(|| hlc.tick())).is_err());
    hlc.clock().step_forward(HOUR);
    hlc.tick();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}
