use std::{sync::Arc, thread};

use proptest::prelude::*;
use steadfast_core::{ManualBootClock, ManualWallClock};

use super::*;

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock whose time passes when it is told to.
struct Bench {
    wall: Arc<ManualWallClock>,
    boot: ManualBootClock,
    clock: ClockFault<Arc<ManualWallClock>>,
}

impl Bench {
    fn new() -> Self {
        let wall = Arc::new(ManualWallClock::new(SystemTime::UNIX_EPOCH + 1000 * SEC));
        let boot = ManualBootClock::new(BootInstant::ZERO);
        let clock = ClockFault::new(Arc::clone(&wall)).monotonic(boot.clock());
        Self { wall, boot, clock }
    }

    fn pass(&self, by: Duration) {
        self.wall.advance(by);
        self.boot.advance(by);
    }

    /// What the clock shows, since the bench was made.
    fn shown(&self) -> Duration {
        self.clock.now().duration_since(SystemTime::UNIX_EPOCH + 1000 * SEC).unwrap()
    }
}

#[test]
fn it_is_right_until_it_is_told_otherwise_and_right_again_when_healed() {
    let bench = Bench::new();
    bench.pass(3 * SEC);
    assert_eq!(bench.shown(), 3 * SEC);
    bench.clock.step_forward(SEC);
    bench.clock.drift(500);
    bench.clock.smear(Leap::Deleted, SEC);
    bench.clock.leap(Leap::Inserted);
    bench.clock.freeze();
    bench.pass(7 * SEC);
    assert_ne!(bench.shown(), 10 * SEC);
    bench.clock.heal();
    assert_eq!(bench.shown(), 10 * SEC);
    bench.pass(SEC);
    assert_eq!((bench.shown(), bench.clock.offset_nanos()), (11 * SEC, 0));
}

#[test]
fn steps_add_up_and_an_offset_replaces_them() {
    let bench = Bench::new();
    bench.clock.step_forward(5 * SEC);
    bench.clock.step_back(2 * SEC);
    assert_eq!(bench.shown(), 3 * SEC);
    bench.clock.set_offset_nanos(-1);
    assert_eq!(bench.clock.offset_nanos(), -1);
    let clock = ClockFault::new(Arc::clone(&bench.wall)).ahead_by_nanos(2_000_000_000);
    assert_eq!(clock.now(), bench.wall.now() + 2 * SEC);
}

#[test]
fn a_drift_counts_the_time_that_passes_and_no_step_of_the_clock_behind() {
    let bench = Bench::new();
    bench.clock.drift(100);
    bench.pass(DAY);
    assert_eq!(bench.clock.offset_nanos(), 8_640_000_000, "100 ppm are 8.64 s a day");
    bench.wall.step_forward(DAY);
    assert_eq!(bench.clock.offset_nanos(), 8_640_000_000);
    bench.clock.drift(-50);
    bench.pass(DAY);
    assert_eq!(bench.clock.offset_nanos(), 4_320_000_000, "half of it is lost again");
    bench.clock.set_offset_nanos(0);
    assert_eq!(bench.clock.offset_nanos(), 0);
    bench.pass(SEC);
    assert_eq!(bench.clock.offset_nanos(), -50_000, "it drifts on from there");
}

#[test]
fn a_drift_that_is_read_often_loses_nothing_to_rounding() {
    let bench = Bench::new();
    bench.clock.drift(1);
    for _ in 0..100_000 {
        bench.pass(Duration::from_nanos(37));
        bench.clock.now();
    }
    assert_eq!(bench.clock.offset_nanos(), 3, "1 ppm of 3.7 ms");
}

#[test]
fn a_frozen_clock_stands_still_and_goes_on_from_there() {
    let bench = Bench::new();
    bench.clock.drift(1000);
    bench.clock.freeze();
    bench.pass(10 * SEC);
    bench.clock.freeze();
    assert_eq!(bench.shown(), Duration::ZERO);
    bench.clock.step_forward(SEC);
    assert_eq!(bench.shown(), SEC);
    bench.clock.thaw();
    assert_eq!(bench.shown(), SEC, "no jump when it goes on");
    bench.pass(SEC);
    assert_eq!(bench.shown(), 2 * SEC + MS, "it goes on, and drifts on");
    bench.clock.thaw();
    assert_eq!(bench.shown(), 2 * SEC + MS, "it was not frozen");
}

