//! What the store is told: marks that only rise, whatever the wall clock does and however the store
//! fails.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use steadfast_clock::{
    HighWater, HighWaterError, HlcConfig, PersistentHlc, Physical, PhysicalClock, Timestamp,
};
use steadfast_core::{ManualWallClock, WallClock};
use tempfile::tempdir;

use super::{Memory, file, open};
use crate::{HOUR, MS, NOW, manual};

/// Has given out a stamp that is 100 ms old, keeps a mark above it, and was then set back by an
/// hour.
fn set_back<H: HighWater>(store: H) -> PersistentHlc<ManualWallClock, H> {
    let clock = open(store);
    clock.tick().unwrap();
    clock.hlc().clock().advance(100 * MS);
    clock.tick().unwrap();
    clock.hlc().clock().step_back(HOUR);
    clock
}

#[test]
fn a_file_kept_ahead_after_the_wall_clock_was_set_back_is_not_in_use() {
    let directory = tempdir().unwrap();
    let clock = set_back(file(directory.path()));
    clock.keep_ahead().unwrap();
    clock.tick().unwrap();
}

#[test]
fn keeping_ahead_after_the_wall_clock_was_set_back_lowers_no_mark() {
    let store = Memory::default();
    let clock = set_back(store.clone());
    let before = store.mark.load(Ordering::SeqCst);
    clock.keep_ahead().unwrap();
    assert_eq!(store.mark.load(Ordering::SeqCst), before, "a step is left, so nothing is stored");
}

/// A wall clock that does something at its next reading: what other threads do while this one is
/// paused.
#[derive(Default)]
struct Interrupted {
    grains: AtomicU64,
    armed: AtomicBool,
    interrupt: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl WallClock for Interrupted {
    fn now(&self) -> SystemTime {
        self.physical().into()
    }
}

impl PhysicalClock for Interrupted {
    fn physical(&self) -> Physical {
        let read = Physical::from_grains(self.grains.load(Ordering::SeqCst));
        if self.armed.swap(false, Ordering::SeqCst)
            && let Some(interrupt) = &*self.interrupt.lock().unwrap()
        {
            interrupt();
        }
        read
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_thread_paused_while_it_keeps_ahead_loses_no_stamp_that_others_gave_out() {
    let store = Memory::default();
    let wall = Arc::new(Interrupted::default());
    wall.grains.store(Physical::from_unix(NOW).grains(), Ordering::SeqCst);
    let clock = PersistentHlc::open(Arc::clone(&wall), HlcConfig::new(), store.clone()).unwrap();
    clock.tick().unwrap();
    wall.grains.fetch_add(1_000, Ordering::SeqCst);
    clock.tick().unwrap();
    wall.grains.fetch_sub(36_000_000, Ordering::SeqCst);

    let given = Arc::new(AtomicU64::new(0));
    *wall.interrupt.lock().unwrap() = Some(Box::new({
        let (clock, given) = (clock.clone(), Arc::clone(&given));
        move || {
            // More than the 655,360 stamps of the first step.
            for _ in 0..700_000 {
                given.store(clock.tick().unwrap().to_bits(), Ordering::SeqCst);
            }
        }
    }));
    wall.armed.store(true, Ordering::SeqCst);
    clock.keep_ahead().unwrap();
    *wall.interrupt.lock().unwrap() = None;

    let again = PersistentHlc::open(wall, HlcConfig::new(), store).unwrap().tick().unwrap();
    assert!(again.to_bits() > given.load(Ordering::SeqCst));
}

/// How a store fails next.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Nothing was stored.
    Before,
    /// The mark was stored, and then it was not certain that it would last: as when a directory
    /// cannot be flushed.
    After,
}

/// A store that refuses to be lowered, as a file does, and says so by a panic.
#[derive(Clone, Debug, Default)]
struct Unsteady(Arc<Mutex<(Option<Timestamp>, Option<Failure>)>>);

impl Unsteady {
    fn fail(&self, failure: Failure) {
        self.0.lock().unwrap().1 = Some(failure);
    }
}

impl HighWater for Unsteady {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        Ok(self.0.lock().unwrap().0)
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        let mut state = self.0.lock().unwrap();
        let failure = state.1.take();
        assert!(state.0 <= Some(mark), "a mark only rises");
        if !matches!(failure, Some(Failure::Before)) {
            state.0 = Some(mark);
        }
        match failure {
            None => Ok(()),
            Some(_) => Err(HighWaterError::Store {
                action: "stored",
                source: io::Error::from(io::ErrorKind::StorageFull).into(),
            }),
        }
    }
}

#[test]
fn a_store_that_failed_after_it_stored_fails_no_event_once_it_works_again() {
    let store = Unsteady::default();
    let clock = open(store.clone());
    store.fail(Failure::After);
    clock.tick().unwrap_err();
    clock.hlc().clock().step_back(HOUR);
    let stamp = clock.tick().unwrap();
    clock.keep_ahead().unwrap();
    assert!(open(store).tick().unwrap() > stamp);
}

/// What happens to a clock that is kept.
#[derive(Clone, Copy, Debug)]
enum Event {
    Tick,
    /// A stamp so many ms ahead of the wall clock; what is too far is refused.
    Update(u32),
    Merge(u32),
    KeepAhead,
    Advance(u32),
    Step(i32),
    Fail(Failure),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Tick),
        2 => (0..600_u32).prop_map(Event::Update),
        1 => (0..600_u32).prop_map(Event::Merge),
        4 => Just(Event::KeepAhead),
        4 => (0..200_u32).prop_map(Event::Advance),
        2 => (-400..400_i32).prop_map(Event::Step),
        1 => prop_oneof![Just(3_600_000), Just(-3_600_000)].prop_map(Event::Step),
        2 => prop_oneof![Just(Failure::Before), Just(Failure::After)].prop_map(Event::Fail),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_no_mark_falls_and_no_stamp_comes_again(events in prop::collection::vec(event(), 1..100)) {
        let (store, wall) = (Unsteady::default(), Arc::new(manual()));
        let open = || PersistentHlc::open(Arc::clone(&wall), HlcConfig::new(), store.clone()).unwrap();
        let ahead = |ms: u32| Timestamp::from(Physical::from_unix(wall.physical().since_epoch() + ms * MS));
        let (mut clock, mut last) = (open(), Timestamp::MIN);
        for event in events {
            let stamp = match event {
                Event::Tick => clock.tick().ok(),
                Event::Update(ms) => clock.update(ahead(ms)).ok(),
                Event::Merge(ms) => clock.merge(ahead(ms)).ok().map(|()| ahead(ms).max(last)),
                Event::KeepAhead => clock.keep_ahead().ok().and(None),
                Event::Advance(ms) => { wall.advance(ms * MS); None }
                Event::Step(ms) if ms < 0 => { wall.step_back(ms.unsigned_abs() * MS); None }
                Event::Step(ms) => { wall.step_forward(ms.unsigned_abs() * MS); None }
                Event::Fail(failure) => { store.fail(failure); None }
                Event::Restart => { clock = open(); None }
            };
            if let Some(stamp) = stamp {
                prop_assert!(stamp > last || matches!(event, Event::Merge(_)), "{stamp} after {last}");
                prop_assert!(store.load().unwrap() >= Some(stamp), "{stamp} would be forgotten");
                last = stamp;
            }
        }
    }
}