#[test]
fn an_inserted_second_comes_twice() {
    let bench = Bench::new();
    bench.pass(300 * MS);
    bench.clock.leap(Leap::Inserted);
    let mut shown = Vec::new();
    for _ in 0..5 {
        shown.push(bench.shown().as_millis());
        bench.pass(500 * MS);
    }
    assert_eq!(shown, [300, 800, 300, 800, 1300]);
}

#[test]
fn a_deleted_second_does_not_come() {
    let bench = Bench::new();
    bench.pass(300 * MS);
    bench.clock.leap(Leap::Deleted);
    let mut shown = Vec::new();
    for _ in 0..4 {
        shown.push(bench.shown().as_millis());
        bench.pass(500 * MS);
    }
    assert_eq!(shown, [300, 800, 2300, 2800], "nothing from 1000 to 1999");
}

#[test]
fn a_leap_happens_once_and_is_forgotten_when_the_clock_is_set() {
    let bench = Bench::new();
    bench.clock.leap(Leap::Inserted);
    bench.pass(2 * SEC);
    assert_eq!(bench.shown(), SEC);
    bench.wall.step_back(2 * SEC);
    bench.wall.step_forward(2 * SEC);
    assert_eq!(bench.shown(), SEC, "it is not undone, and not done again");
    bench.clock.leap(Leap::Deleted);
    bench.clock.step_forward(SEC);
    bench.pass(5 * SEC);
    assert_eq!(bench.shown(), 7 * SEC);
}

#[test]
fn a_smear_adds_a_second_in_equal_parts_and_no_more() {
    let bench = Bench::new();
    bench.clock.smear(Leap::Inserted, DAY);
    bench.pass(DAY / 4);
    assert_eq!(bench.clock.offset_nanos(), -250_000_000);
    bench.pass(DAY / 4);
    // Another one takes its place: half a second stays.
    bench.clock.smear(Leap::Deleted, Duration::ZERO);
    assert_eq!(bench.clock.offset_nanos(), 500_000_000);
    bench.pass(2 * DAY);
    assert_eq!(bench.clock.offset_nanos(), 500_000_000);
    bench.clock.smear(Leap::Inserted, Duration::MAX);
    bench.pass(DAY);
    assert_eq!(bench.clock.offset_nanos(), 500_000_000, "a second in all time is none in a day");
}

#[test]
fn what_no_system_time_can_say_is_the_reading_of_the_clock_behind() {
    let bench = Bench::new();
    for _ in 0..5 {
        bench.clock.step_back(Duration::MAX);
    }
    assert_eq!(bench.shown(), Duration::ZERO);
    bench.clock.drift(i32::MIN);
    bench.boot.advance(Duration::MAX);
    bench.clock.freeze();
    bench.clock.leap(Leap::Inserted);
    bench.clock.set_offset_nanos(i64::MIN);
    bench.clock.thaw();
    assert_eq!(bench.clock.offset_nanos(), i64::MIN.into());
    assert!(bench.clock.now() < SystemTime::UNIX_EPOCH);
}

#[test]
fn readers_never_see_a_frozen_clock_go_back() {
    let clock = Arc::new(ClockFault::default().monotonic(BootClock::system()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = SystemTime::UNIX_EPOCH;
                for _ in 0..20_000 {
                    let now = clock.now();
                    // The system's own clock may be set meanwhile, by more than this.
                    let back = last.duration_since(now).unwrap_or_default();
                    assert!(back.is_zero() || back > 10 * MS, "it went back by {back:?}");
                    last = now;
                }
            });
        }
        for _ in 0..2000 {
            clock.freeze();
            thread::yield_now();
            clock.thaw();
        }
    });
}

/// What can be done to a clock, and time that passes.
#[derive(Clone, Debug)]
enum Move {
    Pass(u64),
    Step(i32),
    Drift(i32),
    Freeze,
    Thaw,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..3_000_000_u64).prop_map(|us| Move::Pass(us * 1000)),
        1 => any::<i32>().prop_map(Move::Step),
        // In whole thousands: then a microsecond drifts by whole nanoseconds.
        1 => (-1000..1000_i32).prop_map(|thousands| Move::Drift(thousands * 1000)),
        1 => Just(Move::Freeze),
        1 => Just(Move::Thaw),
    ];
    prop::collection::vec(one, 0..40)
}

proptest! {
    /// The naive model moves the shown time by each bit of time that passes.
    #[test]
    fn it_shows_what_a_clock_that_is_moved_bit_by_bit_shows(moves in moves()) {
        let bench = Bench::new();
        let (mut shown, mut ppm, mut is_frozen) = (1_000_000_000_000_i128, 0, false);
        for one in moves {
            match one {
                Move::Pass(nanos) => {
                    bench.pass(Duration::from_nanos(nanos));
                    if !is_frozen {
                        shown += i128::from(nanos) * (1_000_000 + i128::from(ppm)) / 1_000_000;
                    }
                }
                Move::Step(by) => {
                    shown += i128::from(by);
                    let length = Duration::from_nanos(by.unsigned_abs().into());
                    if by < 0 {
                        bench.clock.step_back(length);
                    } else {
                        bench.clock.step_forward(length);
                    }
                }
                Move::Drift(new) => {
                    ppm = new;
                    bench.clock.drift(new);
                }
                Move::Freeze => {
                    is_frozen = true;
                    bench.clock.freeze();
                }
                Move::Thaw => {
                    is_frozen = false;
                    bench.clock.thaw();
                }
            }
            prop_assert_eq!(since_epoch(bench.clock.now()), shown);
        }
    }
}

#[test]
fn whatever_is_done_to_it_a_clock_shows_a_time() {
    let bench = Bench::new();
    let wrong: [&dyn Fn(&ClockFault<_>); 9] = [
        &|clock| clock.step_forward(Duration::MAX),
        &|clock| clock.step_back(Duration::MAX),
        &|clock| clock.drift(i32::MIN),
        &|clock| clock.drift(i32::MAX),
        &|clock| clock.smear(Leap::Inserted, Duration::MAX),
        &|clock| clock.smear(Leap::Deleted, Duration::ZERO),
        &|clock| clock.leap(Leap::Inserted),
        &|clock| clock.freeze(),
        &|clock| clock.set_offset_nanos(i64::MIN),
    ];
    for first in wrong {
        for second in wrong {
            for third in wrong {
                for fault in [first, second, third] {
                    fault(&bench.clock);
                    bench.boot.advance(DAY);
                    let _ = (bench.clock.now(), bench.clock.offset_nanos());
                    let _ = bench.clock.distort(SystemTime::UNIX_EPOCH);
                }
                bench.clock.thaw();
                let _ = bench.clock.now();
                bench.clock.heal();
                assert_eq!(bench.shown(), Duration::ZERO);
            }
        }
    }
}

/// A clock behind that panics leaves the one before it usable.
#[test]
fn a_clock_behind_that_panics_harms_none_that_is_read_later() {
    struct Broken(std::sync::atomic::AtomicBool);

    impl WallClock for Broken {
        fn now(&self) -> SystemTime {
            assert!(!self.0.load(std::sync::atomic::Ordering::Relaxed), "no time");
            SystemTime::UNIX_EPOCH + SEC
        }
    }

    let clock = ClockFault::new(Broken(true.into()));
    let reads: [&dyn Fn(); 2] =
        [&|| assert_ne!(clock.now(), SystemTime::UNIX_EPOCH), &|| clock.freeze()];
    for read in reads {
        let read = std::panic::AssertUnwindSafe(read);
        assert!(std::panic::catch_unwind(read).is_err());
    }
    clock.step_forward(SEC);
    clock.inner().0.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + 2 * SEC);
}
